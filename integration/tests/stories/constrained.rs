//! Hosts that lack something, and programs that do the unusual.

use std::process::Command;

use weir_integration::{
    cases,
    flows::{Row, sum},
    process::Running,
    traffic::Program,
    watched::{Watched, client},
};

fn udp_is_exact(weir: &Watched) -> anyhow::Result<()> {
    for case in &cases::udp()[..4] {
        (case.check)(weir, "").map_err(|error| error.context(case.name))?;
    }
    Ok(())
}

#[test]
fn a_host_with_version_1_control_groups_only_shows_udp_all_the_same() -> anyhow::Result<()> {
    let weir = Watched::start_without(
        "findmnt -n -l -t cgroup2 -o TARGET | while read -r folder; do umount -l \"$folder\"; done",
    )?;
    assert_eq!(weir.hook("udp")?.0, "cgroup_skb");
    udp_is_exact(&weir)
}

#[test]
fn a_kernel_that_does_not_describe_its_types_is_watched_without_ebpf() -> anyhow::Result<()> {
    let weir = Watched::start_without("mount -t tmpfs none /sys/kernel/btf")?;
    let (hook, reason) = weir.hook("tcp_state")?;
    assert_eq!(hook, "sock_diag");
    assert!(reason.contains("CONFIG_DEBUG_INFO_BTF"), "{reason}");
    weir.settle()
}

#[test]
fn every_connection_has_rows_of_its_own_if_that_is_asked_for() -> anyhow::Result<()> {
    let weir = Watched::start("  per_connection: true\n")?;
    let (orders, billing) = (Program::named("orders")?, Program::named("billing")?);
    let serve = "serve --listen 127.0.0.1:0 --expect 10 --send 20 --connections 3";
    let mut serving = billing.run(None, serve)?;
    let port = serving.port()?;
    let connect = format!("connect --to 127.0.0.1:{port} --send 10 --expect 20 --connections 3");
    orders.run(None, &connect)?.said()?;
    let rows = weir.client(port, 3)?;

    let mut ports: Vec<_> = rows
        .iter()
        .map(|row| row.tag("src_port").to_owned())
        .collect();
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 3, "{rows:?}");
    for port in ports {
        let own: Vec<Row> = rows
            .iter()
            .filter(|row| row.tag("src_port") == port)
            .cloned()
            .collect();
        let opened_and_closed = (sum(&own, "tcp_established"), sum(&own, "tcp_closed"));
        assert_eq!(
            (sum(&own, "bytes_written"), opened_and_closed),
            (10, (1, 1)),
            "{own:?}"
        );
    }
    Ok(())
}

#[test]
fn a_connection_keeps_the_name_of_the_program_that_made_it_when_that_becomes_another()
-> anyhow::Result<()> {
    let weir = Watched::start("")?;
    let billing = Program::named("billing")?;
    let mut serving = billing.run(None, "serve --listen 127.0.0.1:0 --expect 5 --send 5")?;
    let port = serving.port()?;
    // bash connects, and then is `head` on the same descriptor.
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf 12345 >&3; exec head -c 5 <&3");
    let mut becoming = Running::start("bash", Command::new("bash").args(["-c", &script]))?;
    serving.said()?;
    becoming.ended()?;
    weir.client(port, 1)?;
    let rows = weir.flows.rows(client("tcp", port));
    assert!(
        rows.iter().all(|row| row.tag("process_name") == "bash"),
        "{rows:?}"
    );
    assert_eq!(sum(&rows, "bytes_written"), 5);
    Ok(())
}
