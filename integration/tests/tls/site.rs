//! A web server that speaks HTTPS, and its access log.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use weir_integration::{eventually, process::Running};

use crate::container::{HOST, Image};

/// A certificate for 127.0.0.1, and a folder that lives as long as it.
pub(crate) struct Certificate {
    folder: TempDir,
}

impl Certificate {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let output = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "1", "-subj", "/CN=here"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1,IP:::1"])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(folder.path())
            .output()
            .context("openssl")?;
        ensure!(output.status.success(), "{output:?}");
        Ok(Self { folder })
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder().join("cert.pem")
    }
}

impl Certificate {
    /// Copies a program of this host into the folder: nobody else runs that file.
    pub(crate) fn copy_of(&self, program: &str) -> anyhow::Result<PathBuf> {
        let path = fs::canonicalize(program).context(program.to_owned())?;
        let name = program.rsplit('/').next().unwrap_or(program);
        let copy = self.folder().join(name);
        if !copy.exists() {
            fs::copy(path, &copy)?;
        }
        Ok(copy)
    }

    /// Chooses what runs from the folder, for a section of the configuration.
    pub(crate) fn chosen(&self, scope: &str) -> String {
        format!("paths: ['{}/*'], scope: {scope}", self.folder().display())
    }
}

/// An address of this host that nobody listens at.
pub(crate) fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A running nginx. It serves `/small.txt` (100 bytes) and `/large.bin` (3 MB); `/teapot` is 418, the rest is 404.
pub(crate) struct Site {
    pub(crate) certificate: Certificate,
    /// Ends with the site.
    _process: Running,
    pub(crate) http1: SocketAddr,
    pub(crate) http2: SocketAddr,
}

/// What the log says of a request: the client's port, the request line and the status.
pub(crate) type Logged = (u16, String, u16);

impl Site {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_as("", |certificate| {
            Ok(Command::new(certificate.copy_of("/usr/sbin/nginx")?))
        })
    }

    /// Starts it in the root of `image`, with a mount namespace of its own.
    pub(crate) fn start_in(image: &Image) -> anyhow::Result<Self> {
        Self::start_as(HOST, |_| Ok(image.command()))
    }

    /// `host` is where the server sees the root of this host.
    fn start_as(
        host: &str,
        command: impl Fn(&Certificate) -> anyhow::Result<Command>,
    ) -> anyhow::Result<Self> {
        let certificate = Certificate::new()?;
        let (http1, http2) = (free()?, free()?);
        let folder = certificate.folder();
        let seen = format!("{host}{}", folder.display());
        let path = seen.as_str();
        let config = format!(
            r#"daemon off; worker_processes 2; pid {path}/nginx.pid; error_log stderr notice; user root;
events {{ worker_connections 1024; }}
http {{
  log_format oracle '$remote_port|$request|$status';
  access_log {path}/access.log oracle;
  client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
  uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
  ssl_certificate {path}/cert.pem; ssl_certificate_key {path}/key.pem;
  client_max_body_size 100m; ssl_protocols TLSv1.2 TLSv1.3;
  server {{
    listen {http1} ssl; listen {http2} ssl http2; root {path}/www;
    location = /teapot {{ return 418; }}
  }}
}}
"#
        );
        fs::create_dir(folder.join("www"))?;
        fs::write(folder.join("www/small.txt"), [b's'; 100])?;
        fs::write(folder.join("www/large.bin"), vec![7; 3_000_000])?;
        fs::write(folder.join("nginx.conf"), config)?;
        let mut command = command(&certificate)?;
        command.args(["-c", &format!("{path}/nginx.conf"), "-p", path]);
        let process = Running::start_group("nginx", &mut command)?;
        eventually("nginx to listen", || {
            TcpStream::connect(http1)
                .and(TcpStream::connect(http2))
                .map_err(|error| error.to_string())
        })?;
        Ok(Self {
            certificate,
            _process: process,
            http1,
            http2,
        })
    }

    /// What it has logged, once it is as many requests.
    pub(crate) fn log(&self, requests: usize) -> anyhow::Result<BTreeSet<Logged>> {
        let text = eventually("nginx to log", || {
            let file = self.certificate.folder().join("access.log");
            let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
            if text.lines().count() >= requests {
                Ok(text)
            } else {
                Err(text)
            }
        })?;
        text.lines()
            .map(|line| {
                let words: Vec<_> = line.split('|').collect();
                let [port, request, status] = words[..] else {
                    anyhow::bail!("a line of the log is {line:?}");
                };
                Ok((port.parse()?, request.to_owned(), status.parse()?))
            })
            .collect()
    }

    /// Runs the copy of curl with the certificate.
    pub(crate) fn curl(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output = Command::new(self.certificate.copy_of("/usr/bin/curl")?)
            .args(["--silent", "--output", "/dev/null", "--cacert"])
            .arg(self.certificate.certificate())
            .args(arguments)
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(())
    }
}
