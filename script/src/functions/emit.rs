//! `emit`: a further Point.

use std::sync::LazyLock;

use vrl::{
    path::{OwnedTargetPath, OwnedValuePath},
    prelude::{
        ArgumentList, Compiled, Context, Expression, Function, FunctionCompileContext,
        FunctionExpression, Parameter, Resolved, TypeDef, TypeState, Value, kind,
    },
};

/// Where the target takes further Points. No program can write this path itself.
pub(crate) fn emitted_path() -> &'static OwnedTargetPath {
    static PATH: LazyLock<OwnedTargetPath> = LazyLock::new(|| {
        let mut path = OwnedValuePath::root();
        path.push_field("emitted");
        OwnedTargetPath::metadata(path)
    });
    &PATH
}

/// The function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Emit;

const PARAMETERS: &[Parameter] = &[Parameter::required(
    "point",
    kind::OBJECT,
    "name, time, start, tags and fields of the Point; what is left out is as in this one, without tags and fields",
)];

impl Function for Emit {
    described! {
        name: "emit",
        category: System,
        gives: NULL,
        parameters: PARAMETERS,
        usage: "Adds a further Point, which no program sees.",
    }

    fn pure(&self) -> bool {
        false
    }

    fn compile(
        &self,
        _state: &TypeState,
        _context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        Ok(EmitFn {
            point: arguments.required("point"),
        }
        .as_expr())
    }
}

#[derive(Debug, Clone)]
struct EmitFn {
    point: Box<dyn Expression>,
}

impl FunctionExpression for EmitFn {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let point = self.point.resolve(context)?;
        context.target_mut().target_insert(emitted_path(), point)?;
        Ok(Value::Null)
    }

    fn type_def(&self, _state: &TypeState) -> TypeDef {
        TypeDef::null().infallible().impure()
    }
}
