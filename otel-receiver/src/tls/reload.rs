//! New certificates without a restart.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::TlsError;
use crate::{
    config::Tls,
    meter::{Certificates, Meter, Transport},
};

/// How often it is looked at the files, at most. A look costs a few microseconds, so that it can be
/// part of taking a connection, and nothing has to run while there are none.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes TLS connections with the certificates that are in the files.
pub(crate) struct Acceptor {
    tls: Tls,
    transport: Transport,
    meter: Arc<dyn Meter>,
    current: TlsAcceptor,
    seen: Vec<Option<State>>,
    looked: Instant,
}

/// Differs when a file was written again, or another put in its place.
type State = (u64, u64, u64, [i64; 4]);

impl Acceptor {
    /// With the files as they are now.
    pub(crate) fn new(
        tls: &Tls,
        transport: Transport,
        meter: &Arc<dyn Meter>,
    ) -> Result<Self, TlsError> {
        // Before they are read: a change in between is then seen later.
        let (seen, looked) = (states(tls), Instant::now());
        Ok(Self {
            current: super::acceptor(tls, transport)?,
            tls: tls.clone(),
            transport,
            meter: Arc::clone(meter),
            seen,
            looked,
        })
    }

    /// For a connection that comes now.
    pub(crate) fn current(&mut self) -> TlsAcceptor {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            let states = states(&self.tls);
            if states != self.seen {
                self.seen = states;
                self.reload();
            }
        }
        self.current.clone()
    }

    /// What cannot be used is reported once, until the files change again. Certificate and key are
    /// two files: for a moment they may not fit each other.
    fn reload(&mut self) {
        let transport = self.transport.name();
        let cert = self.tls.cert.display();
        let event = match super::acceptor(&self.tls, self.transport) {
            Ok(new) => {
                self.current = new;
                info!(transport, %cert, "new certificates are in use");
                Certificates::Reloaded
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(
                    transport,
                    error, "new certificates cannot be used, those from before stay"
                );
                Certificates::Broken
            }
        };
        self.meter.certificates(self.transport, event);
    }
}

fn states(tls: &Tls) -> Vec<Option<State>> {
    let files = [Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()];
    let state = |file| {
        let data = fs::metadata(file).ok()?;
        let times = [
            data.mtime(),
            data.mtime_nsec(),
            data.ctime(),
            data.ctime_nsec(),
        ];
        Some((data.dev(), data.ino(), data.size(), times))
    };
    files.into_iter().flatten().map(state).collect()
}
