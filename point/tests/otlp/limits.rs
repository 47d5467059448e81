//! The rules of the wire format, one by one.

use weir_point::otlp::Signal;

use crate::{
    check::{SIGNALS, check},
    judge::decoded,
};

/// A field with a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
}

/// A request with this span.
fn with_span(span: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, span)))
}

/// A request with a log record whose body is a list in a list and so on.
fn nested(lists: usize, innermost: &[u8]) -> Vec<u8> {
    let mut value = innermost.to_vec();
    for _ in 0..lists {
        value = field(5, &field(1, &value));
    }
    field(1, &field(2, &field(2, &field(5, &value))))
}

/// Whether it is taken; a decoder must agree.
fn taken(signal: Signal, bytes: &[u8]) -> bool {
    let taken = check(signal, bytes).is_ok();
    assert_eq!(decoded(signal, bytes).is_some(), taken, "{bytes:02x?}");
    taken
}

#[test]
fn an_error_says_where_it_is() {
    let name = field(5, &[b'a', b'b', 0xff]);
    assert_eq!(
        check(Signal::Traces, &with_span(&name)).expect_err("not UTF-8"),
        "ExportTraceServiceRequest.resource_spans.scope_spans.spans.name: not UTF-8 at byte 10"
    );
    let wrong = check(Signal::Traces, &with_span(&[5 << 3, 1])).expect_err("a number for a name");
    assert_eq!(
        wrong,
        "ExportTraceServiceRequest.resource_spans.scope_spans.spans.name: wrong wire type at byte 7"
    );
    let cut = check(Signal::Logs, &[0x0a, 5]).expect_err("cut short");
    assert_eq!(
        cut,
        "ExportLogsServiceRequest.resource_logs: cut short at byte 2"
    );
    let deep = check(Signal::Logs, &nested(200, &[])).expect_err("nested too deeply");
    assert!(
        deep.starts_with(
            "ExportLogsServiceRequest.resource_logs.scope_logs.log_records.body.array_value.values"
        ) && deep.contains("…: nested too deeply at byte"),
        "{deep}"
    );
}

#[test]
fn values_nest_as_deep_as_a_decoder_follows() {
    let deepest = (0..200).take_while(|lists| taken(Signal::Logs, &nested(*lists, &[])));
    assert_eq!(deepest.last(), Some(48));
    // An unknown field at the innermost place counts as a level.
    let unknown = |lists| taken(Signal::Logs, &nested(lists, &[15 << 3, 0]));
    assert!(unknown(47));
    assert!(!unknown(48));
    // So that no call stack is at risk, however long the request.
    assert!(!taken(Signal::Logs, &nested(20_000, &[])));
}

#[test]
fn unknown_fields_pass_but_groups_do_not() {
    for (unknown, passes) in [
        (&[15 << 3, 1][..], true),
        (&[15 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0], true),
        (&[15 << 3 | 2, 2, 0xff, 0xff], true),
        (&[15 << 3 | 5, 0, 0, 0, 0], true),
        // Field 100 and the largest number there is.
        (&[0xa0, 0x06, 1], true),
        (&[0xf8, 0xff, 0xff, 0xff, 0x0f, 1], true),
        (&[15 << 3 | 1, 0, 0, 0, 0, 0, 0, 0], false),
        (&[15 << 3 | 5, 0, 0, 0], false),
        (&[15 << 3 | 2, 3, 0, 0], false),
        (&[15 << 3 | 4], false),
        (&[15 << 3 | 6], false),
        (&[15 << 3 | 7], false),
        (&[0, 1], false),
        (&[0xf8, 0xff, 0xff, 0xff, 0x1f, 1], false),
    ] {
        for signal in SIGNALS {
            assert_eq!(taken(signal, unknown), passes, "{unknown:02x?}");
        }
    }
    let group = [15 << 3 | 3, 15 << 3 | 4];
    let refused = check(Signal::Traces, &group).expect_err("a group");
    assert_eq!(
        refused,
        "ExportTraceServiceRequest: group or unknown wire type at byte 1"
    );
}

#[test]
fn numbers_may_be_longer_than_needed_but_not_than_64_bits() {
    let span = |bytes: &[u8]| {
        let mut kind = vec![6 << 3];
        kind.extend(bytes);
        taken(Signal::Traces, &with_span(&kind))
    };
    assert!(span(&[0x80, 0x80, 0x00]));
    assert!(span(&[
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01
    ]));
    assert!(!span(&[
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02
    ]));
    assert!(!span(&[0x80; 11]));
    // A length that wraps around.
    let mut huge = vec![0x0a];
    huge.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert!(!taken(Signal::Traces, &huge));
}

#[test]
fn lists_of_numbers_come_packed_or_one_by_one() {
    let with_point =
        |kind: u8, point: &[u8]| field(1, &field(2, &field(2, &field(kind, &field(1, point)))));
    let histogram = |point: &[u8]| taken(Signal::Metrics, &with_point(9, point));
    assert!(histogram(&field(6, &[0; 16])));
    assert!(histogram(&field(6, &[])));
    assert!(!histogram(&field(6, &[0; 15])));
    assert!(histogram(&[6 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert!(!histogram(&[6 << 3, 0]));
    let exponential = |buckets: &[u8]| taken(Signal::Metrics, &with_point(10, &field(8, buckets)));
    assert!(exponential(&field(2, &[1, 2, 0x80, 1])));
    assert!(!exponential(&field(2, &[1, 2, 0x80])));
    assert!(exponential(&[2 << 3, 1, 2 << 3, 2]));
    assert!(!exponential(&[2 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]));
}
