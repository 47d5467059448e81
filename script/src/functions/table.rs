//! `lookup`: a row of a table.

use std::{borrow::Cow, sync::Arc};

use vrl::prelude::{
    ArgumentList, Collection, Compiled, Context, Expression, Function, FunctionCompileContext,
    FunctionExpression, Kind, Parameter, Resolved, TypeDef, TypeState, Value, kind,
};

use super::own::{failed, text};
use crate::lookups::Lookups;

/// The function.
#[derive(Debug)]
pub(super) struct Lookup(pub(super) Arc<Lookups>);

const PARAMETERS: &[Parameter] = &[
    Parameter::required("table", kind::BYTES, "The name of the table."),
    Parameter::required(
        "key",
        kind::ANY,
        "The text or the number that the row is found by; an array of them where the key has several columns.",
    ),
];

impl Function for Lookup {
    described! {
        name: "lookup",
        category: Object,
        gives: OBJECT | NULL,
        parameters: PARAMETERS,
        usage: "The row of a table as an object, or null if no row has the key.",
    }

    fn internal_failure_reasons(&self) -> &'static [&'static str] {
        &[
            "No such table is configured.",
            "The file of the table could not be read yet.",
            "`key` has another number of columns than the key of the table.",
        ]
    }

    fn compile(
        &self,
        _state: &TypeState,
        _context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        Ok(LookupFn {
            lookups: Arc::clone(&self.0),
            table: arguments.required("table"),
            key: arguments.required("key"),
        }
        .as_expr())
    }
}

#[derive(Debug, Clone)]
struct LookupFn {
    lookups: Arc<Lookups>,
    table: Box<dyn Expression>,
    key: Box<dyn Expression>,
}

impl FunctionExpression for LookupFn {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let table = self.table.resolve(context)?;
        let table = table.to_str_lossy().unwrap_or_default();
        let key = self.key.resolve(context)?;
        let parts = match &key {
            Value::Array(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        // What is neither text nor number, such as a tag that is missing, is in no row.
        let parts: Vec<Cow<'_, str>> = parts
            .iter()
            .map(|part| text(part).unwrap_or_default())
            .collect();
        let parts: Vec<&str> = parts.iter().map(|part| &**part).collect();
        let row = self.lookups.tables().row(&table, &parts).map_err(failed)?;
        Ok(row.unwrap_or(Value::Null))
    }

    fn type_def(&self, _state: &TypeState) -> TypeDef {
        let cell = Kind::bytes().or_undefined();
        TypeDef::object(Collection::from_unknown(cell))
            .or_null()
            .fallible()
    }
}
