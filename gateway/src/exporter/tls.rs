//! TLS towards an endpoint: whom to trust and what to show.

use std::{io, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};

use super::config::Tls;

/// TLS cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file has no certificate or key that can be read.
    #[error("cannot read {what} from {}", file.display())]
    File {
        /// What is expected in it.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// A file has no certificate in it.
    #[error("there is no certificate in {}", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// The system's own trusted certificates cannot be had.
    #[error("this system has no trusted certificates; name some in `tls.ca`")]
    NoSystemRoots {
        /// What the system said, if it did.
        source: Option<io::Error>,
    },
    /// A certificate or key is of no use.
    #[error("cannot use the certificates or the key")]
    Unusable(#[from] rustls::Error),
}

/// How to speak TLS; for an endpoint without it (`secure` is false) nothing is read.
pub(super) fn client(tls: &Tls, secure: bool) -> Result<ClientConfig, TlsError> {
    let roots = if secure {
        roots(tls)?
    } else {
        RootCertStore::empty()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    match &tls.identity {
        Some((cert, key)) if secure => {
            let certificates = certificates(cert)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::File {
                what: "a private key",
                file: key.clone(),
                source,
            })?;
            Ok(builder.with_client_auth_cert(certificates, key)?)
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn roots(tls: &Tls) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = &tls.ca {
        for certificate in certificates(ca)? {
            roots.add(certificate)?;
        }
        return Ok(roots);
    }
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let source = found.errors.into_iter().next().map(io::Error::other);
        return Err(TlsError::NoSystemRoots { source });
    }
    Ok(roots)
}

fn certificates(file: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::File {
        what: "certificates",
        file: file.clone(),
        source,
    };
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable)?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { file: file.clone() });
    }
    Ok(certificates)
}
