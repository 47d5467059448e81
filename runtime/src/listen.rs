//! Opening listening sockets, before anything that serves them is spawned.

use std::{io, net::SocketAddr};

use tokio::net::TcpListener;

/// A listening socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} (configuration key `{key}`)")]
pub struct ListenError {
    /// The configuration key the address came from.
    pub key: &'static str,
    /// The address that was asked for.
    pub addr: SocketAddr,
    /// What the operating system said.
    pub source: io::Error,
}

/// Listen on `addr`, which came from the configuration key `key`. Port 0 takes
/// any free port; the listener knows which.
///
/// # Errors
/// The address is taken, not this machine's, or not allowed.
pub async fn bind(key: &'static str, addr: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(addr)
        .await
        .map_err(|source| ListenError { key, addr, source })
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_reported_with_its_key_its_address_and_the_reason() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = bind("metrics.listen", any).await.expect("a free port");
        let addr = first.local_addr().expect("a bound socket");

        let error = bind("metrics.listen", addr).await.expect_err("taken");

        let text = error.to_string();
        assert!(text.contains("metrics.listen"), "{text}");
        assert!(text.contains(&addr.to_string()), "{text}");
        let cause = error.source().expect("a cause").to_string();
        assert!(cause.contains("in use"), "{cause}");
    }
}
