//! UDP sockets and their owners.

use std::net::UdpSocket;

use weir_agent::{namespaces::Namespaces, netflow::sock_diag::UdpSockets};
use weir_integration::netns::Netns;

#[test]
fn a_udp_socket_is_listed_with_its_cookie_and_the_process_that_holds_it() -> anyhow::Result<()> {
    let netns = Netns::new("udp")?;
    let (server, client) = netns.inside(|| {
        let server = UdpSocket::bind("0.0.0.0:5353")?;
        let client = UdpSocket::bind("[::1]:0")?;
        client.connect("[::1]:53")?;
        Ok((server, client))
    })?;
    let inode: u32 = netns.inode()?.parse()?;
    let namespaces = Namespaces::find()?;
    let mut sockets = UdpSockets::open(&namespaces);
    let mut found = Vec::new();
    sockets.list(|socket| found.push(socket.clone()))?;
    found.retain(|socket| socket.netns == inode);

    assert_eq!(found.len(), 2);
    for (socket, remote) in [(&server, None), (&client, Some("[::1]:53".parse()?))] {
        let local = socket.local_addr()?;
        let one = found.iter().find(|one| one.local == local).unwrap();
        assert_eq!(one.remote, remote);
        assert_eq!(one.cookie, socket2::SockRef::from(socket).cookie()?);
        assert_eq!(one.holder.as_ref().unwrap().pid, std::process::id());
        assert_eq!(one.uid, rustix::process::getuid().as_raw());
    }
    drop(server);
    let mut again = Vec::new();
    sockets.list(|socket| again.push(socket.clone()))?;
    again.retain(|socket| socket.netns == inode);
    assert_eq!(again.len(), 1);
    Ok(())
}
