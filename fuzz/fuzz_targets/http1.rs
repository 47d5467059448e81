//! Pieces of HTTP/1 streams, lost, early and cut; behind a first byte of 255, of a ClientHello.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_agent::httpflow::protocol;
use weir_fuzz::{input::Input, stream::Stream};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let protocol = match input.byte() {
        u8::MAX => protocol::TLS_HELLO,
        _ => protocol::HTTP1,
    };
    Stream::new().play(&mut input, protocol);
});
