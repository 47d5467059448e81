//! The keys of one exporter and their defaults.

mod flows;

use std::{path::PathBuf, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use weir_point::otlp::Signal;
use weir_runtime::config::{ByteSize, Scalar, Section};

pub use self::flows::{Flows, Shape, Temporality};

/// What one exporter needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to send: `http://` or `https://`, host and port; with HTTP maybe a path.
    pub endpoint: Uri,
    /// What is forwarded of OTLP that is received.
    pub signals: Vec<Signal>,
    /// What is sent of flows, if anything.
    pub flows: Option<Flows>,
    /// How to send.
    pub protocol: Protocol,
    /// Sent with every request, e.g. a token.
    pub headers: HeaderMap,
    /// Of requests.
    pub compression: Compression,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// For `https://`.
    pub tls: Tls,
    /// How requests are merged.
    pub batch: Batch,
    /// What waits for the endpoint.
    pub queue: Queue,
    /// Most requests of one signal under way at one time.
    pub in_flight: usize,
    /// How long a request is tried again; `None`: for ever.
    pub give_up_after: Option<Duration>,
}

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// What every receiver takes.
    Gzip,
    /// Better and quicker, where the receiver takes it.
    Zstd,
}

/// Files in PEM format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who may vouch for the endpoint; without it, whom the system trusts.
    pub ca: Option<PathBuf>,
    /// The certificate to show and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// How requests are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Bytes; more are not merged into one request.
    pub size: u64,
    /// How long a smaller request waits for more.
    pub delay: Duration,
}

/// What waits for the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Most bytes.
    pub size: u64,
    /// Where the queue is on disk; without it, it is in memory.
    pub folder: Option<PathBuf>,
    /// How often what was written is forced to the disk; `None`: never.
    pub sync: Option<Duration>,
}

const TIMEOUT: Duration = Duration::from_secs(10);
/// A quarter of the largest message that gRPC servers take by default.
const BATCH_SIZE: ByteSize = ByteSize(1 << 20);
const BATCH_DELAY: Duration = Duration::from_millis(200);
const QUEUE_SIZE: ByteSize = ByteSize(256 << 20);
const QUEUE_SYNC: Duration = Duration::from_secs(1);
const IN_FLIGHT: usize = 4;
/// All are named in the position on disk.
const MOST_IN_FLIGHT: usize = 64;
const GIVE_UP_AFTER: Duration = Duration::from_secs(5 * 60);

/// Headers that say how a message is encoded or where it ends.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Config {
    /// All exporters of the section `otlp_exporters` of `root`, by name. One with a mistake
    /// is left out.
    pub fn read_all(root: &mut Section<'_>) -> Vec<(String, Self)> {
        let all = root.sections("otlp_exporters", |_name, section| Self::read(section));
        all.into_iter()
            .filter_map(|(name, config)| Some((name, config?)))
            .collect()
    }

    /// One exporter; `None` if it makes no sense, which is then reported.
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let url: Option<String> = section.optional("endpoint");
        let protocol = section.or("protocol", Protocol::Grpc);
        let headers = headers(section);
        let compression = section.or("compression", Compression::None);
        let timeout = positive(section, "timeout", TIMEOUT);
        let signals = flows::signals(section);
        let flows = Flows::read(&mut section.section("flows"));
        let tls = Tls::read(&mut section.section("tls"));
        let batch = Batch::read(&mut section.section("batch"));
        let queue = Queue::read(&mut section.section("queue"));
        let in_flight = section.or("in_flight", IN_FLIGHT);
        if !(1..=MOST_IN_FLIGHT).contains(&in_flight) {
            section.mistake("in_flight", format!("must be from 1 to {MOST_IN_FLIGHT}"));
        }
        let give_up_after = match section.section("retry").optional("most") {
            Some(time) => some_time(time),
            // What is kept on disk is kept for as long as it takes.
            None => queue.folder.is_none().then_some(GIVE_UP_AFTER),
        };
        let Some(url) = url else {
            section.mistake("endpoint", "is missing");
            return None;
        };
        let endpoint = match endpoint(&url, protocol) {
            Ok(endpoint) => endpoint,
            Err(why) => {
                section.mistake("endpoint", why);
                return None;
            }
        };
        Some(Self {
            endpoint,
            signals,
            flows,
            protocol,
            headers,
            compression,
            timeout,
            tls: tls?,
            batch,
            queue,
            in_flight,
            give_up_after,
        })
    }
}

impl Tls {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let ca = section.optional("ca");
        let identity = match (section.optional("cert"), section.optional("key")) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => {
                section.mistake("key", "is missing; a certificate needs its key");
                return None;
            }
            (None, Some(_)) => {
                section.mistake("cert", "is missing; a key needs its certificate");
                return None;
            }
        };
        Some(Self { ca, identity })
    }
}

impl Batch {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            size: some_bytes(section, "size", BATCH_SIZE),
            delay: section.or("delay", BATCH_DELAY),
        }
    }
}

impl Queue {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            size: some_bytes(section, "size", QUEUE_SIZE),
            folder: section.optional("folder"),
            sync: some_time(section.or("sync", QUEUE_SYNC)),
        }
    }
}

fn some_bytes(section: &mut Section<'_>, key: &'static str, default: ByteSize) -> u64 {
    let ByteSize(bytes) = section.or(key, default);
    if bytes == 0 {
        section.mistake(key, "must be more than 0");
    }
    bytes
}

fn positive(section: &mut Section<'_>, key: &'static str, default: Duration) -> Duration {
    let time = section.or(key, default);
    if time.is_zero() {
        section.mistake(key, "must be longer than 0s");
    }
    time
}

fn some_time(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

fn headers(section: &mut Section<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in section.map::<String>("headers") {
        let header = HeaderName::try_from(&name).ok().filter(|known| {
            !OWN_HEADERS.contains(&known.as_str()) && !known.as_str().starts_with("grpc-")
        });
        let Some(header) = header else {
            section.mistake("headers", format!("`{name}` cannot be set"));
            continue;
        };
        // The value may be a secret: it is not repeated, here or in the log.
        let Ok(mut value) = HeaderValue::try_from(&value) else {
            section.mistake(
                "headers",
                format!("the value of `{name}` has characters that a header cannot have"),
            );
            continue;
        };
        value.set_sensitive(true);
        headers.append(header, value);
    }
    headers
}

/// What `url` means, or what is wrong with it.
fn endpoint(url: &str, protocol: Protocol) -> Result<Uri, String> {
    let form = match protocol {
        Protocol::Grpc => "http://HOST:PORT or https://HOST:PORT",
        Protocol::Http => "http://HOST:PORT or https://HOST:PORT, maybe with a path",
    };
    if url.contains('@') {
        // Not repeated: it may have a password in it.
        return Err("must have no user in it; `headers` can say who asks".to_owned());
    }
    let wrong = || format!("{url:?} is not of the form {form}");
    let uri: Uri = url.parse().map_err(|_not_a_url| wrong())?;
    let known_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    let path_fits = protocol == Protocol::Http || matches!(uri.path(), "" | "/");
    if known_scheme && has_host && path_fits && uri.query().is_none() {
        Ok(uri)
    } else {
        Err(wrong())
    }
}

impl Scalar for Protocol {
    const WHAT: &'static str = "`grpc` or `http`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "grpc" => Ok(Self::Grpc),
            "http" => Ok(Self::Http),
            _ => Err(String::new()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
        .to_owned()
    }
}

impl Scalar for Compression {
    const WHAT: &'static str = "`none`, `gzip` or `zstd`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(String::new()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests;
