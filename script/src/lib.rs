//! Programs of users on Points, and what they can look up.
//!
//! An [`Engine`] compiles the text of a program to a [`Script`]; a [`Runner`] runs it on one Point after another.
//! [`Lookups`] are what its functions look up: places, networks, tables, routes.

mod address;
mod engine;
pub mod functions;
mod geo;
mod lookups;
mod subnets;
mod tables;
mod watched;

pub use self::{
    address::ip_type,
    engine::{CompileError, Engine, Limits, Outcome, RunError, Runner, Script},
    geo::{Geo, GeoSettings, Place},
    lookups::{LookupError, LookupSettings, Lookups},
    subnets::{Cidr, CidrError, SubnetError, Subnets},
    tables::{TableSettings, Tables},
};
