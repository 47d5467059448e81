//! Translated addresses: who really is at the other end.
//!
//! The oracle is each end's own socket address: what one end is bound to is the other end's real peer.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use weir_agent::{
    namespaces::Namespaces,
    netflow::nat::{Settings, Translations},
};
use weir_integration::{
    PATIENCE, eventually,
    netns::{Netns, sh},
};
use weir_proto::flow::v1::Transport;

const SETTINGS: Settings = Settings {
    entries: 10_000,
    events: 8 << 20,
};

/// A client and a server in networks of their own, and a router between them.
struct Routed {
    client: Netns,
    router: Netns,
    server: Netns,
}

/// What the router translates: a service address to the server, and every source to its own address.
const RULES: &str = "
add table ip weir
add chain ip weir to { type nat hook prerouting priority dstnat; }
add rule ip weir to ip daddr 10.98.0.100 tcp dport 80 dnat to 10.97.0.2:8080
add rule ip weir to ip daddr 10.98.0.100 udp dport 53 dnat to 10.97.0.2:5353
add rule ip weir to ip daddr 10.98.0.101 tcp dport 80 dnat to 10.97.0.2:8080
add chain ip weir from { type nat hook postrouting priority srcnat; }
add rule ip weir from ip daddr 10.97.0.2 ct original ip daddr != 10.98.0.101 masquerade
add table ip6 weir
add chain ip6 weir to { type nat hook prerouting priority dstnat; }
add rule ip6 weir to ip6 daddr fd98::100 tcp dport 80 dnat to [fd97::2]:8080
add chain ip6 weir from { type nat hook postrouting priority srcnat; }
add rule ip6 weir from ip6 daddr fd97::2 masquerade
";

impl Routed {
    fn new() -> anyhow::Result<Self> {
        let (client, router, server) = (
            Netns::new("client")?,
            Netns::new("router")?,
            Netns::new("server")?,
        );
        for (end, network) in [(&client, 98), (&server, 97)] {
            let (end, router) = (end.name(), router.name());
            sh(&format!(
                "ip link add wire netns {end} type veth peer name to{network} netns {router};
                 ip -n {end} addr add 10.{network}.0.2/24 dev wire; ip -n {end} addr add fd{network}::2/64 dev wire nodad;
                 ip -n {router} addr add 10.{network}.0.1/24 dev to{network};
                 ip -n {router} addr add fd{network}::1/64 dev to{network} nodad;
                 ip -n {end} link set wire up; ip -n {router} link set to{network} up;
                 ip -n {end} route add default via 10.{network}.0.1; ip -n {end} route add default via fd{network}::1"
            ))?;
        }
        router.sh("cd /proc/sys/net; echo 1 >ipv4/ip_forward; echo 1 >ipv6/conf/all/forwarding")?;
        // The service addresses are routed to the router, not looked for on the wire.
        client.sh(
            "ip route add 10.98.0.100/31 via 10.98.0.1; ip -6 route add fd98::100/128 via fd98::1",
        )?;
        Ok(Self {
            client,
            router,
            server,
        })
    }

    fn translate(&self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let rules = folder.path().join("rules.nft");
        std::fs::write(&rules, RULES)?;
        self.router
            .sh(&format!("nft -f {}", rules.display()))
            .map(drop)
    }

    fn inode(netns: &Netns) -> anyhow::Result<u32> {
        Ok(netns.inode()?.parse()?)
    }

    /// A connection through the router.
    fn connect(&self, listener: &TcpListener, to: &str) -> anyhow::Result<(TcpStream, TcpStream)> {
        let to: SocketAddr = to.parse()?;
        let client = self
            .client
            .inside(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)?))?;
        Ok((client, listener.accept()?.0))
    }

    fn listen(&self, address: &str) -> anyhow::Result<TcpListener> {
        self.server.inside(|| Ok(TcpListener::bind(address)?))
    }
}

/// Asserts what both ends learn of each other.
fn assert_peers(
    routed: &Routed,
    translations: &Translations,
    client: &TcpStream,
    server: &TcpStream,
) -> anyhow::Result<()> {
    let peer = |stream: &TcpStream, netns: &Netns| -> anyhow::Result<Option<SocketAddr>> {
        let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
        Ok(translations.peer(Transport::Tcp, local, remote, Routed::inode(netns)?))
    };
    let differs = |real: SocketAddr, seen: SocketAddr| (real != seen).then_some(real);
    assert_eq!(
        peer(client, &routed.client)?,
        differs(server.local_addr()?, client.peer_addr()?)
    );
    assert_eq!(
        peer(server, &routed.server)?,
        differs(client.local_addr()?, server.peer_addr()?)
    );
    Ok(())
}

#[test]
fn both_ends_of_a_translated_tcp_connection_learn_their_real_peer() -> anyhow::Result<()> {
    let routed = Routed::new()?;
    routed.translate()?;
    let mut translations = Translations::open(&Namespaces::find()?, SETTINGS)?;
    assert!(translations.follows(Routed::inode(&routed.router)?));
    assert!(!translations.follows(Routed::inode(&routed.client)?));
    // Destination and source; destination only; source only; and over IPv6.
    let (translated, direct, ipv6) = (
        routed.listen("10.97.0.2:8080")?,
        routed.listen("10.97.0.2:8081")?,
        routed.listen("[fd97::2]:8080")?,
    );
    for (listener, to, client_sees, server_sees) in [
        (&translated, "10.98.0.100:80", false, false),
        (&translated, "10.98.0.101:80", false, true),
        (&direct, "10.97.0.2:8081", true, false),
        (&ipv6, "[fd98::100]:80", false, false),
    ] {
        let (client, server) = routed.connect(listener, to)?;
        // The story is what it says it is.
        assert_eq!(
            client.peer_addr()? == server.local_addr()?,
            client_sees,
            "{to}"
        );
        assert_eq!(
            server.peer_addr()? == client.local_addr()?,
            server_sees,
            "{to}"
        );
        translations.drain();
        assert_peers(&routed, &translations, &client, &server)?;
    }
    assert_eq!(translations.tally(), Default::default());
    Ok(())
}

#[test]
fn a_translated_udp_flow_learns_its_real_peer() -> anyhow::Result<()> {
    let routed = Routed::new()?;
    routed.translate()?;
    let mut translations = Translations::open(&Namespaces::find()?, SETTINGS)?;
    let server = routed
        .server
        .inside(|| Ok(UdpSocket::bind("10.97.0.2:5353")?))?;
    let client = routed.client.inside(|| {
        let client = UdpSocket::bind("10.98.0.2:0")?;
        client.connect("10.98.0.100:53")?;
        Ok(client)
    })?;
    server.set_read_timeout(Some(PATIENCE))?;
    client.send(b"question")?;
    let (_, seen) = server.recv_from(&mut [0; 9])?;
    translations.drain();
    let real = translations.peer(
        Transport::Udp,
        client.local_addr()?,
        client.peer_addr()?,
        Routed::inode(&routed.client)?,
    );
    assert_eq!(real, Some(server.local_addr()?));
    let real = translations.peer(
        Transport::Udp,
        server.local_addr()?,
        seen,
        Routed::inode(&routed.server)?,
    );
    assert_eq!(real, Some(client.local_addr()?));
    assert_ne!(seen, client.local_addr()?);
    Ok(())
}

#[test]
fn connections_older_than_the_agent_and_rules_that_come_later_are_taken_up() -> anyhow::Result<()> {
    let routed = Routed::new()?;
    let mut namespaces = Namespaces::find()?;
    let mut translations = Translations::open(&namespaces, SETTINGS)?;
    let router = Routed::inode(&routed.router)?;
    assert!(!translations.follows(router));

    // While the agent watches, but before its next refresh.
    routed.translate()?;
    let listener = routed.listen("10.97.0.2:8080")?;
    let (client, server) = routed.connect(&listener, "10.98.0.100:80")?;
    namespaces.refresh()?;
    translations.follow(&namespaces);
    assert!(translations.follows(router));
    assert_peers(&routed, &translations, &client, &server)?;

    // The rules are gone, and what they translated is still translated.
    routed.router.sh("nft flush ruleset")?;
    let late = Translations::open(&namespaces, SETTINGS)?;
    assert!(late.follows(router));
    assert_peers(&routed, &late, &client, &server)?;
    Ok(())
}

#[test]
fn a_translation_is_forgotten_when_the_kernel_forgets_the_connection() -> anyhow::Result<()> {
    let routed = Routed::new()?;
    routed.translate()?;
    routed.router.sh(
        "cd /proc/sys/net/netfilter; echo 1 >nf_conntrack_tcp_timeout_close; echo 1 >nf_conntrack_tcp_timeout_time_wait",
    )?;
    let mut namespaces = Namespaces::find()?;
    let mut translations = Translations::open(&namespaces, SETTINGS)?;
    let listener = routed.listen("10.97.0.2:8080")?;
    let (client, server) = routed.connect(&listener, "10.98.0.100:80")?;
    translations.drain();
    assert_peers(&routed, &translations, &client, &server)?;
    let (local, remote) = (client.local_addr()?, client.peer_addr()?);
    let inode = Routed::inode(&routed.client)?;
    drop((client, server));
    eventually("the end of the translation", || {
        translations.drain();
        match translations.peer(Transport::Tcp, local, remote, inode) {
            None => Ok(()),
            Some(peer) => Err(format!("{peer} is still there")),
        }
    })?;

    // And all of them when the namespace goes.
    let (client, server) = routed.connect(&listener, "10.98.0.100:80")?;
    translations.drain();
    assert_peers(&routed, &translations, &client, &server)?;
    let Routed {
        client: left,
        router,
        server: right,
    } = routed;
    let inode = Routed::inode(&router)?;
    drop((client, server, listener, left, router, right));
    namespaces.refresh()?;
    translations.follow(&namespaces);
    assert!(!translations.follows(inode));
    Ok(())
}

#[test]
fn untranslated_connections_are_not_kept() -> anyhow::Result<()> {
    let routed = Routed::new()?;
    routed.translate()?;
    // Tracked, and not translated.
    let listener = routed
        .server
        .inside(|| Ok(TcpListener::bind("10.97.0.2:9000")?))?;
    let mut translations = Translations::open(&Namespaces::find()?, SETTINGS)?;
    let (before, to) = (translations.len(), listener.local_addr()?);
    for _ in 0..50 {
        routed
            .router
            .inside(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)?))?;
        listener.accept()?;
    }
    let tracked = routed.router.sh("cat /proc/net/nf_conntrack")?;
    assert!(
        tracked
            .lines()
            .filter(|line| line.contains("dport=9000"))
            .count()
            >= 50
    );
    translations.drain();
    let kept = (0..=u16::MAX).filter(|port| {
        let local = SocketAddr::new("10.97.0.1".parse().unwrap_or(to.ip()), *port);
        translations.peer(Transport::Tcp, local, to, 0).is_some()
    });
    assert_eq!(kept.count(), 0, "{before} before");
    Ok(())
}

#[test]
fn what_the_kernel_had_no_room_for_is_counted_and_read_again() -> anyhow::Result<()> {
    let routed = Routed::new()?;
    routed.translate()?;
    let mut namespaces = Namespaces::find()?;
    let small = Settings {
        events: 8 << 10,
        ..SETTINGS
    };
    let mut translations = Translations::open(&namespaces, small)?;
    let listener = routed.listen("10.97.0.2:8080")?;
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(routed.connect(&listener, "10.98.0.100:80")?);
    }
    translations.drain();
    let before = translations.tally().nat_events_lost;
    namespaces.refresh()?;
    translations.follow(&namespaces);
    assert!(translations.tally().nat_events_lost > before);
    for (client, server) in &open {
        assert_peers(&routed, &translations, client, server)?;
    }
    Ok(())
}

#[test]
fn a_table_without_room_counts_what_it_could_not_take() -> anyhow::Result<()> {
    let routed = Routed::new()?;
    routed.translate()?;
    let namespaces = Namespaces::find()?;
    let small = Settings {
        entries: 10,
        ..SETTINGS
    };
    let mut translations = Translations::open(&namespaces, small)?;
    let listener = routed.listen("10.97.0.2:8080")?;
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(routed.connect(&listener, "10.98.0.100:80")?);
    }
    translations.drain();
    translations.follow(&namespaces);
    assert_eq!(translations.len(), 10);
    // Forty ends, of which others on this host may have taken some places.
    assert!(translations.tally().nat_table_full >= 30);
    Ok(())
}
