//! Programs of users on Points, and what they can look up.
//!
//! An [`Engine`] compiles the text of a program to a [`Script`]; a [`Runner`] runs it on one Point after another.
//! [`lookups`] are what the functions of weir look up: places, networks, tables, routes.

mod address;
mod engine;
pub mod functions;
pub mod lookups;

/// The program that comes with weir: it writes the places of both ends of a flow to its tags.
pub const PLACES: &str = include_str!("../shipped/places.vrl");

pub use self::{
    address::kind_of,
    engine::{CompileError, Engine, Limits, Outcome, RunError, Runner, Script},
};
