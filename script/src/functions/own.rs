//! The functions that look something up, and what they share.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use vrl::prelude::{ExpressionError, Function, Value};

use super::{
    cidr::{CidrContains, Subnet},
    geoip::GeoIp,
    ip_type::IpType,
    route::RouteOf,
    sample::Sample,
    table::Lookup,
};
use crate::{address, lookups::Lookups};

/// The functions that look something up in `lookups`, and `sample`.
pub fn own(lookups: &Arc<Lookups>) -> Vec<Box<dyn Function>> {
    let shared = || Arc::clone(lookups);
    vec![
        Box::new(GeoIp(shared())),
        Box::new(IpType),
        Box::new(Subnet(shared())),
        Box::new(CidrContains(shared())),
        Box::new(Lookup(shared())),
        Box::new(RouteOf(shared())),
        Box::new(Sample),
    ]
}

/// The text that a value is, or that is written for a number.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Integer(number) => Some(Cow::Owned(number.to_string())),
        other => other.to_str_lossy(),
    }
}

/// The address that a value is the text of.
pub(super) fn address(value: &Value) -> Option<IpAddr> {
    address::parse(&value.to_str_lossy()?)
}

/// A function has failed with `error`.
pub(super) fn failed(error: impl std::fmt::Display) -> ExpressionError {
    ExpressionError::from(error.to_string())
}
