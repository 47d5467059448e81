//! Programs of users on Points, and what they can look up.
//!
//! An [`Engine`] compiles the text of a program to a [`Script`]; a [`Runner`] runs it on one Point after another.

mod address;
mod engine;
pub mod functions;
pub mod lookups;

pub use self::address::kind_of;
pub use self::engine::{CompileError, Engine, Limits, Outcome, RunError, Runner, Script};
