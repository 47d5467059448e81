//! `weir flows` and `weir points`: the live stream of Points, printed.

mod json;
mod request;
mod table;
mod units;

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::task::{JoinError, spawn_blocking};
use tonic::{
    Status, Streaming,
    transport::{self, Endpoint},
};
use weir_proto::observe::v1::{
    Point, SubscribeRequest, SubscribeResponse, observe_client::ObserveClient,
    subscribe_response::Message,
};

pub use self::request::{Category, Filter, GatewayAddress, InvalidAddress, InvalidFilter};
use self::table::Table;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// What a message with a few Points of whatever an application has written may take.
const MAX_MESSAGE: usize = 256 * 1024 * 1024;
/// A gateway that vanished without a word is noticed within the sum of these.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(5);

/// How Points are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    Table {
        /// Print the header again from time to time, for a screen that scrolls.
        repeat_header: bool,
    },
    /// One JSON object a line.
    Json,
}

/// The stream could not be had or did not last.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Nobody answers at the address.
    #[error("cannot reach a gateway at {gateway}")]
    Unreachable {
        /// The address.
        gateway: GatewayAddress,
        /// What the network said.
        source: transport::Error,
    },
    /// The gateway does not want this subscription.
    #[error("the gateway at {gateway} refused: {}", status.message())]
    Refused {
        /// The address.
        gateway: GatewayAddress,
        /// What the gateway said.
        status: Box<Status>,
    },
    /// The connection broke.
    #[error("the connection to the gateway at {gateway} was lost: {}", status.message())]
    Lost {
        /// The address.
        gateway: GatewayAddress,
        /// How it broke.
        status: Box<Status>,
    },
    /// The gateway ended the stream in order.
    #[error("the gateway at {gateway} ended the stream; it is stopping")]
    Ended {
        /// The address.
        gateway: GatewayAddress,
    },
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// The writing task panicked.
    #[error("writing the output failed")]
    Writer(#[source] JoinError),
}

/// Print every Point of `category` that matches all `filters` to `out`, until the reader
/// of `out` has enough. Losses are told on standard error.
///
/// # Errors
/// Whatever else ends the stream.
pub async fn watch(
    gateway: GatewayAddress,
    category: Category,
    filters: Vec<Filter>,
    format: Format,
    out: impl Write + Send + 'static,
) -> Result<(), WatchError> {
    let mut responses = subscribe(&gateway, category, filters).await?;
    let mut printer = Printer::new(category, format);
    let mut out = Output(out);
    loop {
        let response = responses
            .message()
            .await
            .map_err(|status| WatchError::Lost {
                gateway: gateway.clone(),
                status: status.into(),
            })?;
        let Some(response) = response else {
            return Err(WatchError::Ended { gateway });
        };
        let text = match response.message {
            Some(Message::Batch(batch)) => printer.print(&batch.points),
            Some(Message::Lost(lost)) => {
                tell_loss(lost.points)?;
                continue;
            }
            None => continue,
        };
        out = match out.write(text).await? {
            Some(out) => out,
            None => return Ok(()),
        };
    }
}

async fn subscribe(
    gateway: &GatewayAddress,
    category: Category,
    filters: Vec<Filter>,
) -> Result<Streaming<SubscribeResponse>, WatchError> {
    let unreachable = |source| WatchError::Unreachable {
        gateway: gateway.clone(),
        source,
    };
    let channel = Endpoint::from_shared(gateway.url())
        .map_err(unreachable)?
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(KEEPALIVE_AFTER)
        .keep_alive_timeout(KEEPALIVE_WITHIN)
        .connect()
        .await
        .map_err(unreachable)?;
    let request = SubscribeRequest {
        filters: filters.into_iter().map(Filter::into_wire).collect(),
        categories: vec![category.into_wire().into()],
    };
    let mut client = ObserveClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
    let response = client.subscribe(request).await;
    let responses = response.map_err(|status| WatchError::Refused {
        gateway: gateway.clone(),
        status: status.into(),
    })?;
    Ok(responses.into_inner())
}

fn tell_loss(points: u64) -> Result<(), WatchError> {
    let text = format!("{points} points lost: they came faster than they were read\n");
    match io::stderr().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(WatchError::Output(error)),
        _ => Ok(()),
    }
}

enum Printer {
    Table(Box<Table>),
    Json,
}

impl Printer {
    fn new(category: Category, format: Format) -> Self {
        match format {
            Format::Table { repeat_header } => {
                Self::Table(Table::new(category, repeat_header).into())
            }
            Format::Json => Self::Json,
        }
    }

    fn print(&mut self, points: &[Point]) -> String {
        let mut text = String::new();
        for point in points {
            match self {
                Self::Table(table) => table.push_row(point, &mut text),
                Self::Json => json::push_line(point, &mut text),
            }
        }
        text
    }
}

struct Output<W>(W);

impl<W: Write + Send + 'static> Output<W> {
    /// Write where blocking is allowed, so that a pager that does not read cannot keep
    /// an interrupt from being seen. `None` when the reader has gone.
    async fn write(self, text: String) -> Result<Option<Self>, WatchError> {
        let Self(mut out) = self;
        let write = move || {
            out.write_all(text.as_bytes())?;
            out.flush()?;
            Ok(out)
        };
        match spawn_blocking(write).await.map_err(WatchError::Writer)? {
            Ok(out) => Ok(Some(Self(out))),
            Err(error) if io::Error::kind(&error) == io::ErrorKind::BrokenPipe => Ok(None),
            Err(error) => Err(WatchError::Output(error)),
        }
    }
}
