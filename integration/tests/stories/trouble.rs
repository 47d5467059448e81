//! Bad input, missing rights, and processes that go away.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustix::process::Signal;
use weir_integration::{
    eventually,
    flows::{Flows, sum},
    process::Running,
    program,
    traffic::{Program, Said},
    watched::Watched,
    weir::{Agent, Gateway},
};

/// Runs a weir program that must refuse to start; returns what it said.
fn refused(wrapper: &[&str], name: &str, config: &str) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, config)?;
    let words = wrapper.iter().map(|word| (*word).to_owned());
    let words: Vec<_> = words
        .chain([program(name)?.display().to_string()])
        .collect();
    let mut process = Running::start(
        name,
        Command::new(&words[0])
            .args(&words[1..])
            .arg("--config")
            .arg(file),
    )?;
    let status = process.ended()?;
    assert!(
        !status.success(),
        "{name} must refuse: {:?}",
        process.stderr()
    );
    // The pipe may hold the last words for a moment.
    eventually("its last words", || match process.stderr().join("\n") {
        text if text.is_empty() => Err("nothing".to_owned()),
        text => Ok(text),
    })
}

#[test]
fn every_mistake_in_a_configuration_is_named_with_its_place() -> anyhow::Result<()> {
    let config = "netflow:\n  perod: 10s\n  ring: 3MiB\n  max_connections: many\nhots: x\n";
    let said = refused(&[], "weir-agent", config)?;
    for part in [
        "config.yaml:2:3",
        "perod",
        "period",
        "config.yaml:3",
        "power of two",
        "config.yaml:4",
        "max_connections",
        "config.yaml:5:1",
        "hots",
    ] {
        assert!(said.contains(part), "{part} in: {said}");
    }
    let said = refused(&[], "weir-gateway", "prometheus:\n  lisen: 127.0.0.1:0\n")?;
    for part in ["config.yaml:2:3", "lisen"] {
        assert!(said.contains(part), "{part} in: {said}");
    }
    Ok(())
}

#[test]
fn a_gateway_says_which_port_is_taken() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    let said = refused(
        &[],
        "weir-gateway",
        &format!("flow:\n  listen: {address}\nprometheus:\n  listen: 127.0.0.1:0\n"),
    )?;
    for part in ["flow.listen", &address.to_string(), "in use"] {
        assert!(said.contains(part), "{part} in: {said}");
    }
    Ok(())
}

#[test]
fn an_agent_without_capabilities_names_them() -> anyhow::Result<()> {
    let drop_all = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"];
    let said = refused(&drop_all, "weir-agent", "")?;
    for part in [
        "CAP_BPF",
        "CAP_PERFMON",
        "CAP_SYS_ADMIN",
        "run the agent as root",
    ] {
        assert!(said.contains(part), "{part} in: {said}");
    }
    Ok(())
}

#[test]
fn an_agent_that_may_only_use_ebpf_says_that_the_kernel_has_no_btf() -> anyhow::Result<()> {
    let hide = [
        "unshare",
        "-m",
        "sh",
        "-c",
        "mount -t tmpfs none /sys/kernel/btf && exec \"$0\" \"$@\"",
    ];
    let said = refused(&hide, "weir-agent", "netflow: {hook: btf_tracepoint}\n")?;
    for part in ["no BTF", "/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"] {
        assert!(said.contains(part), "{part} in: {said}");
    }
    Ok(())
}

#[test]
fn an_agent_that_the_kernel_refuses_says_what_it_tried_and_why() -> anyhow::Result<()> {
    // No descriptors are left for maps and programs.
    let said = refused(&["prlimit", "--nofile=12:12"], "weir-agent", "")?;
    for part in [
        "no way to observe TCP works",
        "btf_tracepoint: the kernel refused",
        "raw_tracepoint: the kernel refused",
        "os error 24",
    ] {
        assert!(said.contains(part), "{part} in: {said}");
    }
    Ok(())
}

/// One exchange; returns the port and what the client said.
fn exchange(bytes: u64) -> anyhow::Result<(u16, Said)> {
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let mut server = billing.run(
        None,
        &format!("serve --listen 127.0.0.1:0 --expect {bytes} --send 1"),
    )?;
    let port = server.port()?;
    let client = orders
        .run(
            None,
            &format!("connect --to 127.0.0.1:{port} --send {bytes} --expect 1"),
        )?
        .said()?;
    server.said()?;
    Ok((port, client))
}

/// Bytes that the client on `port` sent, as the gateway's metrics page has them.
fn sent(gateway: &Gateway, port: u16) -> Result<f64, String> {
    let to = format!(r#"destination_port="{port}""#);
    let labels = [
        to.as_str(),
        r#"flow_direction="outgoing""#,
        r#"network_io_direction="transmit""#,
    ];
    gateway
        .metric("weir_network_flow_io_bytes_total", &labels)
        .map_err(|error| error.to_string())
}

fn until_sent(gateway: &Gateway, port: u16, bytes: u64) -> anyhow::Result<()> {
    eventually("the gateway to count the bytes", || {
        match sent(gateway, port)? {
            value if value == bytes as f64 => Ok(()),
            value => Err(format!("{value} instead of {bytes}")),
        }
    })
}

#[test]
fn rows_wait_for_a_gateway_that_is_not_there_yet() -> anyhow::Result<()> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let agent = Agent::start(address, "")?;
    agent.process.said("gateway away, trying again", 1)?;
    let (port, client) = exchange(4321)?;

    let gateway = Gateway::start_at(&address.to_string(), "")?;

    until_sent(&gateway, port, client.written)
}

fn a_gateway_restart_neither_loses_nor_doubles(signal: Signal) -> anyhow::Result<()> {
    let first = Gateway::start("")?;
    let flow = first.flow;
    let _agent = Agent::start(flow, "")?;
    let (before, client) = exchange(1000)?;
    until_sent(&first, before, client.written)?;
    // Acknowledged, not only processed: the agent does not send it again.
    eventually("everything to be acknowledged", || {
        let metric = |name| first.metric(name, &[]).map_err(|error| error.to_string());
        let (rows, acked) = (
            metric("weir_agent_uplink_rows_total")?,
            metric("weir_agent_uplink_rows_acked_total")?,
        );
        if acked > 0.0 && acked >= rows - 2.0 {
            Ok(())
        } else {
            Err(format!("{acked} of {rows}"))
        }
    })?;
    let mut process = first.process;
    process.signal(signal)?;
    process.ended()?;
    let (during, meanwhile) = exchange(2000)?;

    let second = Gateway::start_at(&flow.to_string(), "")?;
    let (after, later) = exchange(3000)?;

    until_sent(&second, during, meanwhile.written)?;
    until_sent(&second, after, later.written)?;
    assert_eq!(
        sent(&second, before).map_err(anyhow::Error::msg)?,
        0.0,
        "not counted twice"
    );
    assert_eq!(
        second.metric("weir_agent_uplink_rows_dropped_total", &[])?,
        0.0
    );
    Ok(())
}

#[test]
fn a_gateway_that_is_restarted_loses_and_doubles_nothing() -> anyhow::Result<()> {
    a_gateway_restart_neither_loses_nor_doubles(Signal::TERM)
}

#[test]
fn a_gateway_that_is_killed_loses_nothing_unacknowledged() -> anyhow::Result<()> {
    a_gateway_restart_neither_loses_nor_doubles(Signal::KILL)
}

/// A wire between agent and gateway that can be cut, and that can swallow what the gateway says.
struct Wire {
    address: SocketAddr,
    deaf: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    fn to(gateway: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let wire = Self {
            address: listener.local_addr()?,
            deaf: Arc::default(),
            open: Arc::default(),
        };
        let (deaf, open) = (Arc::clone(&wire.deaf), Arc::clone(&wire.open));
        thread::spawn(move || {
            for agent in listener.incoming().map_while(Result::ok) {
                let Ok(upstream) = TcpStream::connect(gateway) else {
                    continue;
                };
                let ends = [
                    agent.try_clone(),
                    upstream.try_clone(),
                    agent.try_clone(),
                    upstream.try_clone(),
                ];
                let [Ok(a), Ok(b), Ok(c), Ok(d)] = ends else {
                    continue;
                };
                open.lock().unwrap().extend([agent, upstream]);
                thread::spawn(move || pump(a, b, &AtomicBool::new(false)));
                let deaf = Arc::clone(&deaf);
                thread::spawn(move || pump(d, c, &deaf));
            }
        });
        Ok(wire)
    }

    /// Ends every connection and begins to hear again.
    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // The peer may have been faster.
            let _gone = stream.shutdown(Shutdown::Both);
        }
        self.deaf.store(false, Ordering::SeqCst);
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, swallow: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(got @ 1..) = from.read(&mut buffer) {
        if !swallow.load(Ordering::SeqCst) && to.write_all(&buffer[..got]).is_err() {
            return;
        }
    }
}

#[test]
fn a_batch_whose_acknowledgement_was_lost_is_counted_once() -> anyhow::Result<()> {
    let gateway = Gateway::start("")?;
    let wire = Wire::to(gateway.flow)?;
    let agent = Agent::start(wire.address, "")?;
    let mut expected = Vec::new();
    for round in 1..=3 {
        agent.process.said("gateway connected", round as usize)?;
        // From here on the gateway processes what the agent sends, but the agent does not learn of it.
        wire.deaf.store(true, Ordering::SeqCst);
        let (port, client) = exchange(1000 * round)?;
        until_sent(&gateway, port, client.written)?;
        expected.push((port, client.written));
        wire.cut();
    }
    // The agent is back, has sent everything again, and gone on.
    let (last, client) = exchange(77)?;
    until_sent(&gateway, last, client.written)?;
    for (port, bytes) in expected {
        assert_eq!(
            sent(&gateway, port).map_err(anyhow::Error::msg)?,
            bytes as f64,
            "port {port}"
        );
    }
    Ok(())
}

#[test]
fn an_agent_that_is_killed_and_restarted_counts_nothing_twice() -> anyhow::Result<()> {
    let weir = Watched::start("")?;
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let mut server = billing.run(None, "serve --listen 127.0.0.1:0 --expect 1000 --send 10")?;
    let port = server.port()?;
    let connect =
        format!("connect --to 127.0.0.1:{port} --send 1000 --expect 10 --rounds 3 --hold");
    let mut client = orders.run(None, &connect)?;
    client.go_on()?;
    client.step("round 1")?;
    until_sent(&weir.gateway, port, 1000)?;

    let Watched {
        mut agent, gateway, ..
    } = weir;
    agent.process.signal(Signal::KILL)?;
    agent.process.ended()?;
    client.go_on()?;
    client.step("round 2")?;
    let _again = Agent::start(gateway.flow, "")?;
    client.go_on()?;
    client.step("round 3")?;

    // The first and the third thousand; the second moved while nobody watched.
    until_sent(&gateway, port, 2000)?;
    client.step("held")?;
    client.go_on()?;
    client.said()?;
    let to = format!(r#"destination_port="{port}""#);
    eventually("its end", || {
        match gateway.metric("weir_network_tcp_closed_total", &[&to]) {
            Ok(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    assert_eq!(sent(&gateway, port).map_err(anyhow::Error::msg)?, 2000.0);
    Ok(())
}

#[test]
fn an_agent_that_is_stopped_sends_what_it_has_first() -> anyhow::Result<()> {
    let gateway = Gateway::start("")?;
    let flows = Flows::watch(&gateway, &[])?;
    // The period never ends by itself in this story.
    let agent = Agent::start(gateway.flow, "  period: 1h\n")?;
    let (port, client) = exchange(5555)?;
    let said = agent.process.stop()?;
    assert!(
        said.iter().any(|line| line.contains("unsent=0")),
        "{said:?}"
    );
    let text = port.to_string();
    let rows = flows.until(
        "its rows",
        |row| row.tag("dst_port") == text,
        |rows| sum(rows, "tcp_closed") == 1,
    )?;
    assert_eq!(sum(&rows, "bytes_written"), client.written);
    Ok(())
}
