//! `ip_type`: what kind of network an address belongs to.

use vrl::prelude::{
    ArgumentList, Compiled, Context, Expression, Function, FunctionCompileContext,
    FunctionExpression, Parameter, Resolved, TypeDef, TypeState, Value, kind,
};

use super::own::address;
use crate::address::kind_of;

/// The function.
#[derive(Debug, Clone, Copy)]
pub(super) struct IpType;

const PARAMETERS: &[Parameter] = &[Parameter::required("ip", kind::ANY, "The address.")];

impl Function for IpType {
    described! {
        name: "ip_type",
        category: Ip,
        gives: BYTES | NULL,
        parameters: PARAMETERS,
        usage: "What kind of network an address belongs to: `loopback`, `private`, `link_local`, `cgnat`, `multicast` or `other`; null for what is no address.",
    }

    fn compile(
        &self,
        _state: &TypeState,
        _context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        let ip = arguments.required("ip");
        Ok(IpTypeFn { ip }.as_expr())
    }
}

#[derive(Debug, Clone)]
struct IpTypeFn {
    ip: Box<dyn Expression>,
}

impl FunctionExpression for IpTypeFn {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let address = address(&self.ip.resolve(context)?);
        Ok(address.map_or(Value::Null, |address| Value::from(kind_of(address))))
    }

    fn type_def(&self, _state: &TypeState) -> TypeDef {
        TypeDef::bytes().or_null().infallible()
    }
}
