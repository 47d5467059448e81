//! Labels from their text to messages.

use prost::encoding::encode_varint;

/// Of `LabelPair`, in whatever message it stands, and of its two fields.
const FIRST: u8 = 1 << 3 | 2;
const SECOND: u8 = 2 << 3 | 2;

/// Append every label in `text` as field 1 of a message: that is where `Metric` and `Exemplar`
/// have them.
pub(super) fn encode(text: &str, out: &mut Vec<u8>) {
    let mut unescaped = String::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.strip_prefix('"').unwrap_or(after);
        let mut end = after.find('"').unwrap_or(after.len());
        let mut value = after.get(..end).unwrap_or_default();
        // Looking at every byte without stopping early is many at a time.
        let escapes = value
            .bytes()
            .fold(false, |found, byte| found | (byte == b'\\'));
        if escapes {
            end = closing_quote(after.as_bytes());
            unescape(after.get(..end).unwrap_or_default(), &mut unescaped);
            value = &unescaped;
        }
        pair(name, value, out);
        rest = after.get(end + 1..).unwrap_or_default();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// Append one label.
pub(super) fn pair(name: &str, value: &str, out: &mut Vec<u8>) {
    let size = |text: &str| 1 + length_size(text.len()) + text.len();
    out.push(FIRST);
    encode_varint((size(name) + size(value)) as u64, out);
    for (key, text) in [(FIRST, name), (SECOND, value)] {
        out.push(key);
        encode_varint(text.len() as u64, out);
        out.extend_from_slice(text.as_bytes());
    }
}

fn length_size(length: usize) -> usize {
    prost::encoding::encoded_len_varint(length as u64)
}

/// Where the value ends.
fn closing_quote(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at.min(bytes.len())
}

fn unescape(raw: &str, out: &mut String) {
    out.clear();
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::page::message::{Exemplar, LabelPair};

    #[test]
    fn labels_in_messages_are_what_was_escaped_for_text() {
        let all = [
            ("a", "plain"),
            ("b", "with \"quotes\", commas and = signs"),
            ("c", "back\\slash\\"),
            ("d", "two\nlines"),
            ("e", "größe 温度"),
            ("f", "\"},x=\""),
        ];
        let mut text = String::new();
        for (name, value) in all {
            if !text.is_empty() {
                text.push(',');
            }
            crate::aggregate::push_label(name, value, &mut text);
        }
        let mut bytes = Vec::new();
        encode(&text, &mut bytes);
        let message = Exemplar::decode(bytes.as_slice()).expect("a message");
        let pairs: Vec<(&str, &str)> = message
            .label
            .iter()
            .map(|LabelPair { name, value }| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(pairs, all);
    }
}
