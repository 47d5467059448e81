//! What is no HTTP, and HTTP that wants to do harm: told apart, counted, and bounded in memory.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::Command,
    thread,
};

use anyhow::{Context as _, ensure};
use weir_integration::{
    eventually,
    flows::{Row, sum},
    nginx::Nginx,
    packages::run,
    process::Running,
    watched::Watched,
};

use crate::{http, watch};

/// With spans, the agent reads every message; without, the kernel counts.
const SPANS: &str = "  spans:\n    enabled: true\n";
/// Nobody else on this host listens here.
const PORT_80: &str = "127.0.0.80:80";
/// KiB that an agent may take besides what it took before.
const MORE_MEMORY: u64 = 32 << 10;

struct Scene {
    watched: Watched,
    nginx: Nginx,
    /// Memory of the agent at the beginning, in KiB.
    before: u64,
}

/// Resident memory of a process, in KiB.
fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no VmRSS")?.parse()?)
}

impl Scene {
    fn start(more: &str) -> anyhow::Result<Self> {
        let nginx = Nginx::start(true)?;
        let watched = watch(more)?;
        let before = resident(watched.agent.process.pid())?;
        let scene = Self {
            watched,
            nginx,
            before,
        };
        Ok(scene)
    }

    fn is_bounded(&self) -> anyhow::Result<()> {
        let now = resident(self.watched.agent.process.pid())?;
        ensure!(
            now < self.before + MORE_MEMORY,
            "{} KiB became {now}",
            self.before
        );
        Ok(())
    }

    fn client(&self) -> anyhow::Result<TcpStream> {
        Ok(TcpStream::connect(self.nginx.http1)?)
    }

    /// Waits until what was done before is in the rows: a good request that comes after it is.
    fn settle(&self) -> anyhow::Result<()> {
        let mut client = self.client()?;
        client.write_all(b"GET /settled HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
        client.read_to_string(&mut String::new())?;
        self.counted(self.nginx.http1.port(), "/settled", 404, 1)?;
        Ok(())
    }

    /// Waits until both sides have so many requests for `path`, all with this status.
    fn counted(
        &self,
        port: u16,
        path: &str,
        status: u16,
        count: u64,
    ) -> anyhow::Result<[Vec<Row>; 2]> {
        let side = |side| {
            let is_it = |row: &Row| http(side, port)(row) && row.tag("path") == path;
            let rows = self
                .watched
                .flows
                .until(path, is_it, |rows| sum(rows, "count") == count)?;
            let differs = rows
                .iter()
                .find(|row| row.field("status_code") != Some(status.into()));
            ensure!(differs.is_none(), "{differs:?}");
            Ok(rows)
        };
        Ok([side("incoming")?, side("outgoing")?])
    }

    /// That there are no requests with the server at this address.
    fn is_no_http(&self, at: SocketAddr) -> anyhow::Result<()> {
        self.settle()?;
        let address = at.ip().to_string();
        let rows = self.watched.flows.rows(|row| {
            let is_there = [row.tag("src_ip"), row.tag("dst_ip")].contains(&address.as_str());
            row.tag("source") == "httpflow" && is_there
        });
        ensure!(rows.is_empty(), "{rows:?}");
        self.is_bounded()
    }
}

/// Clients that `wait` for the end of the connection, or are gone before.
fn slow_clients(more: &str, wait: bool) -> anyhow::Result<()> {
    const CLIENTS: u64 = 300;
    let scene = Scene::start(more)?;
    let clients = (0..CLIENTS).map(|_| scene.client());
    let mut clients = clients.collect::<Result<Vec<_>, _>>()?;
    for client in &mut clients {
        client.write_all(b"GET /slow HTTP/1.1\r\nHost: here\r\n")?;
    }
    for line in 0..30 {
        for client in &mut clients {
            write!(client, "X-{line}: {}\r\n", "x".repeat(30))?;
        }
    }
    scene.is_bounded()?;
    for mut client in clients {
        if wait {
            client.shutdown(Shutdown::Write)?;
            client.read_to_end(&mut Vec::new())?;
        }
    }
    let sides = scene.counted(scene.nginx.http1.port(), "/slow", 0, CLIENTS)?;
    for row in sides.iter().flatten() {
        ensure!(["closed", "reset"].contains(&row.tag("reason")), "{row:?}");
    }
    scene.is_bounded()
}

#[test]
fn clients_that_never_end_their_heads_are_counted_as_not_answered() -> anyhow::Result<()> {
    slow_clients("", true).context("counted by the kernel")?;
    slow_clients(SPANS, true).context("read by the agent")
}

#[test]
#[ignore = "a client's socket is gone before the other end's FIN"]
fn what_a_client_gives_up_is_counted_on_its_side_too() -> anyhow::Result<()> {
    slow_clients("", false).context("counted by the kernel")?;
    slow_clients(SPANS, false).context("read by the agent")
}

fn bombs(more: &str) -> anyhow::Result<()> {
    const BOMBS: u64 = 50;
    let scene = Scene::start(more)?;
    let lines: String = (0..2000)
        .map(|line| format!("X-{line}: {}\r\n", "x".repeat(20)))
        .collect();
    let bomb = format!("GET /bomb HTTP/1.1\r\nHost: here\r\n{lines}\r\n");
    for _ in 0..BOMBS {
        let mut client = scene.client()?;
        // It may be told off, and cut off, before it has said all.
        let _cut_off = client.write_all(bomb.as_bytes());
        let _cut_off = client.read_to_end(&mut Vec::new());
    }
    scene.counted(scene.nginx.http1.port(), "/bomb", 400, BOMBS)?;
    scene.is_bounded()
}

#[test]
fn requests_with_far_too_many_headers_are_counted_with_the_servers_refusal() -> anyhow::Result<()> {
    bombs("")?;
    bombs(SPANS)
}

/// One connection of a server that does `serve`.
fn once(
    at: &str,
    serve: impl FnOnce(TcpStream) -> std::io::Result<u64> + Send + 'static,
) -> anyhow::Result<(SocketAddr, thread::JoinHandle<std::io::Result<u64>>)> {
    let listener = TcpListener::bind(at)?;
    let address = listener.local_addr()?;
    let thread = thread::spawn(move || serve(listener.accept()?.0));
    Ok((address, thread))
}

fn joined<T>(thread: thread::JoinHandle<std::io::Result<T>>) -> anyhow::Result<T> {
    let result = thread.join().ok().context("a thread panicked")?;
    Ok(result?)
}

/// More than a body may have before it counts as endless.
const ENDLESS: usize = 300 << 20;

/// The server waits until the client has ended the connection too, or is gone before.
fn endless_answer(more: &str, wait: bool) -> anyhow::Result<()> {
    let scene = Scene::start(more)?;
    let (at, server) = once("127.0.0.1:0", move |mut stream| {
        let mut request = [0; 1000];
        let _length = stream.read(&mut request)?;
        let head = b"HTTP/1.1 200 OK\r\n\r\n";
        stream.write_all(head)?;
        let block = vec![0; 1 << 20];
        for _ in 0..ENDLESS / block.len() {
            stream.write_all(&block)?;
        }
        if wait {
            stream.shutdown(Shutdown::Write)?;
            stream.read_to_end(&mut Vec::new())?;
        }
        Ok((head.len() + ENDLESS) as u64)
    })?;
    let mut client = TcpStream::connect(at)?;
    let request = b"GET /endless HTTP/1.1\r\nHost: here\r\n\r\n";
    client.write_all(request)?;
    let read = std::io::copy(&mut client, &mut std::io::sink())?;
    drop(client);
    ensure!(read == joined(server)?);
    scene.settle()?;
    let is_it = |side| http(side, at.port());
    for (side, field) in [("incoming", "bytes_written"), ("outgoing", "bytes_read")] {
        scene
            .watched
            .flows
            .until(side, is_it(side), |rows| sum(rows, field) == read)?;
    }
    scene.counted(at.port(), "/endless", 200, 1)?;
    scene.is_bounded()
}

#[test]
fn an_answer_that_does_not_end_is_counted_to_the_byte() -> anyhow::Result<()> {
    endless_answer("", false).context("counted by the kernel")?;
    endless_answer(SPANS, true).context("read by the agent")
}

#[test]
#[ignore = "a server's socket is gone before the other end's FIN"]
fn an_answer_that_ends_with_its_server_is_counted_to_the_byte() -> anyhow::Result<()> {
    endless_answer(SPANS, false)
}

fn endless_request(more: &str) -> anyhow::Result<()> {
    let scene = Scene::start(more)?;
    let (at, server) = once("127.0.0.1:0", |mut stream| {
        let read = std::io::copy(&mut stream, &mut std::io::sink())?;
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")?;
        Ok(read)
    })?;
    let mut client = TcpStream::connect(at)?;
    let head = b"POST /endless HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head)?;
    let chunk = [b"100000\r\n", &vec![0; 1 << 20][..], b"\r\n"].concat();
    for _ in 0..ENDLESS / chunk.len() {
        client.write_all(&chunk)?;
    }
    client.shutdown(Shutdown::Write)?;
    client.read_to_end(&mut Vec::new())?;
    let read = joined(server)?;
    for (side, field) in [("incoming", "bytes_read"), ("outgoing", "bytes_written")] {
        scene
            .watched
            .flows
            .until(side, http(side, at.port()), |rows| sum(rows, field) == read)?;
    }
    scene.counted(at.port(), "/endless", 413, 1)?;
    scene.is_bounded()
}

#[test]
fn a_request_that_does_not_end_is_counted_to_the_byte() -> anyhow::Result<()> {
    endless_request("")?;
    endless_request(SPANS)
}

/// How other protocols begin.
const OTHERS: [&[u8]; 7] = [
    b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
    b"get one two three four five\r\n",
    b"\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x09\0\x03\0\0u\0",
    b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    b"GET hello is no target that HTTP has\r\n",
    b"HTTP is not what is spoken here\r\n",
    b"\x10\x16\0\x04MQTT\x05\x02\0\x3c\0\0\x09a-client\0",
];

fn other_protocols(more: &str) -> anyhow::Result<()> {
    let scene = Scene::start(more)?;
    for begins in OTHERS {
        let (at, server) = once(PORT_80, |mut stream| {
            let mut block = [0; 4096];
            let mut all = 0;
            loop {
                let length = stream.read(&mut block)?;
                if length == 0 {
                    return Ok(all);
                }
                stream.write_all(&block[..length])?;
                all += length as u64;
            }
        })?;
        let mut client = TcpStream::connect(at)?;
        for round in 0..200u8 {
            let mut said = begins.to_vec();
            said.extend(vec![round; 500]);
            client.write_all(&said)?;
            client.read_exact(&mut said)?;
        }
        drop(client);
        joined(server)?;
    }
    scene.is_no_http(PORT_80.parse()?)
}

#[test]
fn other_protocols_on_port_80_are_no_http() -> anyhow::Result<()> {
    other_protocols("")?;
    other_protocols(SPANS)
}

#[test]
fn tls_on_port_80_is_no_http_but_has_a_name() -> anyhow::Result<()> {
    let scene = Scene::start("")?;
    let folder = scene.nginx.folder();
    let certificate =
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=here";
    run(Command::new("openssl")
        .args(certificate.split(' '))
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder))?;
    let mut server = Running::start(
        "openssl s_server",
        Command::new("openssl")
            .args(["s_server", "-accept", PORT_80, "-www"])
            .args(["-key", "key.pem", "-cert", "cert.pem"])
            .current_dir(folder),
    )?;
    server.line(|line| line.starts_with("ACCEPT").then_some(()))?;
    let to = format!("name.example:80:{PORT_80}");
    run(Command::new("curl")
        .args(["-sSk", "--http1.1", "-o", "/dev/null"])
        .args(["--connect-to", &to, "https://name.example:80/"]))?;
    let is_it =
        |row: &Row| row.tag("source") == "netflow" && row.tag("dst_domain") == "name.example";
    let rows = eventually("the name in the flows", || {
        let rows = scene.watched.flows.rows(is_it);
        (!rows.is_empty())
            .then_some(rows)
            .ok_or_else(|| "none".to_owned())
    })?;
    ensure!(
        rows.iter().all(|row| row.tag("dst_port") == "80"),
        "{rows:?}"
    );
    scene.is_no_http(PORT_80.parse()?)
}
