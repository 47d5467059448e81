//! Numbers: the value of a gauge or a counter.

use weir_point::otlp::metrics::Number;

use super::series::{Shape, Value};
use crate::page;

impl Value for Number {
    fn replace(&mut self, other: &Self) -> Shape {
        *self = *other;
        Shape::Kept
    }

    fn add(&mut self, delta: &Self) -> Shape {
        *self = match (*self, *delta) {
            (Self::Int(a), Self::Int(b)) => a
                .checked_add(b)
                .map_or(Self::Double(a as f64 + b as f64), Self::Int),
            (a, b) => Self::Double(float(a) + float(b)),
        };
        Shape::Kept
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
fn float(number: Number) -> f64 {
    match number {
        Number::Int(int) => int as f64,
        Number::Double(double) => double,
    }
}

/// The number as it is shown.
pub(super) const fn shown(number: Number) -> page::Number {
    match number {
        Number::Int(int) => page::Number::Int(int),
        Number::Double(double) => page::Number::Float(double),
    }
}
