//! Stories of translated connections.

use super::*;

const TCP: u8 = 6;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// `client` connects to `service` and reaches `server`, which sees `seen`.
fn entry(client: &str, service: &str, server: &str, seen: &str) -> Entry {
    let mut status = 0x18e;
    status |= if service == server {
        0
    } else {
        DESTINATION_TRANSLATED
    };
    status |= if client == seen { 0 } else { SOURCE_TRANSLATED };
    let tuple = |source: &str, destination: &str| Tuple {
        protocol: TCP,
        source: address(source),
        destination: address(destination),
    };
    Entry {
        original: tuple(client, service),
        reply: tuple(server, seen),
        status,
    }
}

#[test]
fn each_end_of_a_translated_connection_learns_its_real_peer() {
    let mut table = Table::new(10);
    let both = entry(
        "10.0.0.1:40000",
        "10.96.0.1:80",
        "10.0.1.7:8080",
        "10.0.9.9:50000",
    );
    table.insert(1, &both);
    let peer = |local, remote| table.peer(TCP, address(local), address(remote), 7);
    assert_eq!(
        peer("10.0.0.1:40000", "10.96.0.1:80"),
        Some(address("10.0.1.7:8080"))
    );
    assert_eq!(
        peer("10.0.1.7:8080", "10.0.9.9:50000"),
        Some(address("10.0.0.1:40000"))
    );
    assert_eq!(peer("10.0.0.1:40001", "10.96.0.1:80"), None);
    assert_eq!(
        table.peer(17, address("10.0.0.1:40000"), address("10.96.0.1:80"), 7),
        None
    );
    // A dual-stack socket sees the same addresses mapped.
    let mapped = table.peer(
        TCP,
        address("[::ffff:10.0.0.1]:40000"),
        address("[::ffff:10.96.0.1]:80"),
        7,
    );
    assert_eq!(mapped, Some(address("10.0.1.7:8080")));
    table.remove(1, &both);
    assert_eq!(table.len(), 0);
}

#[test]
fn an_end_whose_peer_is_what_it_seems_has_no_translation() {
    let mut table = Table::new(10);
    // Destination only: the server sees the client itself.
    table.insert(
        1,
        &entry(
            "[fd00::1]:40000",
            "[fd96::1]:80",
            "[fd01::7]:80",
            "[fd00::1]:40000",
        ),
    );
    assert_eq!(table.len(), 1);
    assert_eq!(
        table.peer(TCP, address("[fd01::7]:80"), address("[fd00::1]:40000"), 1),
        None
    );
    // Source only: the client sees the server itself.
    table.insert(
        1,
        &entry(
            "10.0.0.1:1000",
            "10.0.1.7:80",
            "10.0.1.7:80",
            "10.0.9.9:1000",
        ),
    );
    assert_eq!(table.len(), 2);
    assert_eq!(
        table.peer(TCP, address("10.0.0.1:1000"), address("10.0.1.7:80"), 1),
        None
    );
}

#[test]
fn the_sockets_own_namespace_counts_first() {
    let mut table = Table::new(10);
    let in_host = entry(
        "10.0.0.1:1000",
        "10.96.0.1:80",
        "10.0.1.7:80",
        "10.0.0.1:1000",
    );
    let in_pod = entry(
        "10.0.0.1:1000",
        "10.96.0.1:80",
        "127.0.0.1:15001",
        "10.0.0.1:1000",
    );
    table.insert(1, &in_host);
    table.insert(2, &in_pod);
    let from = |table: &Table, netns| {
        table.peer(
            TCP,
            address("10.0.0.1:1000"),
            address("10.96.0.1:80"),
            netns,
        )
    };
    assert_eq!(from(&table, 1), Some(address("10.0.1.7:80")));
    assert_eq!(from(&table, 2), Some(address("127.0.0.1:15001")));
    assert!(from(&table, 3).is_some());
    // The first goes, the other stays.
    table.remove(1, &in_host);
    assert_eq!(table.len(), 1);
    assert_eq!(from(&table, 1), Some(address("127.0.0.1:15001")));
    table.forget(2);
    assert_eq!(table.len(), 0);
}

#[test]
fn a_dump_corrects_what_events_missed() {
    let mut table = Table::new(10);
    let ended = entry("10.0.0.1:1", "10.96.0.1:80", "10.0.1.7:80", "10.0.0.1:1");
    let alive = entry("10.0.0.1:2", "10.96.0.1:80", "10.0.1.7:80", "10.0.0.1:2");
    let elsewhere = entry("10.0.0.1:3", "10.96.0.1:80", "10.0.1.7:80", "10.0.0.1:3");
    table.insert(1, &ended);
    table.insert(1, &alive);
    table.insert(2, &elsewhere);
    table.begin_dump();
    table.insert(1, &alive);
    table.end_dump(1);
    assert_eq!(table.len(), 2);
    assert!(
        table
            .peer(TCP, address("10.0.0.1:1"), address("10.96.0.1:80"), 1)
            .is_none()
    );
}

#[test]
fn a_full_table_counts_what_it_cannot_take_and_forgets_nothing() {
    let mut table = Table::new(3);
    for port in 1..=5 {
        let client = format!("10.0.0.1:{port}");
        table.insert(1, &entry(&client, "10.96.0.1:80", "10.0.1.7:80", &client));
    }
    assert_eq!((table.len(), table.full), (3, 2));
    assert!(
        table
            .peer(TCP, address("10.0.0.1:1"), address("10.96.0.1:80"), 1)
            .is_some()
    );
}

#[test]
fn the_table_agrees_with_a_plain_list_over_many_random_steps() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut table = Table::new(usize::MAX);
    let mut list: Vec<(u32, Entry)> = Vec::new();
    for _ in 0..20_000 {
        let netns = random.u32(1..4);
        let client = format!("10.0.0.1:{}", random.u16(1..20));
        let one = entry(
            &client,
            "10.96.0.1:80",
            &format!("10.0.1.{netns}:80"),
            &client,
        );
        match random.u8(..10) {
            0 if random.u8(..20) == 0 => {
                table.forget(netns);
                list.retain(|(of, _)| *of != netns);
            }
            0..5 => {
                table.remove(netns, &one);
                list.retain(|known| *known != (netns, one));
            }
            _ => {
                table.insert(netns, &one);
                if !list.contains(&(netns, one)) {
                    list.push((netns, one));
                }
            }
        }
        assert_eq!(table.len(), list.len());
        let found = table.peer(TCP, address(&client), address("10.96.0.1:80"), netns);
        let own = list.contains(&(netns, one));
        let any = list.iter().any(|(_, known)| known.original == one.original);
        assert_eq!(found.is_some(), any);
        assert!(!own || found == Some(one.reply.source));
    }
}
