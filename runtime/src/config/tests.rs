//! Stories of people who write configurations, and of the mistakes they make.

mod layers;
mod named;

use std::{net::SocketAddr, time::Duration};

use super::{ByteSize, ConfigError, Document, Key, Section};

#[derive(Debug, PartialEq)]
struct Settings {
    listen: SocketAddr,
    period: Duration,
    host: Option<String>,
    queue: ByteSize,
    endpoint: String,
    namespaces: Vec<String>,
    headers: Vec<(String, String)>,
}

fn settings(root: &mut Section<'_>) -> Settings {
    let listen = root.or("listen", SocketAddr::from(([127, 0, 0, 1], 4319)));
    let host = root.optional("host");
    let mut collector = root.section("collector");
    let period = collector.or("period", Duration::from_secs(10));
    if period.is_zero() {
        collector.mistake("period", "must be longer than nothing");
    }
    let namespaces = collector.list("name_spaces");
    let mut uplink = root.section("uplink");
    let queue = uplink.section("queue").or("size", ByteSize(4 << 20));
    Settings {
        listen,
        period,
        host,
        queue,
        endpoint: uplink.or("endpoint", "http://127.0.0.1:4319".to_owned()),
        namespaces,
        headers: uplink.map("headers"),
    }
}

fn read_with(text: &str, env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Document::parse("weir.yaml", text, "WEIR_TEST", env)?.read(settings)
}

fn read(text: &str) -> Result<Settings, ConfigError> {
    read_with(text, &[])
}

/// The lines of the report, without the headline.
fn mistakes(result: Result<Settings, ConfigError>) -> Vec<String> {
    let text = result.expect_err("a refused configuration").to_string();
    text.lines()
        .skip(1)
        .map(|line| line.trim().to_owned())
        .collect()
}

#[test]
fn an_empty_file_means_all_defaults() {
    let defaults = read("").expect("defaults");
    assert_eq!(defaults.period, Duration::from_secs(10));
    assert_eq!(defaults.host, None);
    assert_eq!(defaults.queue, ByteSize(4 << 20));
    let nothing = [
        "# only a comment\n",
        "---\n",
        "~",
        "{}",
        "\u{feff}",
        "collector:\nuplink: ~\n",
        "collector:\n  period:\n  name_spaces:\nuplink:\n  headers:\n",
    ];
    for text in nothing {
        assert_eq!(read(text).expect(text), defaults, "{text:?}");
    }
}

#[test]
fn every_kind_of_value_is_read_from_the_file() {
    let text = "
listen: '[::1]:1'
host: 10            # text may look like a number
collector:
  period: 500ms
  name_spaces: [a, \"b c\"]
uplink:
  endpoint: https://gateway:4319
  queue: { size: 64KiB }
  headers:
    X-Token: abc
    x.y: d
";
    let read = read(text).expect("a good file");
    let expected = Settings {
        listen: "[::1]:1".parse().expect("an address"),
        period: Duration::from_millis(500),
        host: Some("10".to_owned()),
        queue: ByteSize(65_536),
        endpoint: "https://gateway:4319".to_owned(),
        namespaces: vec!["a".to_owned(), "b c".to_owned()],
        headers: vec![
            ("X-Token".to_owned(), "abc".to_owned()),
            ("x.y".to_owned(), "d".to_owned()),
        ],
    };
    assert_eq!(read, expected);
}

#[test]
fn every_mistake_is_reported_at_once_with_file_line_column_and_key() {
    let text = "listen: localhost
collector:
  period: 10
  perod: 5s
uplink:
  queue: 4MiB
  endpoint: [a]
  endpoint: b
  headers: x
colour: red
";
    let env = [
        ("WEIR_TEST_HOTS", "me"),
        ("WEIR_TEST_COLLECTOR_NAME_SPACES", "a,b"),
    ];
    let found = mistakes(read_with(text, &env));
    let expected = [
        "weir.yaml:1:9: listen: expected an address and a port such as",
        "weir.yaml:3:11: collector.period: expected a duration such as",
        "weir.yaml:4:3: collector.perod: unknown key; did you mean `period`?",
        "weir.yaml:6:10: uplink.queue: expected a group of keys, found a single value",
        "weir.yaml:7:13: uplink.endpoint: expected text, found a list",
        "weir.yaml:8:3: uplink.endpoint: given twice; first on line 7",
        "weir.yaml:9:12: uplink.headers: expected names and values, found a single value",
        "weir.yaml:10:1: colour: unknown key",
        "environment variable WEIR_TEST_HOTS: overrides no known key; did you mean `WEIR_TEST_HOST`?",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nis not\n{expected}");
    }
}

#[test]
fn a_value_that_makes_no_sense_is_reported_where_it_was_written() {
    let zero = "collector:\n  period: 0s\n";
    assert_eq!(
        mistakes(read(zero)),
        ["weir.yaml:2:11: collector.period: must be longer than nothing"]
    );
    let from_env = read_with("", &[("WEIR_TEST_COLLECTOR_PERIOD", "0s")]);
    assert_eq!(
        mistakes(from_env),
        [
            "environment variable WEIR_TEST_COLLECTOR_PERIOD: collector.period: must be longer than nothing"
        ]
    );
}

#[test]
fn a_missing_value_is_reported_at_its_section_or_the_file() {
    let needs_token = |text: &str| {
        let document = Document::parse("weir.yaml", text, "WEIR_TEST", []).expect("YAML");
        let result = document.read(|root| {
            let mut tls = root.section("tls");
            if tls.optional::<String>("token").is_none() {
                tls.mistake("token", "is needed");
            }
        });
        result.expect_err("no token").to_string()
    };
    assert!(needs_token("tls:\n  {}\n").ends_with("weir.yaml:2:3: tls.token: is needed"));
    assert!(needs_token("").ends_with("weir.yaml: tls.token: is needed"));
}

#[test]
fn an_override_from_the_environment_wins_over_the_file() {
    let text =
        "collector: {period: 1s, name_spaces: [a]}\nuplink: {queue: {size: 1B}, headers: {a: b}}\n";
    let env = [
        ("WEIR_TEST_COLLECTOR_PERIOD", "3s"),
        ("WEIR_TEST_COLLECTOR_NAME_SPACES", "x, y,"),
        ("WEIR_TEST_UPLINK_QUEUE_SIZE", "2KiB"),
        ("WEIR_TEST_UPLINK_HEADERS", "k=v=w, authorization=Bearer z"),
        ("WEIR_TEST_HOST", ""),
        ("WEIR_OTHER_HOST", "of another process"),
        ("WEIR_TESTER", "of nobody"),
    ];
    let read = read_with(text, &env).expect("good overrides");
    assert_eq!(read.period, Duration::from_secs(3));
    assert_eq!(read.namespaces, ["x", "y"]);
    assert_eq!(read.queue, ByteSize(2048));
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    assert_eq!(
        read.headers,
        [pair("k", "v=w"), pair("authorization", "Bearer z")]
    );
    assert_eq!(read.host, None, "an empty variable counts as unset");
}

#[test]
fn a_bad_override_is_refused_and_named() {
    let env = [
        ("WEIR_TEST_COLLECTOR_PERIOD", "soon"),
        ("WEIR_TEST_UPLINK", "x"),
        ("WEIR_TEST_UPLINK_HEADERS", "novalue,a=1,a=2"),
    ];
    let found = mistakes(read_with("", &env));
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[0].starts_with(
        "environment variable WEIR_TEST_COLLECTOR_PERIOD: collector.period: expected a duration"
    ));
    assert!(
        found[1].contains("WEIR_TEST_UPLINK: overrides no known key"),
        "a section is no value"
    );
    assert!(found[2].contains("uplink.headers: expected `name=value`, found `novalue`"));
    assert!(found[3].contains("uplink.headers.a: given twice"));
}

#[test]
fn variables_that_a_cluster_sets_for_a_service_of_our_name_are_not_mistakes() {
    let links = [
        ("WEIR_TEST_SERVICE_HOST", "10.0.0.1"),
        ("WEIR_TEST_SERVICE_PORT", "4319"),
        ("WEIR_TEST_SERVICE_PORT_GRPC", "4319"),
        ("WEIR_TEST_PORT", "tcp://10.0.0.1:4319"),
        ("WEIR_TEST_PORT_4319_TCP", "tcp://10.0.0.1:4319"),
        ("WEIR_TEST_PORT_4319_TCP_PROTO", "tcp"),
        ("WEIR_TEST_PORT_4319_TCP_PORT", "4319"),
        ("WEIR_TEST_PORT_4319_TCP_ADDR", "10.0.0.1"),
    ];
    read_with("", &links).expect("links are ignored");
    let found = mistakes(read_with("", &[("WEIR_TEST_PORT", "4319")]));
    assert_eq!(found.len(), 1, "a person may have written this one");
}

#[test]
fn a_key_on_the_wrong_level_is_pointed_to_its_place() {
    assert_eq!(
        mistakes(read("size: 1B\n")),
        ["weir.yaml:1:1: size: unknown key; there is `uplink.queue.size`, one name per level"]
    );
    assert_eq!(
        mistakes(read("collector.period: 1s\n")),
        [
            "weir.yaml:1:1: collector.period: unknown key; there is `collector.period`, one name per level"
        ]
    );
}

#[test]
fn a_bad_item_of_a_list_or_a_map_is_named_by_its_place_in_it() {
    let found = mistakes(read(
        "collector:\n  name_spaces: [a, [b], {c: d}]\nuplink:\n  headers:\n    k: [v]\n",
    ));
    assert_eq!(
        found,
        [
            "weir.yaml:2:20: collector.name_spaces[1]: expected text, found a list",
            "weir.yaml:2:25: collector.name_spaces[2]: expected text, found a group of keys",
            "weir.yaml:5:8: uplink.headers.k: expected text, found a list",
        ]
    );
}

#[test]
fn yaml_that_would_be_read_differently_than_it_looks_is_refused() {
    let one = |text: &str, expected: &str| {
        let found = mistakes(read(text));
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "{text:.40}: {found:#?}"
        );
    };
    one("a: &x 1\n", "a: anchors and aliases");
    one(
        "host: &x 1\nlisten: *x\n",
        "weir.yaml:2:9: listen: anchors and aliases",
    );
    one("host: !!int 1\n", "host: tags");
    one("[a, b]: c\n", "a key is a single word, found a list");
    one(
        "host: a\n---\nhost: b\n",
        "weir.yaml:2:1: a second document begins here",
    );
    one(
        "just text\n",
        "weir.yaml:1:1: expected `key: value` lines, found a single value",
    );
    one("- a\n", "expected `key: value` lines, found a list");
    one("host: [a\n", "not YAML: ");
    one("host: a\n\tb: c\n", "found a tab");
    one(&"[".repeat(100), "nested deeper than 32 levels");
    one(&"[".repeat(100_000), "weir.yaml:1:");
    one(&"{a: ".repeat(100), "nested deeper than 32 levels");
    one(&"{a: ".repeat(100_000), "weir.yaml:1:");
}

#[test]
fn the_documentation_can_list_every_key_and_its_default() {
    let key = |path: &str, default: Option<&str>| Key {
        path: path.to_owned(),
        default: default.map(str::to_owned),
    };
    assert_eq!(
        Document::keys(settings),
        [
            key("listen", Some("127.0.0.1:4319")),
            key("host", None),
            key("collector.period", Some("10s")),
            key("collector.name_spaces", Some("[]")),
            key("uplink.queue.size", Some("4MiB")),
            key("uplink.endpoint", Some("http://127.0.0.1:4319")),
            key("uplink.headers", Some("{}")),
        ]
    );
}

#[test]
fn a_file_that_is_missing_or_no_text_says_which_file_and_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("weir.yaml");
    let load = || {
        Document::load(&file, "WEIR_TEST")
            .map(|_| ())
            .expect_err("refused")
    };
    let cause = |error: &ConfigError| std::error::Error::source(error).map(ToString::to_string);

    let missing = load();
    assert!(missing.to_string().contains("weir.yaml"));
    assert!(cause(&missing).expect("a cause").contains("No such file"));

    std::fs::write(&file, b"host: \xff\n").expect("written");
    let binary = load();
    assert!(binary.to_string().ends_with("is not UTF-8 text"));
    assert!(cause(&binary).expect("a cause").contains("index 6"));

    std::fs::write(&file, "collector: {period: 2s}\n").expect("written");
    let document = Document::load(&file, "WEIR_TEST").expect("a good file");
    assert_eq!(
        document.read(settings).expect("settings").period,
        Duration::from_secs(2)
    );
}

#[test]
fn no_file_however_damaged_stops_the_process_without_a_message() {
    const GOOD: &str = "listen: '[::1]:1'\nhost: |\n  a\ncollector:\n  period: 500ms\n  name_spaces: [a, \"b\\n\"]\nuplink:\n  queue: { size: 64KiB }\n  headers:\n    X-Token: abc # why\n";
    const PIECES: &[&str] = &[
        "\n", " ", "\t", ":", "- ", "[", "]", "{", "}", "&a", "*a", "!!", "|", ">", "'", "\"", "%",
        "---", "...", "?", "#", "\\", "\0", "\u{feff}", "é", "host", "\r", "<<", "@", "`", ",",
    ];
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = GOOD.as_bytes().to_vec();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..=bytes.len());
            match random.u8(..4) {
                0 => {
                    let piece = PIECES[random.usize(..PIECES.len())];
                    bytes.splice(at..at, piece.bytes());
                }
                1 => bytes.truncate(at),
                2 => bytes.insert(at, random.u8(..)),
                _ => {
                    let end = random.usize(at..=bytes.len());
                    bytes.drain(at..end);
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let outcome = std::panic::catch_unwind(|| read(&text).map_err(|error| error.to_string()));
        match outcome {
            Ok(Ok(_)) => {}
            Ok(Err(message)) => {
                refused += 1;
                assert!(
                    message.lines().count() > 1,
                    "seed {seed}: {text:?}: {message}"
                );
            }
            Err(_) => panic!("seed {seed}: {text:?}"),
        }
    }
    assert!(refused > 1000, "the damage is real: {refused}");
}
