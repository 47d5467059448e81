//! A real web server, and its access log as an oracle.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::{
    eventually,
    process::{Running, cpu_time},
};

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    /// Its process.
    pub process: Running,
    /// Where it speaks HTTP/1.
    pub http1: SocketAddr,
    /// Where it speaks HTTP/2 without TLS.
    pub http2: SocketAddr,
    folder: TempDir,
}

/// What the log says of requests with one method, path and status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logged {
    /// Requests.
    pub count: u64,
    /// Bytes of the requests, heads and bodies.
    pub read: u64,
    /// Bytes of the answers, heads and bodies.
    pub written: u64,
}

/// Method, path and status.
pub type Kind = (String, String, u16);

/// An address of this host that nobody listens at.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Nginx {
    /// Starts it with one worker. It serves `/small.txt` (100 bytes) and `/large.bin` (3 MB), answers `/teapot` with
    /// 418, takes uploads at `/upload`, and everything else is 404. With `logs`, every request is written to its log.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(logs: bool) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("failed to make a folder")?;
        let path = folder.path().display();
        let (http1, http2) = (free()?, free()?);
        let log = if logs {
            format!("access_log {path}/access.log oracle;")
        } else {
            "access_log off;".to_owned()
        };
        let config = format!(
            r#"daemon off; worker_processes 1; pid {path}/nginx.pid; error_log stderr notice; user root;
events {{ worker_connections 4096; }}
http {{
  log_format oracle '$request_method $uri $status $request_length $bytes_sent';
  {log}
  client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
  uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
  keepalive_requests 100000000; client_max_body_size 100m;
  server {{
    listen {http1}; listen {http2} http2; root {path}/www;
    location = /teapot {{ return 418; }}
    location = /upload {{ proxy_pass http://{http1}/sink; }}
    location = /sink {{ client_body_in_single_buffer on; return 204; }}
  }}
}}
"#
        );
        fs::create_dir(folder.path().join("www"))?;
        fs::write(folder.path().join("www/small.txt"), [b's'; 100])?;
        fs::write(folder.path().join("www/large.bin"), vec![7; 3_000_000])?;
        let file = folder.path().join("nginx.conf");
        fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&file).arg("-p").arg(folder.path());
        let process = Running::start_group("nginx", &mut command)?;
        eventually("nginx to listen", || {
            TcpStream::connect(http1)
                .and(TcpStream::connect(http2))
                .map_err(|error| error.to_string())
        })?;
        Ok(Self {
            process,
            http1,
            http2,
            folder,
        })
    }

    /// CPU time of it and its worker.
    ///
    /// # Errors
    /// If they have ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let master = self.process.pid();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        let workers = children.split_whitespace().map(str::parse);
        let pids: Vec<u32> = workers.collect::<Result<_, _>>()?;
        pids.into_iter().chain([master]).map(cpu_time).sum()
    }

    /// What it has logged so far.
    ///
    /// # Errors
    /// If the log cannot be read, or a line of it is not as expected.
    pub fn log(&self) -> anyhow::Result<BTreeMap<Kind, Logged>> {
        let text = fs::read_to_string(self.folder.path().join("access.log"))?;
        let mut kinds: BTreeMap<Kind, Logged> = BTreeMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [method, path, status, read, written] = words[..] else {
                anyhow::bail!("a line of the log is {line:?}");
            };
            let kind = (method.to_owned(), path.to_owned(), status.parse()?);
            let logged = kinds.entry(kind).or_default();
            logged.count += 1;
            logged.read += read.parse::<u64>()?;
            logged.written += written.parse::<u64>()?;
        }
        Ok(kinds)
    }

    /// The folder that lives as long as it.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}
