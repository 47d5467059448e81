//! A bound on what one call of a function may give back.

use vrl::{
    compiler::function::closure,
    prelude::{
        ArgumentList, Compiled, Context, Example, Expression, ExpressionError, Function,
        FunctionCompileContext, Parameter, Resolved, TypeInfo, TypeState, Value,
    },
};

/// Bytes of text and entries together, an entry counted as 16 bytes. Far more than a Point has.
const LARGEST: usize = 1024 * 1024;
const ENTRY: usize = 16;
/// So many bytes count as one operation: the budget of those bounds all that functions give back.
const PER_OPERATION: usize = 1024;

/// A function that fails instead of giving back more than [`LARGEST`].
#[derive(Debug)]
pub(super) struct Bounded(pub(super) Box<dyn Function>);

impl Function for Bounded {
    fn identifier(&self) -> &'static str {
        self.0.identifier()
    }

    fn summary(&self) -> &'static str {
        self.0.summary()
    }

    fn usage(&self) -> &'static str {
        self.0.usage()
    }

    fn category(&self) -> &'static str {
        self.0.category()
    }

    fn return_kind(&self) -> u16 {
        self.0.return_kind()
    }

    fn pure(&self) -> bool {
        self.0.pure()
    }

    fn examples(&self) -> &'static [Example] {
        self.0.examples()
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.0.parameters()
    }

    fn closure(&self) -> Option<closure::Definition> {
        self.0.closure()
    }

    fn compile(
        &self,
        state: &TypeState,
        context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        let call = self.0.compile(state, context, arguments)?;
        Ok(Box::new(Call {
            name: self.0.identifier(),
            call,
        }))
    }
}

#[derive(Debug, Clone)]
struct Call {
    name: &'static str,
    call: Box<dyn Expression>,
}

impl Expression for Call {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let value = self.call.resolve(context)?;
        let mut left = LARGEST;
        if is_within(&value, &mut left) {
            for _ in 0..(LARGEST - left) / PER_OPERATION {
                context.checkpoint()?;
            }
            return Ok(value);
        }
        let name = self.name;
        Err(ExpressionError::from(format!(
            "{name} gives back more than {LARGEST} bytes"
        )))
    }

    fn resolve_constant(&self, state: &TypeState) -> Option<Value> {
        self.call.resolve_constant(state)
    }

    fn type_info(&self, state: &TypeState) -> TypeInfo {
        self.call.type_info(state)
    }
}

/// Whether `value` takes no more than `left`, from which it is taken.
fn is_within(value: &Value, left: &mut usize) -> bool {
    let mut take = |bytes: usize| {
        let rest = left.checked_sub(bytes);
        *left = rest.unwrap_or(0);
        rest.is_some()
    };
    match value {
        Value::Bytes(bytes) => take(bytes.len()),
        Value::String(text) => take(text.len()),
        Value::Array(list) => {
            take(list.len() * ENTRY) && list.iter().all(|own| is_within(own, left))
        }
        Value::Object(map) => map
            .iter()
            .all(|(key, own)| take_entry(key.len(), left) && is_within(own, left)),
        _ => true,
    }
}

fn take_entry(key: usize, left: &mut usize) -> bool {
    let rest = left.checked_sub(key + ENTRY);
    *left = rest.unwrap_or(0);
    rest.is_some()
}
