//! Taking connections, up to a number.

use std::{sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    connection::Connection,
    intake::Intake,
    meter::{ConnectionEvent, Transport},
    tls::Acceptor,
};

/// After an accept failed, which is for want of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);
/// A peer that is silent for this long is asked whether it is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// A peer that acknowledges nothing for this long is gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// One open listener.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) transport: Transport,
    pub(crate) tls: Option<Acceptor>,
    pub(crate) intake: Arc<Intake>,
    /// Most connections at one time.
    pub(crate) connections: usize,
    pub(crate) stop: CancellationToken,
}

impl Listener {
    /// Serves until told to stop, and then until the calls under way are answered.
    pub(crate) async fn run(mut self) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(_ended) = connections.join_next() => {}
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, _)) => self.admit(stream, &mut connections),
                    Err(error) => {
                        warn!(
                            error = &error as &dyn std::error::Error,
                            transport = self.transport.name(),
                            "cannot take a connection"
                        );
                        sleep(PAUSE).await;
                    }
                },
            }
        }
        drop(self.socket);
        while connections.join_next().await.is_some() {}
    }

    fn admit(&mut self, stream: TcpStream, connections: &mut JoinSet<()>) {
        if connections.len() >= self.connections {
            let event = ConnectionEvent::TooMany;
            return self.intake.meter.connection(self.transport, event);
        }
        if let Err(error) = prepare(&stream) {
            debug!(
                error = &error as &dyn std::error::Error,
                "cannot set up a connection"
            );
        }
        let connection = Connection {
            transport: self.transport,
            intake: Arc::clone(&self.intake),
            stop: self.stop.clone(),
        };
        let tls = self.tls.as_mut().map(Acceptor::current);
        connections.spawn(connection.serve(stream, tls));
    }
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}
