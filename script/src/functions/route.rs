//! `route`: the route of a path.

use std::sync::Arc;

use vrl::prelude::{
    ArgumentList, Compiled, Context, Expression, Function, FunctionCompileContext,
    FunctionExpression, Parameter, Resolved, TypeDef, TypeState, Value, kind,
};

use crate::lookups::Lookups;

/// The function.
#[derive(Debug)]
pub(super) struct RouteOf(pub(super) Arc<Lookups>);

const PARAMETERS: &[Parameter] = &[Parameter::required(
    "path",
    kind::ANY,
    "The path of a request, with or without its query.",
)];

impl Function for RouteOf {
    described! {
        name: "route",
        category: String,
        gives: BYTES | NULL,
        parameters: PARAMETERS,
        usage: "The route of a path: identifiers in it are `*`. Null for what is no text.",
    }

    fn compile(
        &self,
        _state: &TypeState,
        _context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        Ok(RouteFn {
            lookups: Arc::clone(&self.0),
            path: arguments.required("path"),
        }
        .as_expr())
    }
}

#[derive(Debug, Clone)]
struct RouteFn {
    lookups: Arc<Lookups>,
    path: Box<dyn Expression>,
}

impl FunctionExpression for RouteFn {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let path = self.path.resolve(context)?;
        let Some(path) = path.to_str_lossy() else {
            return Ok(Value::Null);
        };
        let routes = self.lookups.routes();
        Ok(Value::from(&*routes.route(&path)))
    }

    fn type_def(&self, state: &TypeState) -> TypeDef {
        let text = TypeDef::bytes();
        if self.path.type_def(state).is_bytes() {
            text.infallible()
        } else {
            text.or_null().infallible()
        }
    }
}
