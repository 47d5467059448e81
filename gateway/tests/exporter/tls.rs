//! TLS towards the endpoint.

use std::{error::Error as _, fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::{Front, Running, Signal, Sink, TlsFiles, batch, config, eventually};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name or address, and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn server(&self, name: &str, client_ca: Option<String>) -> TlsFiles {
        let (cert, key) = self.issue(name);
        TlsFiles {
            cert,
            key,
            client_ca,
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

fn start(sink: &Sink, protocol: &str, tls: &str) -> Running {
    let keys = format!(
        "endpoint: 'https://{}', protocol: {protocol}, tls: {{{tls}}}, batch: {{delay: 5ms}}",
        sink.address
    );
    Running::try_start(config(&keys)).expect("an exporter")
}

#[tokio::test]
async fn an_endpoint_with_a_certificate_of_the_named_authority_is_trusted() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let ca = write(folder.path(), "ca.pem", &authority.pem());
    for (front, protocol) in [(Front::Grpc, "grpc"), (Front::Http, "http")] {
        let sink = Sink::start_tls(front, authority.server("127.0.0.1", None));
        let running = start(&sink, protocol, &format!("ca: '{ca}'"));
        running
            .exporter
            .offer(&batch(Signal::Logs, 0, 1))
            .expect("room");
        eventually!(sink.count() == 1);
    }
}

#[tokio::test]
async fn an_endpoint_nobody_vouches_for_gets_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, other) = (Authority::new(), Authority::new());
    let ca = write(folder.path(), "ca.pem", &authority.pem());
    let strangers = [
        other.server("127.0.0.1", None),
        authority.server("example.com", None),
    ];
    for stranger in strangers {
        let sink = Sink::start_tls(Front::Grpc, stranger);
        let running = start(&sink, "grpc", &format!("ca: '{ca}'"));
        running
            .exporter
            .offer(&batch(Signal::Logs, 0, 1))
            .expect("room");
        eventually!(running.metric("requests_total", &["result=\"unavailable\""]) > 1);
        assert_eq!(sink.arrivals().len(), 0);
        assert_eq!(
            running.metric("items_queued", &[]),
            1,
            "it waits for a better endpoint"
        );
    }
}

#[tokio::test]
async fn an_endpoint_that_asks_who_is_there_is_shown_the_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let ca = write(folder.path(), "ca.pem", &authority.pem());
    let (cert, key) = authority.issue("weir-gateway");
    let cert = write(folder.path(), "cert.pem", &cert);
    let key = write(folder.path(), "key.pem", &key);
    let sink = Sink::start_tls(
        Front::Grpc,
        authority.server("127.0.0.1", Some(authority.pem())),
    );

    let anonymous = start(&sink, "grpc", &format!("ca: '{ca}'"));
    anonymous
        .exporter
        .offer(&batch(Signal::Logs, 0, 1))
        .expect("room");
    eventually!(anonymous.metric("requests_total", &["result=\"unavailable\""]) > 0);
    assert_eq!(sink.count(), 0);

    let known = start(
        &sink,
        "grpc",
        &format!("ca: '{ca}', cert: '{cert}', key: '{key}'"),
    );
    known
        .exporter
        .offer(&batch(Signal::Logs, 1, 1))
        .expect("room");
    eventually!(sink.names(Signal::Logs) == ["1/0"]);
}

#[tokio::test]
async fn a_file_without_a_certificate_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = write(folder.path(), "empty.pem", "nothing");
    let missing = folder.path().join("missing.pem").display().to_string();
    for file in [empty, missing] {
        let keys = format!("endpoint: 'https://127.0.0.1:1', tls: {{ca: '{file}'}}");
        let error = Running::try_start(config(&keys)).err().expect("refused");
        let cause = error.source().expect("a cause").to_string();
        assert!(cause.contains(&file), "{cause}");
    }
}
