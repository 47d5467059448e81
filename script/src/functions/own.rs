//! The functions of weir: what they look up is not in the Point.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
    sync::Arc,
};

use vrl::prelude::{
    ArgumentList, Category, Collection, Compiled, Context, Example, Expression, Function,
    FunctionCompileContext, FunctionExpression, NotNan, ObjectMap, Parameter, Resolved, TypeDef,
    TypeState, Value, kind,
};

use crate::{address::kind_of, lookups::Lookups};

/// What a function makes of its arguments; `null` where there is no answer.
type Answer = fn(&Lookups, &[Value]) -> Value;

/// One function.
#[derive(Debug, Clone)]
struct Own {
    name: &'static str,
    usage: &'static str,
    gives: u16,
    parameters: &'static [Parameter],
    answer: Answer,
    lookups: Arc<Lookups>,
}

const ADDRESS: &[Parameter] = &[Parameter::required("ip", kind::ANY, "An address as text.")];
const IN_SUBNET: &[Parameter] = &[
    Parameter::required("ip", kind::ANY, "An address as text."),
    Parameter::required("subnet", kind::BYTES, "The name of a subnet."),
];
const TABLE: &[Parameter] = &[
    Parameter::required("table", kind::BYTES, "The name of a table."),
    Parameter::required("key", kind::ANY, "A value of its first column."),
];
const PATH: &[Parameter] = &[Parameter::required(
    "path",
    kind::ANY,
    "The path of a request.",
)];
const SAMPLE: &[Parameter] = &[
    Parameter::required("key", kind::ANY, "What is kept or dropped together."),
    Parameter::required(
        "rate",
        kind::FLOAT | kind::INTEGER,
        "The share that is kept, 0 to 1.",
    ),
];

/// All of them, which look things up in `lookups`.
pub fn own(lookups: &Arc<Lookups>) -> Vec<Box<dyn Function>> {
    let object = kind::OBJECT | kind::NULL;
    let text = kind::BYTES | kind::NULL;
    let table: [(_, _, _, _, Answer); 7] = [
        (
            "geoip",
            "The place of an address: `country`, `country_code`, `province`, `province_code`, `city`, `latitude`, `longitude`, those that are known; `null` where nothing is.",
            object,
            ADDRESS,
            geoip,
        ),
        (
            "ip_type",
            "`loopback`, `private`, `link_local`, `cgnat`, `multicast` or `other`; `null` for what is no address.",
            text,
            ADDRESS,
            ip_type,
        ),
        (
            "subnet",
            "The name of the smallest configured subnet that an address is in, or `null`.",
            text,
            ADDRESS,
            subnet,
        ),
        (
            "in_subnet",
            "Whether an address is in the configured subnet of that name.",
            kind::BOOLEAN,
            IN_SUBNET,
            in_subnet,
        ),
        (
            "table",
            "The row of a configured table with that key, as an object, or `null`.",
            object,
            TABLE,
            row,
        ),
        (
            "route",
            "The route of a path: `*` for what identifies one thing among many.",
            text,
            PATH,
            route,
        ),
        (
            "sample",
            "For a key that is kept, how many it stands for; `null` for one that is dropped. The same key is always kept or always dropped.",
            kind::FLOAT | kind::NULL,
            SAMPLE,
            sample,
        ),
    ];
    table
        .into_iter()
        .map(|(name, usage, gives, parameters, answer)| {
            let own = Own {
                name,
                usage,
                gives,
                parameters,
                answer,
                lookups: Arc::clone(lookups),
            };
            Box::new(own) as Box<dyn Function>
        })
        .collect()
}

impl Function for Own {
    fn identifier(&self) -> &'static str {
        self.name
    }

    fn usage(&self) -> &'static str {
        self.usage
    }

    fn category(&self) -> &'static str {
        Category::System.as_ref()
    }

    fn return_kind(&self) -> u16 {
        self.gives
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.parameters
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(
        &self,
        _state: &TypeState,
        _context: &mut FunctionCompileContext,
        arguments: ArgumentList,
    ) -> Compiled {
        let given = self
            .parameters
            .iter()
            .map(|own| arguments.required(own.keyword));
        Ok(OwnFn {
            arguments: given.collect(),
            own: self.clone(),
        }
        .as_expr())
    }
}

#[derive(Debug, Clone)]
struct OwnFn {
    arguments: Vec<Box<dyn Expression>>,
    own: Own,
}

impl FunctionExpression for OwnFn {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let given = self.arguments.iter().map(|own| own.resolve(context));
        let given = given.collect::<Result<Vec<_>, _>>()?;
        Ok((self.own.answer)(&self.own.lookups, &given))
    }

    fn type_def(&self, _state: &TypeState) -> TypeDef {
        let gives = self.own.gives;
        let mut of = TypeDef::never();
        if gives & kind::OBJECT != 0 {
            of = of.or_object(Collection::any());
        }
        if gives & kind::BYTES != 0 {
            of = of.or_bytes();
        }
        if gives & kind::FLOAT != 0 {
            of = of.or_float();
        }
        if gives & kind::BOOLEAN != 0 {
            of = of.or_boolean();
        }
        if gives & kind::NULL != 0 {
            of = of.or_null();
        }
        of.infallible()
    }
}

fn text(given: &[Value], place: usize) -> Option<&str> {
    match given.get(place) {
        Some(Value::Bytes(bytes)) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn address(given: &[Value]) -> Option<IpAddr> {
    let address: IpAddr = text(given, 0)?.parse().ok()?;
    Some(address.to_canonical())
}

fn number(number: f64) -> Value {
    NotNan::new(number).map_or(Value::Null, Value::Float)
}

fn geoip(lookups: &Lookups, given: &[Value]) -> Value {
    let Some(place) = address(given).and_then(|address| lookups.geo.place(address)) else {
        return Value::Null;
    };
    let texts = [
        ("country", &place.country),
        ("country_code", &place.country_code),
        ("province", &place.province),
        ("province_code", &place.province_code),
        ("city", &place.city),
    ];
    let numbers = [("latitude", place.latitude), ("longitude", place.longitude)];
    let texts = texts
        .into_iter()
        .filter_map(|(key, text)| Some((key.into(), Value::from(text.as_ref()?.as_str()))));
    let numbers = numbers
        .into_iter()
        .filter_map(|(key, degrees)| Some((key.into(), number(degrees?))));
    Value::Object(texts.chain(numbers).collect::<ObjectMap>())
}

fn ip_type(_: &Lookups, given: &[Value]) -> Value {
    address(given).map_or(Value::Null, |address| Value::from(kind_of(address)))
}

fn subnet(lookups: &Lookups, given: &[Value]) -> Value {
    let named = lookups.named.load();
    let name = address(given).and_then(|address| named.subnets.name(address));
    name.map_or(Value::Null, |name| Value::from(name.as_str()))
}

fn in_subnet(lookups: &Lookups, given: &[Value]) -> Value {
    let (Some(address), Some(name)) = (address(given), text(given, 1)) else {
        return Value::Boolean(false);
    };
    Value::Boolean(lookups.named.load().subnets.contains(name, address))
}

fn row(lookups: &Lookups, given: &[Value]) -> Value {
    let key = match given.get(1) {
        Some(Value::Integer(number)) => number.to_string(),
        _ => text(given, 1).unwrap_or_default().to_owned(),
    };
    let table = text(given, 0).and_then(|name| lookups.tables.table(name));
    let Some(table) = table else {
        return Value::Null;
    };
    let Some(row) = table.row(&key) else {
        return Value::Null;
    };
    let row = row.map(|(column, value)| (column.as_str().into(), Value::from(value.as_str())));
    Value::Object(row.collect::<ObjectMap>())
}

fn route(lookups: &Lookups, given: &[Value]) -> Value {
    let Some(path) = text(given, 0) else {
        return Value::Null;
    };
    Value::from(&*lookups.named.load().routes.route(path))
}

fn sample(_: &Lookups, given: &[Value]) -> Value {
    let rate = match given.get(1) {
        Some(Value::Float(rate)) => rate.into_inner(),
        Some(Value::Integer(rate)) if *rate > 0 => 1.0,
        _ => 0.0,
    };
    if rate <= 0.0 {
        return Value::Null;
    }
    let mut hasher = DefaultHasher::new();
    match given.first() {
        Some(Value::Bytes(bytes)) => bytes.hash(&mut hasher),
        Some(other) => other.to_string().hash(&mut hasher),
        None => {}
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "the share of all hashes that are kept need not be more exact"
    )]
    let place = hasher.finish() as f64 / u64::MAX as f64;
    if place < rate {
        number(1.0 / rate.min(1.0))
    } else {
        Value::Null
    }
}
