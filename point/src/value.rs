//! What a field can hold.

use std::sync::Arc;

use crate::{Table, Text};

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
    /// Bytes that are no text.
    Bytes(Arc<[u8]>),
    /// Values in their order.
    List(Vec<Value>),
    /// Values by name, each name once.
    Map(Table<Value>),
    /// OTLP has attributes without a value.
    Null,
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
            _ => None,
        }
    }

    /// The number as a count; `None` for what is negative or not a whole number.
    pub fn as_count(&self) -> Option<u64> {
        match self {
            Self::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The text; `None` for what is none.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether both are the same to the last bit: unlike by `==`, a float that is not a number is the same as
    /// itself, and 0 is not -0.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(one), Self::Float(other)) => one.to_bits() == other.to_bits(),
            (Self::List(one), Self::List(other)) => {
                let mut pairs = one.iter().zip(other);
                one.len() == other.len() && pairs.all(|(one, other)| one.is_same(other))
            }
            (Self::Map(one), Self::Map(other)) => {
                let mut pairs = one.iter().zip(other);
                one.len() == other.len()
                    && pairs.all(|((key, one), (other_key, other))| {
                        key == other_key && one.is_same(other)
                    })
            }
            (one, other) => one == other,
        }
    }
}

impl Table<Value> {
    /// The list `name`; it is made if there is none.
    pub(crate) fn list(&mut self, name: Text) -> Option<&mut Vec<Value>> {
        if self.get(&name).is_none() {
            self.set(name.clone(), Vec::new());
        }
        match self.get_mut(&name) {
            Some(Value::List(list)) => Some(list),
            _ => None,
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

impl From<Vec<Value>> for Value {
    fn from(list: Vec<Value>) -> Self {
        Self::List(list)
    }
}

impl From<Table<Value>> for Value {
    fn from(map: Table<Value>) -> Self {
        Self::Map(map)
    }
}
