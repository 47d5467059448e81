//! TLS, client certificates, the token.

use std::{fs, path::PathBuf, sync::Arc};

use http::Method;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    Code, Request,
    transport::{Certificate, Channel, ClientTlsConfig, Identity},
};
use weir_otel_receiver::{Cause, Certificates, ConnectionEvent};
use weir_point::otlp::Signal;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;

use crate::support::{
    PROTOBUF, Server, config, eventually, post, request_of, send, server, trace_client, traces,
    try_server,
};

/// A certificate authority, a server and a client of it, in files.
struct Pki {
    folder: TempDir,
    ca: String,
    client: (String, String),
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
            .expect("a certificate");
        let issue = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new([name.to_owned()]).expect("a name");
            let cert = params.signed_by(&key, &ca).expect("a certificate");
            (cert.pem(), key.serialize_pem())
        };
        let (cert, key) = issue("localhost");
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("ca", &ca.pem()), ("cert", &cert), ("key", &key)] {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        Self {
            folder,
            ca: ca.pem(),
            client: issue("client"),
        }
    }

    fn file(&self, name: &str) -> String {
        let file: PathBuf = self.folder.path().join(name);
        file.to_str().expect("text").to_owned()
    }

    async fn server(&self, mutual: bool) -> Server {
        let (cert, key, ca) = (self.file("cert"), self.file("key"), self.file("ca"));
        let mut keys = vec![("tls.cert", &*cert), ("tls.key", &*key)];
        if mutual {
            keys.push(("tls.client_ca", &*ca));
        }
        server(&keys).await
    }

    /// An export over gRPC, and one over HTTP; whether each was accepted.
    async fn exports(&self, server: &Server, with_certificate: bool) -> (bool, bool) {
        let identity = with_certificate.then_some(&self.client);
        let grpc = self.grpc(server, identity).await;
        let http = self.http(server, identity).await;
        (grpc, http)
    }

    async fn grpc(&self, server: &Server, identity: Option<&(String, String)>) -> bool {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.ca))
            .domain_name("localhost");
        if let Some((cert, key)) = identity {
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        let channel = Channel::from_shared(format!("https://{}", server.grpc))
            .expect("an address")
            .tls_config(tls)
            .expect("a configuration")
            .connect_lazy();
        TraceServiceClient::new(channel)
            .export(traces(1))
            .await
            .is_ok()
    }

    async fn http(&self, server: &Server, identity: Option<&(String, String)>) -> bool {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.ca.as_bytes()).expect("PEM");
        roots.add(ca).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some((cert, key)) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
                config
                    .with_client_auth_cert(vec![cert], key)
                    .expect("a key")
            }
        };
        let stream = TcpStream::connect(server.http).await.expect("a listener");
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(Arc::new(config));
        let Ok(stream) = connector.connect(name, stream).await else {
            return false;
        };
        let body = request_of(Signal::Traces);
        let exchange = send(stream, Method::POST, "/v1/traces", &[PROTOBUF], body);
        // Without a certificate the connection ends under the request.
        let reply = tokio::spawn(exchange).await;
        reply.is_ok_and(|reply| reply.status == 200)
    }
}

#[tokio::test]
async fn both_transports_speak_tls() {
    let pki = Pki::new();
    let server = pki.server(false).await;
    assert_eq!(pki.exports(&server, false).await, (true, true));
    assert_eq!(server.consumer.batches().len(), 2);

    let plain = tokio::spawn(post(server.http, "/v1/traces", &[PROTOBUF], ""));
    assert!(plain.await.is_err(), "no answer without TLS");
    eventually!(server.meter.events(ConnectionEvent::HandshakeFailed) == 1);
}

#[tokio::test]
async fn only_clients_with_a_certificate_may_send_where_one_is_asked_for() {
    let pki = Pki::new();
    let server = pki.server(true).await;
    assert_eq!(pki.exports(&server, false).await, (false, false));
    assert_eq!(pki.exports(&server, true).await, (true, true));
    let stranger = Pki::new();
    let stranger = Pki {
        ca: pki.ca.clone(),
        ..stranger
    };
    assert_eq!(stranger.exports(&server, true).await, (false, false));
    assert_eq!(server.consumer.batches().len(), 2);
}

#[tokio::test]
async fn new_certificates_are_used_without_a_restart_and_broken_ones_are_not() {
    let (pki, other) = (Pki::new(), Pki::new());
    let server = pki.server(false).await;
    assert_eq!(pki.exports(&server, false).await, (true, true));
    let broken = || {
        let events = server.meter.certificates();
        events
            .iter()
            .filter(|e| **e == Certificates::Broken)
            .count()
    };
    // Both listeners look when a connection comes.
    fs::write(pki.file("cert"), "no certificate").expect("a file");
    eventually!({
        let before = pki.exports(&server, false).await;
        assert_eq!(before, (true, true), "the old ones stay");
        broken() == 2
    });
    fs::write(
        pki.file("cert"),
        fs::read(other.file("cert")).expect("a file"),
    )
    .expect("a file");
    eventually!({
        let before = pki.exports(&server, false).await;
        assert_eq!(
            before,
            (true, true),
            "a certificate without its key is not taken"
        );
        broken() == 4
    });
    fs::rename(other.file("key"), pki.file("key")).expect("a file");
    eventually!(other.exports(&server, false).await == (true, true));
    let events = server.meter.certificates();
    let reloaded = events.iter().filter(|e| **e == Certificates::Reloaded);
    assert_eq!((reloaded.count(), broken()), (2, 4), "each once a change");
}

#[tokio::test]
async fn files_that_are_no_certificates_are_named_at_the_start() {
    let pki = Pki::new();
    let (cert, key) = (pki.file("cert"), pki.file("key"));
    fs::write(pki.file("empty"), "").expect("a file");
    let (missing, empty) = (pki.file("missing"), pki.file("empty"));
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("tls.cert", &missing), ("tls.key", &key)], "missing"),
        (&[("tls.cert", &empty), ("tls.key", &key)], "no certificate"),
        (&[("tls.cert", &cert), ("tls.key", &cert)], "tls.key"),
        (
            &[
                ("tls.cert", &cert),
                ("tls.key", &key),
                ("tls.client_ca", &key),
            ],
            "tls.client_ca",
        ),
    ];
    for (keys, wanted) in cases {
        let error = try_server(keys).await.err().expect("no usable files");
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn only_clients_with_the_token_may_send_where_there_is_one() {
    let server = server(&[("token", "s3cret")]).await;
    let body = || request_of(Signal::Traces);
    let wrong = [
        "",
        "s3cret",
        "Bearer",
        "Bearer ",
        "Bearer s3cre",
        "Bearer s3crets",
        "Basic s3cret",
    ];
    for value in wrong {
        let headers = [PROTOBUF, ("authorization", value)];
        let reply = post(server.http, "/v1/traces", &headers, body()).await;
        assert_eq!(reply.status, 401, "{value}");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    for value in ["Bearer s3cret", "bearer s3cret"] {
        let headers = [PROTOBUF, ("authorization", value)];
        let reply = post(server.http, "/v1/traces", &headers, body()).await;
        assert_eq!(reply.status, 200, "{value}");
    }

    let mut client = trace_client(server.grpc).await;
    let status = client.export(traces(1)).await.expect_err("no token");
    assert_eq!(status.code(), Code::Unauthenticated);
    let mut request = Request::new(traces(1));
    let value = "Bearer s3cret".parse().expect("ASCII");
    request.metadata_mut().insert("authorization", value);
    client.export(request).await.expect("accepted");

    let refused = server.meter.causes();
    assert_eq!(refused, [Cause::Token; 8]);
    assert_eq!(server.consumer.batches().len(), 3);
}

#[test]
fn the_token_is_not_in_the_log() {
    let config = config(&[("token", "s3cret")]).expect("valid");
    assert!(!format!("{config:?}").contains("s3cret"));
}
