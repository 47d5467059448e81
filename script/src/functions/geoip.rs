//! `geoip`: where an address is.

use std::{collections::BTreeMap, sync::Arc};

use vrl::prelude::{
    ArgumentList, Compiled, Context, Expression, Field, Function, FunctionCompileContext,
    FunctionExpression, Kind, Parameter, Resolved, TypeDef, TypeState, Value, kind,
};

use weir_point::Text;

use super::own::address;
use crate::lookups::{Lookups, Place};

/// The function.
#[derive(Debug)]
pub(super) struct GeoIp(pub(super) Arc<Lookups>);

const PARAMETERS: &[Parameter] = &[Parameter::required(
    "ip",
    kind::ANY,
    "The address; what is none is nowhere.",
)];

impl Function for GeoIp {
    described! {
        name: "geoip",
        category: Ip,
        gives: OBJECT | NULL,
        parameters: PARAMETERS,
        usage: "The place of an address as country, country_code, province, province_code, city, latitude and longitude, as far as they are known; null for one that is nowhere.",
    }

    fn compile(
        &self,
        _state: &TypeState,
        _context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        Ok(GeoIpFn {
            lookups: Arc::clone(&self.0),
            ip: arguments.required("ip"),
        }
        .as_expr())
    }
}

#[derive(Debug, Clone)]
struct GeoIpFn {
    lookups: Arc<Lookups>,
    ip: Box<dyn Expression>,
}

impl FunctionExpression for GeoIpFn {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let address = address(&self.ip.resolve(context)?);
        let place = address.and_then(|address| self.lookups.geo().place(address));
        Ok(place.map_or(Value::Null, |place| value(&place)))
    }

    fn type_def(&self, _state: &TypeState) -> TypeDef {
        let text = || Kind::bytes().or_undefined();
        let number = || Kind::float().or_undefined();
        let parts = [
            ("country", text()),
            ("country_code", text()),
            ("province", text()),
            ("province_code", text()),
            ("city", text()),
            ("latitude", number()),
            ("longitude", number()),
        ];
        let parts = parts.map(|(key, kind)| (Field::from(key), kind));
        TypeDef::object(BTreeMap::from(parts))
            .or_null()
            .infallible()
    }
}

fn value(place: &Place) -> Value {
    let text = |text: &Option<Text>| Some(Value::from(text.as_ref()?.as_str()));
    let number = |number: Option<f64>| Some(Value::from_f64_or_zero(number?));
    let parts = [
        ("country", text(&place.country)),
        ("country_code", text(&place.country_code)),
        ("province", text(&place.province)),
        ("province_code", text(&place.province_code)),
        ("city", text(&place.city)),
        ("latitude", number(place.latitude)),
        ("longitude", number(place.longitude)),
    ];
    let known = parts.into_iter();
    let known = known.filter_map(|(key, value)| Some((key.into(), value?)));
    Value::Object(known.collect())
}
