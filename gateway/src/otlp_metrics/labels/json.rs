//! Attribute values as text: text as it is, everything else as JSON.

use std::fmt::Write as _;

use weir_point::otlp::{AnyValue, Array, Attributes};

/// Append `value` as a label has it.
pub(crate) fn push_value(value: &AnyValue<'_>, out: &mut String) {
    match value {
        AnyValue::Empty => {}
        AnyValue::Text(text) => out.push_str(text),
        AnyValue::Bytes(bytes) => push_base64(bytes, out),
        other => push_json(other, out),
    }
}

fn push_json(value: &AnyValue<'_>, out: &mut String) {
    match value {
        AnyValue::Empty => out.push_str("null"),
        AnyValue::Text(text) => push_text(text, out),
        AnyValue::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
        AnyValue::Int(int) => write!(out, "{int}").expect("a String takes everything"),
        AnyValue::Double(double) if double.is_finite() => {
            write!(out, "{double:?}").expect("a String takes everything");
        }
        // JSON has no such numbers.
        AnyValue::Double(double) if double.is_nan() => out.push_str("\"NaN\""),
        AnyValue::Double(double) if *double > 0.0 => out.push_str("\"Infinity\""),
        AnyValue::Double(_) => out.push_str("\"-Infinity\""),
        AnyValue::Array(values) => push_array(values.clone(), out),
        AnyValue::Map(values) => push_map(values.clone(), out),
        AnyValue::Bytes(bytes) => {
            out.push('"');
            push_base64(bytes, out);
            out.push('"');
        }
    }
}

fn push_array(values: Array<'_>, out: &mut String) {
    out.push('[');
    for (place, value) in values.enumerate() {
        if place > 0 {
            out.push(',');
        }
        push_json(&value, out);
    }
    out.push(']');
}

fn push_map(values: Attributes<'_>, out: &mut String) {
    out.push('{');
    for (place, attribute) in values.enumerate() {
        if place > 0 {
            out.push(',');
        }
        push_text(attribute.key, out);
        out.push(':');
        push_json(&attribute.value, out);
    }
    out.push('}');
}

fn push_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("a String takes everything");
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn push_base64(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place > three.len() {
                out.push('=');
            } else {
                let digit = bits >> (18 - 6 * place) & 63;
                out.push(char::from(DIGITS[digit as usize]));
            }
        }
    }
}
