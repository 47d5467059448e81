//! Certificates from files to what the listeners need.

mod reload;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use tokio_rustls::TlsAcceptor;

pub(crate) use self::reload::Acceptor;
use crate::{config::Tls, meter::Transport};

/// TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file has no usable PEM in it, or cannot be read.
    #[error("cannot read {} (configuration key `{key}`)", file.display())]
    File {
        /// The configuration key that names the file.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The file is readable but has no certificate.
    #[error("there is no certificate in {} (configuration key `{key}`)", file.display())]
    Empty {
        /// The configuration key that names the file.
        key: &'static str,
        /// The file.
        file: PathBuf,
    },
    /// A certificate, or the key to it, is not one that can be used.
    #[error("the certificate in {} cannot be used", file.display())]
    Unusable {
        /// The file with the certificate.
        file: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// Clients cannot be checked by this certificate.
    #[error("clients cannot be checked by the certificates in {}", file.display())]
    Clients {
        /// The file with the certificates.
        file: PathBuf,
        /// What is wrong with them.
        source: VerifierBuilderError,
    },
}

/// What takes TLS connections for `transport`.
fn acceptor(tls: &Tls, transport: Transport) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let unusable = |source| TlsError::Unusable {
        file: tls.cert.clone(),
        source,
    };
    let chain = certificates("tls.cert", &tls.cert)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|source| TlsError::File {
        key: "tls.key",
        file: tls.key.clone(),
        source,
    })?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match &tls.client_ca {
        Some(file) => builder.with_client_cert_verifier(clients(file, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = match transport {
        Transport::Grpc => vec![b"h2".to_vec()],
        Transport::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn clients(
    file: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls.client_ca", file)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Unusable {
                file: file.to_owned(),
                source,
            })?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|source| TlsError::Clients {
            file: file.to_owned(),
            source,
        })
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::File {
        key,
        file: file.to_owned(),
        source,
    };
    let list: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if list.is_empty() {
        let file = file.to_owned();
        return Err(TlsError::Empty { key, file });
    }
    Ok(list)
}
