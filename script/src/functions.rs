//! The functions that programs can call.

/// What a function of weir says of itself: VRL asks for each part by a method of its own.
macro_rules! described {
    (
        name: $name:literal,
        category: $category:ident,
        gives: $($gives:ident)|+,
        parameters: $parameters:expr,
        usage: $usage:literal $(,)?
    ) => {
        fn identifier(&self) -> &'static str {
            $name
        }

        fn category(&self) -> &'static str {
            vrl::prelude::Category::$category.as_ref()
        }

        fn return_kind(&self) -> u16 {
            $(vrl::prelude::kind::$gives)|+
        }

        fn parameters(&self) -> &'static [vrl::prelude::Parameter] {
            $parameters
        }

        fn usage(&self) -> &'static str {
            $usage
        }

        fn examples(&self) -> &'static [vrl::prelude::Example] {
            &[]
        }
    };
}

mod bounded;
mod cidr;
mod emit;
mod geoip;
mod ip_type;
mod own;
mod route;
mod sample;
mod table;

use vrl::{compiler::Function, stdlib};

use self::bounded::Bounded;

/// Functions of VRL that are left out: they reach beyond the Point (the log, files, secrets), do not answer the
/// same twice for a reason (random bytes), or make much memory out of little before a budget can stop them.
const LEFT_OUT: &[&str] = &[
    "decode_gzip",
    "decode_lz4",
    "decode_snappy",
    "decode_zlib",
    "decode_zstd",
    "encode_proto",
    "get_secret",
    "log",
    "parse_proto",
    "random_bytes",
    "range",
    "remove_secret",
    "set_secret",
    "set_semantic_meaning",
    "unnest",
    "validate_json_schema",
];

/// The functions of VRL and `emit`, each with a bound on what it may give back, and `own` as they are.
pub(crate) fn all(own: Vec<Box<dyn Function>>) -> Vec<Box<dyn Function>> {
    let standard = stdlib::all()
        .into_iter()
        .filter(|function| !LEFT_OUT.contains(&function.identifier()))
        .map(|function| Box::new(Bounded(function)) as Box<dyn Function>);
    let emit: Box<dyn Function> = Box::new(emit::Emit);
    standard.chain([emit]).chain(own).collect()
}

pub(crate) use self::emit::emitted_path;
pub use self::own::own;

#[cfg(test)]
mod tests;
