//! Compressed bodies: within their limits, the same in whatever parts they come. The first byte chooses the
//! compression and whether the rest is compressed already, the second the size of the parts.

#![no_main]

use std::io::Write as _;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use libfuzzer_sys::fuzz_target;
use weir_fuzz::input::Input;
use weir_otel_receiver::fuzz::{Limits, decompress};

const CODINGS: [&str; 4] = ["gzip", "deflate", "zstd", "identity"];
const LIMITS: Limits = Limits {
    message: 256 * 1024,
    // The largest window of zstd, and some.
    memory: 16 << 20,
};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let choice = input.byte();
    let part = usize::from(input.byte()) + 1;
    let coding = CODINGS[usize::from(choice & 3)];
    if choice & 4 == 0 {
        assert_same_in_parts(coding, input.0, part);
    } else {
        let body = compressed(coding, input.0);
        let plain = decompress(coding, body.chunks(part), LIMITS).expect("what was compressed");
        assert_eq!(plain, input.0);
    }
});

fn assert_same_in_parts(coding: &str, body: &[u8], part: usize) {
    let whole = decompress(coding, [body].into_iter(), LIMITS);
    let in_parts = decompress(coding, body.chunks(part), LIMITS);
    if let Ok(whole) = &whole {
        assert!(whole.len() <= LIMITS.message);
    }
    assert_eq!(
        whole.as_ref().ok(),
        in_parts.as_ref().ok(),
        "{whole:?} {in_parts:?}"
    );
}

fn compressed(coding: &str, plain: &[u8]) -> Vec<u8> {
    let level = Compression::fast();
    match coding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(plain).and_then(|()| encoder.finish())
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(plain).and_then(|()| encoder.finish())
        }
        "zstd" => zstd::encode_all(plain, 1),
        _ => Ok(plain.to_vec()),
    }
    .expect("compressed in memory")
}
