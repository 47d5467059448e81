use weir_runtime::config::{ConfigError, Document};

use super::*;

fn read(text: &str) -> Result<Vec<(String, Config)>, ConfigError> {
    Document::parse("gateway.yaml", text, "WEIR_GATEWAY", [])
        .and_then(|document| document.read(Config::read_all))
}

#[test]
fn an_endpoint_is_enough() {
    assert!(read("").expect("none").is_empty());
    let all = read("otlp_exporters: {main: {endpoint: 'http://collector:4317'}}").expect("one");
    let [(name, config)] = &all[..] else {
        panic!("one, not {all:?}");
    };
    assert_eq!(name, "main");
    assert_eq!(config.protocol, Protocol::Grpc);
    assert_eq!(config.queue.size, 256 << 20);
    assert!(config.queue.folder.is_none());
    assert_eq!(config.give_up_after, Some(Duration::from_secs(300)));
}

#[test]
fn what_is_queued_on_disk_is_not_given_up_by_itself() {
    let file = "otlp_exporters: {main: {endpoint: 'http://collector:4317', queue: {folder: /var/lib/weir}}}";
    let all = read(file).expect("one");
    assert_eq!(all[0].1.give_up_after, None);
}

#[test]
fn everything_can_be_set() {
    let text = "
otlp_exporters:
  b: {endpoint: 'https://[::1]:4318/some/path', protocol: http, compression: zstd, timeout: 3s, in_flight: 9,
      headers: {Authorization: Bearer x, x-tenant: y},
      tls: {ca: ca.pem, cert: cert.pem, key: key.pem},
      batch: {size: 2MiB, delay: 0s}, queue: {size: 1GiB, folder: /var/lib/weir, sync: 0s}, retry: {most: 0s}}
  a: {endpoint: 'http://collector:4317'}
";
    let all = read(text).expect("two");
    assert_eq!(all[1].0, "a", "in the order of the file");
    let config = &all[0].1;
    assert_eq!(config.endpoint.path(), "/some/path");
    assert_eq!(config.compression, Compression::Zstd);
    assert_eq!((config.in_flight, config.batch.size), (9, 2 << 20));
    assert_eq!(config.headers["authorization"], "Bearer x");
    assert_eq!((config.give_up_after, config.queue.sync), (None, None));
    assert!(config.tls.ca.is_some() && config.tls.identity.is_some());
    let shown = format!("{config:?}");
    assert!(!shown.contains("Bearer"), "secrets are not shown: {shown}");
}

#[test]
fn all_mistakes_are_reported_with_their_keys() {
    let text = "
otlp_exporters:
  none: {compression: gzip}
  path: {endpoint: 'http://collector:4317/path'}
  user: {endpoint: 'http://me:secret@collector:4317'}
  numbers: {endpoint: 'http://a:1', in_flight: 0, timeout: 0s, batch: {size: 0B}, queue: {size: 0B}}
  words: {endpoint: 'ftp://a', protocol: grcp, compression: brotli}
  tls: {endpoint: 'https://a:1', tls: {cert: c.pem}}
  headers: {endpoint: 'http://a:1', headers: {content-type: x, 'a b': y, grpc-timeout: z}}
";
    let error = read(text).expect_err("mistakes").to_string();
    for mistake in [
        "none.endpoint: is missing",
        "path.endpoint: \"http://collector:4317/path\" is not of the form",
        "user.endpoint: must have no user in it",
        "numbers.in_flight: must be from 1 to 64",
        "numbers.timeout",
        "numbers.batch.size",
        "numbers.queue.size",
        "words.endpoint",
        "words.protocol: expected `grpc` or `http`",
        "words.compression: expected `none`, `gzip` or `zstd`",
        "tls.tls.key: is missing",
        "headers.headers: `content-type` cannot be set",
        "headers.headers: `a b` cannot be set",
        "headers.headers: `grpc-timeout` cannot be set",
    ] {
        assert!(error.contains(mistake), "{mistake}\nis not in\n{error}");
    }
    assert!(!error.contains("secret"), "{error}");
}
