//! What a field can hold.

use crate::Text;

/// The value of one field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A count or another whole number.
    Int(i64),
    /// A measured quantity.
    Float(f64),
    /// A yes or no.
    Bool(bool),
    /// Text that is data rather than identity.
    Text(Text),
}

impl Value {
    /// The number as a float, for quantities; `None` for what is not a number.
    /// Whole numbers above 2^53 lose their last digits.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the caller asked for a float; the limit is documented"
    )]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }

    /// The number as a count; `None` for what is negative or not a whole number.
    pub fn as_count(&self) -> Option<u64> {
        match self {
            Self::Int(number) => u64::try_from(*number).ok(),
            Self::Float(_) | Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<bool> for Value {
    fn from(answer: bool) -> Self {
        Self::Bool(answer)
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}
