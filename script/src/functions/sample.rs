//! `sample`: one Point of so many.

use vrl::{
    diagnostic::Span,
    prelude::{
        ArgumentList, Compiled, Context, Expression, ExpressionError, Function,
        FunctionCompileContext, FunctionExpression, Parameter, Resolved, TypeDef, TypeState, Value,
        function, kind,
    },
};

use super::own::{failed, text};

/// The function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample;

const PARAMETERS: &[Parameter] = &[
    Parameter::required(
        "one_of",
        kind::INTEGER,
        "Of so many Points one is kept; at least 1.",
    ),
    Parameter::optional(
        "key",
        kind::ANY,
        "Points with the same key are kept or dropped together, everywhere and always; without, chance decides.",
    ),
];

impl Function for Sample {
    described! {
        name: "sample",
        category: System,
        gives: INTEGER,
        parameters: PARAMETERS,
        usage: "Drops the Point, as `abort` does, or gives back for how many it stands.",
    }

    fn internal_failure_reasons(&self) -> &'static [&'static str] {
        &["`one_of` is less than 1."]
    }

    fn pure(&self) -> bool {
        false
    }

    fn compile(
        &self,
        state: &TypeState,
        context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        let one_of = arguments.required("one_of");
        let known = one_of.resolve_constant(state);
        if let Some(value) = &known
            && factor(value).is_none()
        {
            return Err(function::Error::InvalidArgument {
                keyword: "one_of",
                value: value.clone(),
                error: "must be at least 1",
            }
            .into());
        }
        Ok(SampleFn {
            span: context.span(),
            one_of,
            is_known: known.is_some(),
            key: arguments.optional("key"),
        }
        .as_expr())
    }
}

#[derive(Debug, Clone)]
struct SampleFn {
    span: Span,
    one_of: Box<dyn Expression>,
    is_known: bool,
    key: Option<Box<dyn Expression>>,
}

impl FunctionExpression for SampleFn {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let one_of = self.one_of.resolve(context)?;
        let factor = factor(&one_of).ok_or_else(|| failed("`one_of` is less than 1"))?;
        let draw = match &self.key {
            Some(key) => {
                let key = key.resolve(context)?;
                let key = text(&key).map_or_else(|| key.to_string(), std::borrow::Cow::into_owned);
                mixed(key.as_bytes())
            }
            None => fastrand::u64(..),
        };
        // What is kept of a hundred is kept of ten, too.
        if draw <= u64::MAX / factor {
            return Ok(one_of);
        }
        Err(ExpressionError::Abort {
            span: self.span,
            message: None,
        })
    }

    fn type_def(&self, _state: &TypeState) -> TypeDef {
        let integer = TypeDef::integer();
        if self.is_known {
            integer.infallible().impure()
        } else {
            integer.fallible().impure()
        }
    }
}

fn factor(value: &Value) -> Option<u64> {
    let number = value.as_integer()?;
    u64::try_from(number).ok().filter(|number| *number > 0)
}

/// FNV-1a of the key, mixed as in `MurmurHash3` so that all bits depend on it: the same on every machine and in every
/// version.
fn mixed(key: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}
