//! Numbers: the value of a gauge or a counter, and how numbers are written.

use std::fmt::Write as _;

use weir_point::otlp::metrics::Number;

use super::series::Value;

impl Value for Number {
    fn replace(&mut self, other: &Self) {
        *self = *other;
    }

    fn add(&mut self, delta: &Self) {
        *self = match (*self, *delta) {
            (Self::Int(a), Self::Int(b)) => a
                .checked_add(b)
                .map_or(Self::Double(a as f64 + b as f64), Self::Int),
            (a, b) => Self::Double(float(a) + float(b)),
        };
    }

    fn since(&self, before: &Self) -> Self {
        if float(*self) < float(*before) {
            return *self;
        }
        match (*self, *before) {
            (Self::Int(a), Self::Int(b)) => a
                .checked_sub(b)
                .map_or(Self::Double(a as f64 - b as f64), Self::Int),
            (a, b) => Self::Double(float(a) - float(b)),
        }
    }
}

/// The number as a float, rounded where it has more digits.
pub(super) fn float(number: Number) -> f64 {
    match number {
        Number::Int(int) => int as f64,
        Number::Double(double) => double,
    }
}

/// Append `number` as the Prometheus text format has it.
pub(super) fn push_number(number: Number, out: &mut String) {
    match number {
        Number::Int(int) => write!(out, "{int}").expect("a String takes everything"),
        Number::Double(double) => push_float(double, out),
    }
}

/// Append `float` as the Prometheus text format has it.
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
