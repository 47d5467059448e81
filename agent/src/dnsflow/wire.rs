//! DNS messages for tests, put together by hand.

/// A record type.
pub(super) const A: u16 = 1;
pub(super) const CNAME: u16 = 5;
pub(super) const AAAA: u16 = 28;

pub(super) fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .collect();
    bytes.push(0);
    bytes
}

/// Of a message, but for its id.
pub(super) fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let mut bytes = flags.to_be_bytes().to_vec();
    bytes.extend(counts.into_iter().flat_map(u16::to_be_bytes));
    bytes
}

fn with_id(id: u16, parts: &[&[u8]]) -> Vec<u8> {
    [&id.to_be_bytes()[..], &parts.concat()].concat()
}

fn question(text: &str, kind: u16) -> Vec<u8> {
    [&name(text)[..], &kind.to_be_bytes(), &[0, 1]].concat()
}

pub(super) fn query(id: u16, text: &str, kind: u16) -> Vec<u8> {
    with_id(id, &[&header(0x0100, [1, 0, 0, 0]), &question(text, kind)])
}

pub(super) fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = [owner, &kind.to_be_bytes(), &[0, 1]].concat();
    bytes.extend(ttl.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// An answer with the question that it answers.
pub(super) fn answer(id: u16, text: &str, kind: u16, rcode: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let counts = [1, records.len() as u16, 0, 0];
    with_id(
        id,
        &[
            &header(0x8180 | rcode, counts),
            &question(text, kind),
            &records.concat(),
        ],
    )
}

/// A message with its length before it.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}
