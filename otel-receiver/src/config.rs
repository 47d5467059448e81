//! The section `otlp_receiver` of the configuration file: every key and its default.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use weir_runtime::config::{ByteSize, Scalar, Section};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where OTLP/gRPC is taken, if anywhere.
    pub grpc: Option<SocketAddr>,
    /// Where OTLP/HTTP is taken, if anywhere.
    pub http: Option<SocketAddr>,
    /// The origins whose pages may send from a browser; `*` is any.
    pub cors_origins: Vec<String>,
    /// TLS for both, if wanted.
    pub tls: Option<Tls>,
    /// What every client must show, if anything.
    pub token: Option<Token>,
    /// Largest message, in bytes, after decompression.
    pub max_message: usize,
    /// What all requests under way may hold together, in bytes.
    pub memory: usize,
    /// Most connections to each listener at one time.
    pub connections: usize,
    /// How long a client may take for the TLS handshake, for the headers, and for the body of a request.
    pub timeout: Duration,
}

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those between it and the root.
    pub cert: PathBuf,
    /// The key to it.
    pub key: PathBuf,
    /// By which certificates those of clients are checked; without it clients need none.
    pub client_ca: Option<PathBuf>,
}

/// A secret that clients send as `Authorization: Bearer …`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

const GRPC_PORT: u16 = 4317;
const HTTP_PORT: u16 = 4318;
/// SDKs send at most some thousand items at once; collectors in between send more.
const MAX_MESSAGE: ByteSize = ByteSize(16 * 1024 * 1024);
const MEMORY: ByteSize = ByteSize(64 * 1024 * 1024);
/// So that one request, even compressed or in JSON, cannot fail for want of memory alone.
const MESSAGES_IN_MEMORY: usize = 4;
const CONNECTIONS: usize = 1024;
const TIMEOUT: Duration = Duration::from_secs(30);

impl Config {
    /// Reads every key. `None` if both listeners are off.
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let grpc = listen(&mut section.section("grpc"), GRPC_PORT);
        let http = listen(&mut section.section("http"), HTTP_PORT);
        let config = Self {
            grpc,
            http,
            cors_origins: origins(&mut section.section("cors")),
            tls: Tls::read(&mut section.section("tls")),
            token: token(section),
            max_message: bytes(section, "max_message", MAX_MESSAGE),
            memory: bytes(section, "memory", MEMORY),
            connections: section.or("connections", CONNECTIONS),
            timeout: section.or("timeout", TIMEOUT),
        };
        if config.max_message == 0 {
            section.mistake("max_message", "must be more than 0");
        }
        if config.memory / MESSAGES_IN_MEMORY < config.max_message {
            let message = format!("must be at least {MESSAGES_IN_MEMORY} times `max_message`");
            section.mistake("memory", message);
        }
        if config.connections == 0 {
            section.mistake("connections", "must be at least 1");
        }
        if config.timeout.is_zero() {
            section.mistake("timeout", "must be longer than 0s");
        }
        (grpc.is_some() || http.is_some()).then_some(config)
    }
}

impl Tls {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let cert = section.optional("cert");
        let key = section.optional("key");
        let client_ca = section.optional("client_ca");
        match (cert, key) {
            (Some(cert), Some(key)) => Some(Self {
                cert,
                key,
                client_ca,
            }),
            (Some(_), None) => {
                section.mistake("key", "is needed with `cert`");
                None
            }
            (None, Some(_)) => {
                section.mistake("cert", "is needed with `key`");
                None
            }
            (None, None) => {
                if client_ca.is_some() {
                    section.mistake("client_ca", "needs `cert` and `key` beside it");
                }
                None
            }
        }
    }
}

fn token(section: &mut Section<'_>) -> Option<Token> {
    let token: String = section.optional("token")?;
    let fit = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !fit {
        section.mistake("token", "must be printable ASCII without spaces");
    }
    Some(Token(token))
}

fn bytes(section: &mut Section<'_>, key: &'static str, default: ByteSize) -> usize {
    let ByteSize(size) = section.or(key, default);
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn origins(section: &mut Section<'_>) -> Vec<String> {
    let origins: Vec<String> = section.list("origins");
    let fit = |origin: &String| {
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        origin == "*" || !(host.is_empty() || host.contains('/'))
    };
    if let Some(origin) = origins.iter().find(|origin| !fit(origin)) {
        let message =
            format!("`{origin}` is no origin; write `https://HOST`, `https://HOST:PORT` or `*`");
        section.mistake("origins", message);
    }
    origins
}

fn listen(section: &mut Section<'_>, port: u16) -> Option<SocketAddr> {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Listen(address) = section.or("listen", Listen(Some(default)));
    address
}

/// Where to listen, or not at all.
struct Listen(Option<SocketAddr>);

impl Scalar for Listen {
    const WHAT: &'static str = "`off`, or an address and a port such as `127.0.0.1:4317`";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        SocketAddr::parse(text).map(Some).map(Self)
    }

    fn show(&self) -> String {
        self.0
            .map_or_else(|| "off".to_owned(), |address| address.show())
    }
}
