//! What the command `weir` does, apart from being a process.

pub mod points;
pub mod script;
