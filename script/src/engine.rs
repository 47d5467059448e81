//! Compiling programs and running them on Points.

mod error;
mod growth;
mod plan;
mod result;
mod subject;
mod value;

use std::{fmt, ops::ControlFlow, thread};

use vrl::{
    compiler::{
        CompileConfig, ExpressionError, Function, Program, TimeZone, compile_with_external,
        runtime::{Runtime, Terminate},
        state::ExternalEnv,
    },
    diagnostic::DiagnosticMessage,
    parser,
    path::{OwnedTargetPath, OwnedValuePath},
    prelude::{Collection, Kind},
};
use weir_point::Point;

pub use self::error::{CompileError, RunError};
use self::{
    error::Failure,
    plan::Plan,
    result::Edit,
    subject::{Memory, Subject},
    value::{BadResult, Room},
};
use crate::functions;

/// Longest program, in bytes.
const LONGEST: usize = 64 * 1024;
/// Enough for the longest program, whatever it is; only what is used takes memory.
const COMPILER_STACK: usize = 256 * 1024 * 1024;

/// Knows the functions that programs can call.
pub struct Engine {
    functions: Vec<Box<dyn Function>>,
}

/// A compiled program.
pub struct Script {
    source: Box<str>,
    program: Program,
    plan: Plan,
}

/// What a program may use up for one Point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Expressions evaluated.
    pub operations: u32,
    /// Bytes of text written to the Point and to further ones, each entry counted with 16 more.
    pub result: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 10_000,
            result: 64 * 1024,
        }
    }
}

/// What a program made of a Point.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// Whether the Point is another than before.
    pub edited: bool,
    /// Whether the program has dropped it, with `abort`. It is as it was then.
    pub dropped: bool,
    /// Further Points, in the order of the calls.
    pub emitted: Vec<Point>,
}

impl Engine {
    /// With the functions of VRL that are safe here, `emit`, and `own`.
    pub fn new(own: Vec<Box<dyn Function>>) -> Self {
        Self {
            functions: functions::all(own),
        }
    }

    /// Compile the text of a program.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn compile(&self, source: &str) -> Result<Script, CompileError> {
        if source.len() > LONGEST {
            let message = format!(
                "a program of {} bytes; the limit is {LONGEST}",
                source.len()
            );
            return Err(CompileError::without_place(message));
        }
        if let Some(at) = growth::too_many_brackets(source) {
            return Err(CompileError::at(
                source,
                at,
                "too many brackets inside each other",
            ));
        }
        // The parser and the compiler take stack for every expression inside another.
        let own_stack = thread::Builder::new().stack_size(COMPILER_STACK);
        thread::scope(|scope| {
            let compiling = own_stack.spawn_scoped(scope, || self.compile_here(source));
            let compiling = compiling.map_err(|error| {
                CompileError::without_place(format!("no thread to compile it: {error}"))
            })?;
            compiling.join().unwrap_or_else(|_panic| {
                let message = "the compiler has failed on it".to_owned();
                Err(CompileError::without_place(message))
            })
        })
    }

    fn compile_here(&self, source: &str) -> Result<Script, CompileError> {
        let parsed = parser::parse(source).map_err(|error| {
            let mistake: Box<dyn DiagnosticMessage> = Box::new(error);
            CompileError::new(source, vec![mistake].into())
        })?;
        let growth = growth::mistakes(parsed);
        if !growth.is_empty() {
            return Err(CompileError::new(source, growth.into()));
        }
        let types = ExternalEnv::new_with_kind(point_kind(), Kind::object(Collection::empty()));
        let compiled = compile_with_external(source, &self.functions, &types, write_protection())
            .map_err(|mistakes| CompileError::new(source, mistakes))?;
        let program = compiled.program;
        let plan =
            Plan::new(program.info()).map_err(|path| CompileError::no_part(source, &path))?;
        Ok(Script {
            source: source.into(),
            program,
            plan,
        })
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions = self.functions.len();
        f.debug_struct("Engine")
            .field("functions", &functions)
            .finish()
    }
}

impl Script {
    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Runs programs, one Point at a time; keeps its memory from one to the next.
#[derive(Debug)]
pub struct Runner {
    runtime: Runtime,
    zone: TimeZone,
    memory: Memory,
    edits: Vec<Edit>,
}

impl Default for Runner {
    fn default() -> Self {
        Self {
            runtime: Runtime::default(),
            // Texts of times that name no zone mean the same on every machine.
            zone: TimeZone::parse("UTC").unwrap_or_default(),
            memory: Memory::default(),
            edits: Vec::new(),
        }
    }
}

impl Runner {
    /// Run `script` on `point`.
    ///
    /// # Errors
    /// The program has failed or used up its limits; the Point is as it was, and nothing was emitted.
    pub fn run(
        &mut self,
        script: &Script,
        point: &mut Point,
        limits: &Limits,
    ) -> Result<Outcome, RunError> {
        let mut left = limits.operations;
        let mut budget = || match left.checked_sub(1) {
            Some(rest) => {
                left = rest;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        };
        self.runtime.clear();
        self.edits.clear();
        let mut subject = Subject::new(point, &script.plan, &mut self.memory);
        let end = self.runtime.resolve_with_control(
            &mut subject,
            &script.program,
            &self.zone,
            &mut budget,
        );
        let dropped = match end {
            Ok(_) => false,
            Err(Terminate::Abort(ExpressionError::Abort { .. })) => true,
            Err(end) => return Err(RunError::of(end, limits.operations)),
        };
        let bad = |problem| RunError(Failure::BadResult(problem));
        let mut room = Room::new(limits);
        let emitted = self.emitted(point, &mut room).map_err(bad)?;
        if !dropped {
            let slots = &self.memory.slots;
            result::edits(point, &script.plan, slots, &mut room, &mut self.edits).map_err(bad)?;
        }
        let edited = !self.edits.is_empty();
        for edit in self.edits.drain(..) {
            edit.apply(point);
        }
        Ok(Outcome {
            edited,
            dropped,
            emitted,
        })
    }

    fn emitted(&self, of: &Point, room: &mut Room) -> Result<Vec<Point>, BadResult> {
        let values = self.memory.emitted.iter();
        values
            .map(|value| result::emitted(value, of, room))
            .collect()
    }
}

/// What the compiler knows of a Point, so that what cannot fail need not be handled.
fn point_kind() -> Kind {
    let known = [
        ("category", Kind::bytes()),
        ("name", Kind::bytes()),
        ("time", Kind::integer()),
        ("start", Kind::integer()),
        (
            "tags",
            Kind::object(Collection::from_unknown(Kind::bytes())),
        ),
        ("fields", Kind::object(Collection::any())),
        ("resource", Kind::object(Collection::any()).or_undefined()),
        ("scope", Kind::object(Collection::any()).or_undefined()),
    ];
    let known = known.map(|(key, kind)| (key.into(), kind));
    // Other paths are refused afterwards, with a better reason than that they have the wrong type.
    Kind::object(Collection::from_parts(
        known.into_iter().collect(),
        Kind::any(),
    ))
}

fn write_protection() -> CompileConfig {
    let mut config = CompileConfig::default();
    for part in ["category", "resource", "scope"] {
        let mut path = OwnedValuePath::root();
        path.push_field(part);
        config.set_read_only_path(OwnedTargetPath::event(path), true);
    }
    config.set_read_only_path(OwnedTargetPath::metadata_root(), true);
    config
}

#[cfg(test)]
mod tests;
