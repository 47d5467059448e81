//! OpenSSL: nginx, curl, Python.

use std::{collections::BTreeSet, process::Command};

use anyhow::{Context as _, ensure};
use weir_ebpf_common::http::{flag, protocol};
use weir_integration::{eventually, process::Running};

use crate::{
    Reading, Seen,
    site::{Logged, Site},
    told,
};

#[test]
fn requests_over_https_are_read_on_both_sides_as_the_server_logs_them() -> anyhow::Result<()> {
    let site = Site::start()?;
    let mut reading = Reading::start(&site.certificate.chosen("file"))?;
    reading.probes_in(1)?;
    let at = site.http1;
    for version in ["--tlsv1.3", "--tls-max"] {
        let more: &[&str] = if version == "--tls-max" {
            &["1.2"]
        } else {
            &[]
        };
        let urls = ["small.txt", "teapot", "none", "large.bin"]
            .map(|path| format!("https://{at}/{path}?{version}"));
        let mut arguments = vec!["--http1.1", version];
        arguments.extend(more);
        for url in &urls {
            arguments.push(url);
        }
        site.curl(&arguments)?;
    }
    let logged = site.log(8)?;
    let of_server = |seen: &Seen| seen.local() == at;
    let seen = reading.until("both sides", |seen| {
        let (server, client): (Vec<_>, Vec<_>) = seen.iter().cloned().partition(of_server);
        told(&server, true) == logged && told(&client, false) == logged
    })?;
    for piece in &seen {
        let name = if of_server(piece) { "nginx" } else { "curl" };
        ensure!(piece.process() == name, "{piece:?}");
        ensure!(piece.piece.flags & flag::TLS != 0, "{piece:?}");
        ensure!(piece.piece.protocol == protocol::HTTP1, "{piece:?}");
    }
    // The body of the large answer is known by its length only.
    let copied: usize = seen.iter().map(|seen| seen.bytes.len()).sum();
    ensure!(copied < 200_000, "{copied} bytes were copied");
    ensure!(
        reading.counter("tls_lost", "unlinked") == 0,
        "{:?}",
        reading.counters()
    );
    Ok(())
}

/// Starts a Python program with the site's certificate in its working folder.
fn python(site: &Site, program: &str) -> anyhow::Result<Running> {
    let mut command = Command::new(site.certificate.copy_of("/usr/bin/python3")?);
    command
        .args(["-u", "-c", program])
        .current_dir(site.certificate.folder());
    Running::start("python3", &mut command)
}

#[test]
fn clients_that_live_for_a_moment_are_read_from_their_first_call() -> anyhow::Result<()> {
    let site = Site::start()?;
    let curl = site.certificate.copy_of("/usr/bin/curl")?;
    let mut reading = Reading::start(&format!("paths: ['{}'], scope: file", curl.display()))?;
    let url = |path: &str| format!("https://{}/{path}", site.http1);
    // The first ones show which library they use.
    eventually("probes", || {
        let done = site.curl(&["--http1.1", &url("first")]);
        done.map_err(|error| error.to_string())?;
        let probed = reading.counter("tls_files_probed", "");
        if probed > 0 {
            Ok(())
        } else {
            Err(format!("{:?}", reading.counters()))
        }
    })?;
    for _ in 0..10 {
        site.curl(&["--http1.1", &url("teapot")])?;
    }
    let logged: BTreeSet<Logged> = site
        .log(11)?
        .into_iter()
        .filter(|logged| logged.2 == 418)
        .collect();
    ensure!(logged.len() == 10, "{logged:?}");
    reading.until("ten requests", |seen| logged.is_subset(&told(seen, false)))?;
    Ok(())
}

#[test]
fn http2_heads_are_handed_on_and_large_bodies_are_not() -> anyhow::Result<()> {
    let site = Site::start()?;
    let mut reading = Reading::start(&site.certificate.chosen("file"))?;
    reading.probes_in(1)?;
    let at = site.http2;
    let url = |path: &str| format!("https://{at}/{path}");
    site.curl(&[
        "--http2",
        &url("small.txt"),
        &url("large.bin"),
        &url("teapot"),
    ])?;
    ensure!(
        site.log(3)?
            .iter()
            .all(|(_, line, _)| line.ends_with("HTTP/2.0"))
    );
    let is_server = |seen: &Seen| seen.local() == at;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let seen = reading.until("both ends of the connection", |seen| {
        let gone = seen
            .iter()
            .filter(|seen| seen.piece.flags & flag::GONE != 0);
        gone.count() == 2
    })?;
    for server in [true, false] {
        let side: Vec<_> = seen
            .iter()
            .filter(|seen| is_server(seen) == server)
            .collect();
        ensure!(
            side.iter()
                .all(|seen| seen.piece.protocol == protocol::HTTP2)
        );
        for sent in [true, false] {
            let way: Vec<&Seen> = side
                .iter()
                .copied()
                .filter(|seen| seen.is_sent() == sent)
                .collect();
            let (skipped, copied) = frames_of(&way)?;
            let is_client = sent != server;
            if is_client {
                ensure!(way[0].bytes.starts_with(preface), "{:?}", way[0]);
            } else {
                ensure!(skipped >= 2_900_000, "{skipped} bytes left out");
                ensure!(copied < 60_000, "{copied} bytes copied");
            }
        }
    }
    Ok(())
}

/// Walks over the frames of one direction by what was handed on alone: what was left out must be payload of DATA
/// frames. Bytes that were left out and bytes that were not.
fn frames_of(way: &[&Seen]) -> anyhow::Result<(u64, u64)> {
    let mut stream: Vec<Option<u8>> = Vec::new();
    for seen in way {
        let at = seen.piece.position as usize;
        ensure!(at >= stream.len(), "{at} comes after {}", stream.len());
        stream.resize(at, None);
        stream.extend(seen.bytes.iter().map(|byte| Some(*byte)));
        stream.resize(at + seen.piece.length as usize, None);
    }
    let copied = stream.iter().flatten().count() as u64;
    let mut at = if stream.first() == Some(&Some(b'P')) {
        24
    } else {
        0
    };
    while at + 9 <= stream.len() {
        let header: Option<Vec<u8>> = stream[at..at + 9].iter().copied().collect();
        let header = header.with_context(|| format!("a frame's header at {at} is missing"))?;
        let length =
            usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
        let payload = &stream[at + 9..(at + 9 + length).min(stream.len())];
        ensure!(
            header[3] == 0 || payload.iter().all(Option::is_some),
            "type {}",
            header[3]
        );
        at += 9 + length;
    }
    Ok((stream.len() as u64 - copied, copied))
}

#[test]
fn python_is_read_in_both_roles_also_where_it_does_its_own_input_and_output() -> anyhow::Result<()>
{
    let site = Site::start()?;
    let mut reading = Reading::start(&site.certificate.chosen("file"))?;
    let server = r#"
import asyncio, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
async def serve(reader, writer):
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        print("served", writer.get_extra_info("peername")[1], path, flush=True)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;
    let mut server = python(&site, server)?;
    let port: u16 = server.line(|line| line.strip_prefix("port ")?.parse().ok())?;
    reading.probes_in(1)?;
    let client = format!(
        r#"
import http.client, ssl
context = ssl.create_default_context(cafile="cert.pem")
connection = http.client.HTTPSConnection("127.0.0.1", {port}, context=context)
for path in ("/a", "/b", "/c"):
    connection.request("GET", path)
    if path == "/a": print("from", connection.sock.getsockname()[1], flush=True)
    assert connection.getresponse().read() == b"ok"
"#
    );
    let mut client = python(&site, &client)?;
    let from: u16 = client.line(|line| line.strip_prefix("from ")?.parse().ok())?;
    let expected: BTreeSet<Logged> = ["/a", "/b", "/c"]
        .map(|path| (from, format!("GET {path} HTTP/1.1"), 200))
        .into();
    reading.until("three requests on both sides", |seen| {
        let (of_server, of_client): (Vec<_>, Vec<_>) = seen
            .iter()
            .cloned()
            .partition(|seen| seen.local().port() == port);
        told(&of_server, true) == expected && told(&of_client, false) == expected
    })?;
    ensure!(
        reading.counter("tls_linked", "size") == 1,
        "{:?}",
        reading.counters()
    );
    Ok(())
}

#[test]
fn processes_that_nobody_has_chosen_are_not_read() -> anyhow::Result<()> {
    let site = Site::start()?;
    let nginx = site.certificate.copy_of("/usr/sbin/nginx")?;
    let mut reading = Reading::start(&format!("paths: ['{}'], scope: file", nginx.display()))?;
    reading.probes_in(1)?;
    let at = site.http1;
    site.curl(&["--http1.1", &format!("https://{at}/small.txt")])?;
    let logged = site.log(1)?;
    let seen = reading.until("the server's side", |seen| told(seen, true) == logged)?;
    ensure!(
        seen.iter()
            .all(|seen| seen.local() == at && seen.process() == "nginx")
    );
    Ok(())
}

#[test]
fn with_probes_in_chosen_processes_alone_a_client_that_lives_for_long_is_read() -> anyhow::Result<()>
{
    let site = Site::start()?;
    let client = format!(
        r#"
import http.client, ssl
context = ssl.create_default_context(cafile="cert.pem")
print("ready", flush=True)
input()
connection = http.client.HTTPSConnection("127.0.0.1", {}, context=context)
connection.request("GET", "/teapot")
connection.getresponse().read()
"#,
        site.http1.port()
    );
    let mut client = python(&site, &client)?;
    client.line(|line| (line == "ready").then_some(()))?;
    let mut reading = Reading::start(&site.certificate.chosen("process"))?;
    client.tell("")?;
    let logged = site.log(1)?;
    reading.until("both sides", |seen| {
        let (server, client): (Vec<_>, Vec<_>) = seen
            .iter()
            .cloned()
            .partition(|seen| seen.local() == site.http1);
        told(&server, true) == logged && told(&client, false) == logged
    })?;
    Ok(())
}
