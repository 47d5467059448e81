//! The names of addresses that programs connect to.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::PathBuf,
    thread,
};

use weir_integration::{
    eventually,
    name_servers::{NameServer, dnsmasq},
    netns::Netns,
};
use weir_proto::flow::v1::{Direction, DomainSource, FlowEvent, flow_event::Data};

use super::Watched;

/// `/etc/resolv.conf` of a namespace, as `ip netns exec` mounts it; gone when dropped.
struct Resolver(PathBuf);

impl Resolver {
    fn of(netns: &Netns, server: &str) -> anyhow::Result<Self> {
        let folder = PathBuf::from("/etc/netns").join(netns.name());
        // The folder above may go just now, with the last file of another story.
        eventually("a place for resolv.conf", || {
            fs::create_dir_all(&folder)
                .and_then(|()| {
                    fs::write(folder.join("resolv.conf"), format!("nameserver {server}\n"))
                })
                .map_err(|error| error.to_string())
        })?;
        Ok(Self(folder))
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
        // Only if no other story uses it.
        let _empty = fs::remove_dir("/etc/netns");
    }
}

/// Answers every HTTP request with nothing.
fn web_server(netns: &Netns) -> anyhow::Result<()> {
    let listener = netns.inside(|| Ok(TcpListener::bind("0.0.0.0:8080")?))?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            let mut stream = &stream;
            let _sent = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
    });
    Ok(())
}

/// Name and address of connections to the web server that a namespace has established.
fn connected(weir: &Watched, netns: &Netns) -> anyhow::Result<Vec<(String, Vec<u8>, u64)>> {
    let inode: u32 = netns.inode()?.parse()?;
    let picked = weir
        .intake
        .events()
        .into_iter()
        .filter_map(|event: FlowEvent| {
            let Some(Data::Netflow(data)) = &event.data else {
                return None;
            };
            let ours = event.netns == inode
                && event.direction() == Direction::Outgoing
                && event.dst_port == Some(8080)
                && data.tcp_established > 0;
            let known = !event.dst_domain.is_empty();
            assert_eq!(
                known,
                event.dst_domain_source() == DomainSource::Dns,
                "{event:?}"
            );
            ours.then(|| {
                (
                    event.dst_domain.clone(),
                    event.dst_ip.clone(),
                    data.tcp_established,
                )
            })
        });
    let mut picked: Vec<_> = picked.collect();
    picked.sort();
    Ok(picked)
}

fn until_connected(
    weir: &Watched,
    netns: &Netns,
    count: u64,
) -> anyhow::Result<Vec<(String, Vec<u8>, u64)>> {
    eventually("the connections", || {
        let rows = connected(weir, netns).map_err(|error| error.to_string())?;
        let established: u64 = rows.iter().map(|(_, _, count)| count).sum();
        (established >= count)
            .then_some(rows)
            .ok_or_else(|| established.to_string())
    })
}

fn name_server(netns: &Netns, names: &[(&str, &str)], ttl: u32) -> anyhow::Result<NameServer> {
    let records: Vec<_> = names
        .iter()
        .map(|(name, address)| format!("--host-record={name},{address},{ttl}"))
        .collect();
    let records: Vec<_> = records.iter().map(String::as_str).collect();
    dnsmasq(netns, &records)
}

#[test]
fn three_names_on_one_address_are_told_apart_even_with_a_time_to_live_of_one_second()
-> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    web_server(&server)?;
    let names = ["one.test", "two.test", "three.test"];
    let _names = name_server(&server, &names.map(|name| (name, "10.99.0.2")), 1)?;
    let _resolver = Resolver::of(&client, "10.99.0.2")?;
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    for round in 0..2 {
        for name in names {
            client.sh(&format!("curl -4 -s -S http://{name}:8080/{round}"))?;
        }
    }
    client.sh("curl -s -S http://10.99.0.2:8080/by-address >/dev/null")?;
    let rows = until_connected(&weir, &client, 7)?;
    for name in names {
        let established: u64 = rows
            .iter()
            .filter(|(domain, ..)| domain == name)
            .map(|(.., count)| count)
            .sum();
        // One more for the latest: a connection by address has the name that the address had last.
        let expected = 2 + u64::from(name == "three.test");
        assert_eq!(established, expected, "{name} in {rows:?}");
    }
    Ok(())
}

#[test]
fn an_alias_has_the_name_that_was_asked_for() -> anyhow::Result<()> {
    let (client, server) = Netns::pair()?;
    web_server(&server)?;
    let _names = dnsmasq(
        &server,
        &[
            "--host-record=edge.cdn.test,10.99.0.2",
            "--cname=shop.test,edge.cdn.test",
        ],
    )?;
    let _resolver = Resolver::of(&client, "10.99.0.2")?;
    let weir = Watched::start("")?;
    weir.watches(&client)?;
    client.sh("curl -4 -s -S http://shop.test:8080/")?;
    let rows = until_connected(&weir, &client, 1)?;
    assert_eq!(rows[0].0, "shop.test");
    Ok(())
}

#[test]
fn two_namespaces_that_resolve_one_name_differently_each_have_their_own() -> anyhow::Result<()> {
    let (left, right) = Netns::pair()?;
    web_server(&left)?;
    web_server(&right)?;
    let _left = name_server(
        &left,
        &[("shop.test", "10.99.0.2"), ("blog.test", "10.99.0.1")],
        60,
    )?;
    let _right = name_server(
        &right,
        &[("shop.test", "10.99.0.1"), ("news.test", "10.99.0.2")],
        60,
    )?;
    let _resolvers = [
        Resolver::of(&left, "127.0.0.1")?,
        Resolver::of(&right, "127.0.0.1")?,
    ];
    let weir = Watched::start("")?;
    weir.watches(&left)?;
    weir.watches(&right)?;
    for (netns, name) in [
        (&left, "shop.test"),
        (&left, "blog.test"),
        (&right, "shop.test"),
        (&right, "news.test"),
    ] {
        netns.sh(&format!("curl -4 -s -S http://{name}:8080/"))?;
    }
    let of = |name: &str, host| (name.to_owned(), vec![10, 99, 0, host], 1);
    assert_eq!(
        until_connected(&weir, &left, 2)?,
        [of("blog.test", 1), of("shop.test", 2)]
    );
    assert_eq!(
        until_connected(&weir, &right, 2)?,
        [of("news.test", 2), of("shop.test", 1)]
    );
    Ok(())
}
