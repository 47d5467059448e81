//! How numbers are written.

use std::fmt::Write as _;

/// The value of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A count.
    Count(u64),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
}

impl Number {
    /// Append it as the text formats have it.
    pub(super) fn push(self, out: &mut String) {
        match self {
            Self::Count(count) => write!(out, "{count}").expect("a String takes everything"),
            Self::Int(int) => write!(out, "{int}").expect("a String takes everything"),
            Self::Float(float) => push_float(float, out),
        }
    }

    /// The number as a float, rounded where it has more digits.
    pub(super) fn float(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }
}

/// Append `float` as the text formats have it.
pub(super) fn push_float(float: f64, out: &mut String) {
    let size = float.abs();
    if float.is_infinite() {
        out.push_str(if float > 0.0 { "+Inf" } else { "-Inf" });
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) && !float.is_nan() {
        // Up to 300 digits otherwise.
        write!(out, "{float:e}").expect("a String takes everything");
    } else {
        write!(out, "{float}").expect("a String takes everything");
    }
}

/// Append `float` as OpenMetrics wants it in labels, where numbers are compared as text: as Go
/// writes it, with a point at least. Prometheus makes the same of a number in a message.
pub(super) fn push_canonical(float: f64, out: &mut String) {
    /// From there on, and below -4, with an exponent.
    const HIGHEST: i32 = 6;
    let start = out.len();
    if !float.is_finite() {
        return push_float(float, out);
    }
    write!(out, "{float:e}").expect("a String takes everything");
    let Some((digits, exponent)) = out[start..].split_once('e') else {
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..HIGHEST).contains(&exponent) || float == 0.0 {
        out.truncate(start);
        write!(out, "{float:?}").expect("a String takes everything");
        return;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let end = start + digits.len();
    out.truncate(end);
    write!(out, "e{sign}{:02}", exponent.unsigned_abs()).expect("a String takes everything");
}

/// Append nanoseconds since the epoch as seconds.
pub(super) fn push_seconds(time: u64, out: &mut String) {
    const SECOND: u64 = 1_000_000_000;
    write!(out, "{}", time / SECOND).expect("a String takes everything");
    let rest = time % SECOND;
    if rest > 0 {
        write!(out, ".{rest:09}").expect("a String takes everything");
        out.truncate(out.trim_end_matches('0').len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_prometheus_reads_them() {
        for (number, wanted) in [
            (0.000_123, "0.000123"),
            (3.0, "3"),
            (1e-7, "1e-7"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            let mut text = String::new();
            push_float(number, &mut text);
            assert_eq!(text, wanted);
        }
    }

    #[test]
    fn bounds_are_written_as_go_writes_them() {
        for (bound, wanted) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (-1.0, "-1.0"),
            (0.005, "0.005"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (2.5e-7, "2.5e-07"),
            (100_000.0, "100000.0"),
            (123_456.75, "123456.75"),
            (1_000_000.0, "1e+06"),
            (1_048_576.0, "1.048576e+06"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
        ] {
            let mut text = String::new();
            push_canonical(bound, &mut text);
            assert_eq!(text, wanted);
        }
    }

    #[test]
    fn times_are_exact_seconds() {
        for (time, wanted) in [
            (0, "0"),
            (1_700_000_000_000_000_000, "1700000000"),
            (1_700_000_000_500_000_000, "1700000000.5"),
            (1_700_000_000_000_000_001, "1700000000.000000001"),
        ] {
            let mut text = String::new();
            push_seconds(time, &mut text);
            assert_eq!(text, wanted);
        }
    }
}
