//! What the kernel says over netlink: sockets, tracked connections, chains of nftables.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_agent::netflow::{nat, sock_diag};

fuzz_target!(|data: &[u8]| {
    // An attribute or a message is no shorter than its header.
    let most = data.len() / 4;
    let (mut sockets, mut connections) = (0, 0);
    sock_diag::parse(data, |socket| {
        sockets += 1;
        let fin = socket.has_fin();
        let _numbers = (socket.payload_received(fin), socket.control_sent());
        let _sent = socket.info.map(|info| info.payload_sent());
        for listening in [false, true] {
            let _direction = socket.direction(listening);
        }
        let _rest = (socket.is_time_wait(), socket.is_of(6));
    });
    nat::parse(data, |entry| {
        connections += 1;
        let _translated = entry.is_translated();
    });
    let _chain = nat::is_nat_chain(data);
    assert!(sockets <= most && connections <= most);
});
