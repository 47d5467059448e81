//! `subnet` and `cidr_contains`: networks that have names, or are written in the program.

use std::sync::Arc;

use vrl::prelude::{
    ArgumentList, Compiled, Context, Expression, ExpressionError, Function, FunctionCompileContext,
    FunctionExpression, Parameter, Resolved, TypeDef, TypeState, Value, function, kind,
};

use super::own::{address, failed};
use crate::lookups::{Cidr, Lookups};

/// The function `subnet`.
#[derive(Debug)]
pub(super) struct Subnet(pub(super) Arc<Lookups>);

/// The function `cidr_contains`.
#[derive(Debug)]
pub(super) struct CidrContains(pub(super) Arc<Lookups>);

const SUBNET_PARAMETERS: &[Parameter] = &[Parameter::required("ip", kind::ANY, "The address.")];

const CONTAINS_PARAMETERS: &[Parameter] = &[
    Parameter::required(
        "networks",
        kind::BYTES | kind::ARRAY,
        "The name of a list of networks, a network, or an array of them.",
    ),
    Parameter::required(
        "ip",
        kind::ANY,
        "The address; what is none lies in no network.",
    ),
];

impl Function for Subnet {
    described! {
        name: "subnet",
        category: Ip,
        gives: BYTES | NULL,
        parameters: SUBNET_PARAMETERS,
        usage: "The name of the smallest configured network that an address lies in, or null.",
    }

    fn compile(
        &self,
        _state: &TypeState,
        _context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        Ok(SubnetFn {
            lookups: Arc::clone(&self.0),
            ip: arguments.required("ip"),
        }
        .as_expr())
    }
}

#[derive(Debug, Clone)]
struct SubnetFn {
    lookups: Arc<Lookups>,
    ip: Box<dyn Expression>,
}

impl FunctionExpression for SubnetFn {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let address = address(&self.ip.resolve(context)?);
        let subnets = self.lookups.subnets();
        let name = address.and_then(|address| subnets.name(address));
        Ok(name.map_or(Value::Null, Value::from))
    }

    fn type_def(&self, _state: &TypeState) -> TypeDef {
        TypeDef::bytes().or_null().infallible()
    }
}

impl Function for CidrContains {
    described! {
        name: "cidr_contains",
        category: Ip,
        gives: BOOLEAN,
        parameters: CONTAINS_PARAMETERS,
        usage: "Whether an address lies in a network.",
    }

    fn internal_failure_reasons(&self) -> &'static [&'static str] {
        &["`networks` is neither the name of a configured list nor a network."]
    }

    fn compile(
        &self,
        state: &TypeState,
        _context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        let networks = arguments.required("networks");
        let networks = match networks.resolve_constant(state) {
            Some(value) if is_name(&value) => Networks::Later(networks),
            Some(value) => match listed(&value) {
                Ok(listed) => Networks::Listed(listed),
                Err(_) => {
                    return Err(function::Error::InvalidArgument {
                        keyword: "networks",
                        value,
                        error: "must be a list of networks such as 10.1.0.0/16, without bits behind their length",
                    }
                    .into());
                }
            },
            None => Networks::Later(networks),
        };
        Ok(CidrContainsFn {
            lookups: Arc::clone(&self.0),
            networks,
            ip: arguments.required("ip"),
        }
        .as_expr())
    }
}

#[derive(Debug, Clone)]
struct CidrContainsFn {
    lookups: Arc<Lookups>,
    networks: Networks,
    ip: Box<dyn Expression>,
}

#[derive(Debug, Clone)]
enum Networks {
    /// They stand in the program.
    Listed(Vec<Cidr>),
    /// They have a name, which configuration can change, or come from the Point.
    Later(Box<dyn Expression>),
}

impl FunctionExpression for CidrContainsFn {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let address = address(&self.ip.resolve(context)?);
        let is_in = |networks: &[Cidr]| {
            let within = |address| networks.iter().any(|own| own.contains(address));
            Value::from(address.is_some_and(within))
        };
        let networks = match &self.networks {
            Networks::Listed(listed) => return Ok(is_in(listed)),
            Networks::Later(networks) => networks.resolve(context)?,
        };
        if !is_name(&networks) {
            return Ok(is_in(&listed(&networks)?));
        }
        let name = networks.to_str_lossy().unwrap_or_default();
        let subnets = self.lookups.subnets();
        let own = subnets.networks(&name);
        own.map(is_in)
            .ok_or_else(|| failed(format_args!("no subnet `{name}` is configured")))
    }

    fn type_def(&self, _state: &TypeState) -> TypeDef {
        let is_certain = matches!(self.networks, Networks::Listed(_));
        let boolean = TypeDef::boolean();
        if is_certain {
            boolean.infallible()
        } else {
            boolean.fallible()
        }
    }
}

/// Whether it is the name of a list: names have neither dots nor colons, networks do.
fn is_name(value: &Value) -> bool {
    let text = value.to_str_lossy();
    text.is_some_and(|text| !text.contains(['.', ':']))
}

fn listed(value: &Value) -> Result<Vec<Cidr>, ExpressionError> {
    let one = |value: &Value| {
        let text = value.to_str_lossy();
        let text = text.ok_or_else(|| failed("a network is a text"))?;
        text.parse::<Cidr>().map_err(failed)
    };
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        other => Ok(vec![one(other)?]),
    }
}
