//! What comes from the wire on DNS ports: packets, and the messages in them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_agent::{
    capture::packet,
    dnsflow::message::{Message, kind_name},
};

/// Records that an answer is read for.
const MOST_ADDRESSES: usize = 512;

/// Longest name in its text: each octet as `\DDD`, and dots.
const LONGEST_NAME: usize = 4 * 255;

fuzz_target!(|data: &[u8]| {
    let payload = match packet::parse(data) {
        Some(read) => {
            assert!(read.payload.len() < data.len());
            read.payload
        }
        None => data,
    };
    for is_multicast in [false, true] {
        let Ok(message) = Message::parse(payload, is_multicast) else {
            continue;
        };
        let (_code, _cut) = (message.rcode(), message.is_truncated());
        assert!(message.addresses().len() <= MOST_ADDRESSES);
        if let Some(question) = &message.question {
            let name = &question.name;
            assert!(!name.is_empty() && name.len() <= LONGEST_NAME);
            assert!(name.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()));
            assert!(!kind_name(question.kind).is_empty());
        }
    }
});
