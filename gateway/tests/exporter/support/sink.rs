//! An OTLP endpoint over gRPC or HTTP that remembers what it got and answers as told.

mod grpc;
mod http;

use std::{
    collections::{BTreeSet, VecDeque},
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex},
    time::Instant,
};

use ::http::HeaderMap;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use weir_point::otlp::Signal;

use super::names;

/// What it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    Grpc,
    Http,
}

/// PEM texts.
#[derive(Clone)]
pub(crate) struct TlsFiles {
    pub(crate) cert: String,
    pub(crate) key: String,
    /// Who must have signed the certificate of a client.
    pub(crate) client_ca: Option<String>,
}

/// How to answer one request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Grpc(tonic::Status),
    /// Status, headers and body.
    Http(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Take it without so many items.
    Partial(i64, &'static str),
    Hang,
}

/// One request that came in.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) signal: Signal,
    /// As decoded and encoded again for gRPC, as it came (decompressed) for HTTP.
    pub(crate) bytes: Vec<u8>,
    pub(crate) headers: HeaderMap,
    pub(crate) path: String,
    pub(crate) at: Instant,
    /// Not answered with a failure.
    pub(crate) taken: bool,
}

#[derive(Default)]
struct State {
    arrivals: Mutex<Vec<Arrival>>,
    answers: Mutex<VecDeque<Answer>>,
}

/// A running endpoint. Goes away, connections included, when dropped.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    /// Its own, so that going away takes the open connections along.
    runtime: Option<Runtime>,
}

impl Sink {
    pub(crate) fn start(front: Front) -> Self {
        Self::start_at(front, SocketAddr::from(([127, 0, 0, 1], 0)), None)
    }

    pub(crate) fn start_tls(front: Front, tls: TlsFiles) -> Self {
        Self::start_at(front, SocketAddr::from(([127, 0, 0, 1], 0)), Some(tls))
    }

    pub(crate) fn start_at(front: Front, address: SocketAddr, tls: Option<TlsFiles>) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let state = Arc::new(State::default());
        let listener = runtime
            .block_on_here(TcpListener::bind(address))
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        match front {
            Front::Grpc => runtime.spawn(grpc::serve(listener, Arc::clone(&state), tls)),
            Front::Http => runtime.spawn(http::serve(listener, Arc::clone(&state), tls)),
        };
        Self {
            address,
            state,
            runtime: Some(runtime),
        }
    }

    /// Answer the next requests so, before taking all.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state
            .answers
            .lock()
            .expect("unpoisoned")
            .extend(answers);
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.state.arrivals.lock().expect("unpoisoned").clone()
    }

    /// The names of the items of `signal` that it took, in order of arrival.
    pub(crate) fn names(&self, signal: Signal) -> Vec<String> {
        let arrivals = self.arrivals();
        let taken = arrivals.iter().filter(|a| a.taken && a.signal == signal);
        taken
            .flat_map(|arrival| names(signal, &arrival.bytes))
            .collect()
    }

    /// All items of `signal` that it took at least once.
    pub(crate) fn distinct(&self, signal: Signal) -> BTreeSet<String> {
        self.names(signal).into_iter().collect()
    }

    /// How many items of all signals it took.
    pub(crate) fn count(&self) -> usize {
        super::SIGNALS
            .map(|signal| self.names(signal).len())
            .iter()
            .sum()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl State {
    /// Remember a request; how to answer it.
    fn arrived(
        &self,
        signal: Signal,
        bytes: Vec<u8>,
        headers: HeaderMap,
        path: &str,
    ) -> Option<Answer> {
        let answer = self.answers.lock().expect("unpoisoned").pop_front();
        let taken = matches!(answer, None | Some(Answer::Partial(..)));
        self.arrivals.lock().expect("unpoisoned").push(Arrival {
            signal,
            bytes,
            headers,
            path: path.to_owned(),
            at: Instant::now(),
            taken,
        });
        answer
    }
}

/// A port where nobody listens, and whoever connects is refused.
pub(crate) fn nobody() -> SocketAddr {
    let listener = StdListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address")
}

trait BlockOnHere {
    /// Also from within another runtime.
    fn block_on_here<F>(&self, future: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send;
}

impl BlockOnHere for Runtime {
    fn block_on_here<F>(&self, future: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| self.block_on(future));
            thread.join().expect("no panic")
        })
    }
}
