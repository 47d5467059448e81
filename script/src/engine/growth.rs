//! Refuses what could make values grow past every budget: operators are not stopped by one while they work.
//!
//! Results of functions are bounded and charged to the budget of operations. What is left are the operators `+`,
//! `*` and `|`, and literals of lists and objects. A product can repeat a text any number of times. In a loop, an
//! assignment that reads two growing values can double them at every turn; one that reads one adds to it, which
//! the budget bounds. Expressions that lie too deep in each other are refused, too: every one takes stack.

mod parts;

use std::collections::BTreeSet;

use vrl::{
    diagnostic::{Diagnostic, Note, Span},
    parser::{
        Literal, Program,
        ast::{
            Assignment, AssignmentOp, AssignmentTarget, Block, Container, Expr, FunctionCall, Node,
            Op, Opcode, QueryTarget, RootExpr,
        },
    },
};

use self::parts::{Inner, parts};

/// Most expressions inside each other; each term of a sum counts as one.
const DEEPEST: usize = 128;
/// A text may be repeated so often by a number in the program.
const MOST_REPEATED: i64 = 1000;
/// Functions that give back a number whatever they get.
const NUMBERS: &[&str] = &[
    "abs",
    "ceil",
    "float",
    "floor",
    "int",
    "length",
    "mod",
    "parse_float",
    "parse_int",
    "round",
    "strlen",
    "to_float",
    "to_int",
    "to_unix_timestamp",
];
const FLOATS: &[&str] = &["float", "parse_float", "to_float"];

/// Every place of `program` that is refused.
pub(super) fn mistakes(program: Program) -> Vec<Diagnostic> {
    let mut search = Search::default();
    let expressions: Vec<Node<Expr>> = program
        .0
        .into_iter()
        .filter_map(|root| match root.into_inner() {
            RootExpr::Expr(expression) => Some(expression),
            RootExpr::Error(_) => None,
        })
        .collect();
    // First what grows, then who reads it: a loop may read what is assigned further down.
    for pass in [Pass::Gather, Pass::Check] {
        search.pass = pass;
        for expression in &expressions {
            search.walk(expression);
        }
        if !search.mistakes.is_empty() {
            break;
        }
    }
    search.mistakes
}

/// Where more brackets than [`DEEPEST`] are open. The parser would take them, and its time.
pub(super) fn too_many_brackets(source: &str) -> Option<usize> {
    let (mut open, mut until, mut is_escaped) = (0_usize, None, false);
    for (at, byte) in source.bytes().enumerate() {
        if is_escaped {
            is_escaped = false;
            continue;
        }
        match (until, byte) {
            (Some(b'"' | b'\''), b'\\') => is_escaped = true,
            (Some(end), _) if byte == end => until = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => until = Some(byte),
            (None, b'#') => until = Some(b'\n'),
            (None, b'(' | b'[' | b'{') => open += 1,
            (None, b')' | b']' | b'}') => open = open.saturating_sub(1),
            (None, _) => {}
        }
        if open > DEEPEST {
            return Some(at);
        }
    }
    None
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Pass {
    #[default]
    Gather,
    Check,
}

#[derive(Debug, Default)]
struct Search {
    pass: Pass,
    /// How many loops there are around.
    loops: usize,
    /// How many expressions there are around.
    depth: usize,
    /// What is assigned in loops, as it is written without the path inside.
    growing: BTreeSet<String>,
    mistakes: Vec<Diagnostic>,
}

impl Search {
    fn walk(&mut self, expression: &Node<Expr>) {
        if self.depth >= DEEPEST {
            self.refuse(
                expression.span(),
                "too many expressions inside each other",
                "put the result of some into a variable",
            );
            return;
        }
        self.depth += 1;
        if let Expr::Assignment(own) = expression.inner() {
            self.assignment(own);
        }
        if let Expr::Op(own) = expression.inner() {
            self.product(own);
        }
        for inner in parts(expression.inner()) {
            match inner {
                Inner::Same(inner) => self.walk(inner),
                Inner::Copied(inner) => self.walk(&inner),
                Inner::Loop(block) => {
                    self.loops += 1;
                    block.0.iter().for_each(|own| self.walk(own));
                    self.loops -= 1;
                }
            }
        }
        self.depth -= 1;
    }

    fn assignment(&mut self, own: &Node<Assignment>) {
        if self.loops == 0 {
            return;
        }
        let (targets, op, value) = match own.inner() {
            Assignment::Single { target, op, expr } => (vec![target], op, expr),
            Assignment::Infallible { ok, err, op, expr } => (vec![ok, err], op, expr),
        };
        if self.pass == Pass::Gather {
            let names = targets.into_iter().filter_map(|own| name(own.inner()));
            self.growing.extend(names);
            return;
        }
        let merges = usize::from(*op == AssignmentOp::Merge);
        if merges + self.reads(value.inner()) > 1 {
            self.refuse(
                own.span(),
                "this may double a value at every turn of a loop",
                "values that are assigned in a loop can be read once on the right side; wrap numbers in int() or float(), \
                 or use a function such as push, join or merge",
            );
        }
    }

    /// How often something that grows comes into the value of `expression` as it is.
    fn reads(&self, expression: &Expr) -> usize {
        match expression {
            Expr::Variable(own) => usize::from(self.growing.contains(&own.inner().to_string())),
            Expr::Query(own) => match own.inner().target.inner() {
                QueryTarget::Internal(ident) => {
                    usize::from(self.growing.contains(&ident.to_string()))
                }
                QueryTarget::External(_) => {
                    let path = own.inner().path.to_string();
                    // Of a path and one inside it, both hold the same.
                    let is_same = |other: &&String| {
                        other.strip_prefix('.').is_some_and(|other| {
                            other.starts_with(&path) || path.starts_with(other)
                        })
                    };
                    usize::from(self.growing.iter().any(|other| is_same(&other)))
                }
                QueryTarget::FunctionCall(_) => 0,
                QueryTarget::Container(own) => self.reads_inside(own),
            },
            Expr::Container(own) => self.reads_inside(own.inner()),
            Expr::Op(own) => match own.inner().1.inner() {
                Opcode::Add | Opcode::Merge | Opcode::Err | Opcode::Or | Opcode::Mul
                    if !is_number(expression) =>
                {
                    self.reads(&own.inner().0) + self.reads(&own.inner().2)
                }
                _ => 0,
            },
            Expr::IfStatement(own) => {
                let block = |own: &Block| own.0.last().map_or(0, |last| self.reads(last));
                let other = own.else_node.as_ref().map_or(0, |own| block(own.inner()));
                block(own.if_node.inner()).max(other)
            }
            Expr::Literal(own) => match own.inner() {
                Literal::String(template) if template.as_literal_string().is_none() => {
                    self.reads(&template.rewrite_to_concatenated_strings())
                }
                _ => 0,
            },
            Expr::Assignment(own) => match own.inner() {
                Assignment::Single { expr, .. } | Assignment::Infallible { expr, .. } => {
                    self.reads(expr)
                }
            },
            // Results of functions are bounded, the others are truth values or nothing.
            Expr::FunctionCall(_)
            | Expr::Unary(_)
            | Expr::Abort(_)
            | Expr::Return(_)
            | Expr::Break(_) => 0,
        }
    }

    fn reads_inside(&self, container: &Container) -> usize {
        match container {
            Container::Group(own) => self.reads(own.inner().0.inner()),
            Container::Block(own) => own.inner().0.last().map_or(0, |last| self.reads(last)),
            Container::Array(own) => {
                let values = own.inner().clone().into_iter();
                values.map(|own| self.reads(own.inner())).sum()
            }
            Container::Object(own) => {
                let values = own.inner().clone().into_iter();
                values.map(|(_, own)| self.reads(own.inner())).sum()
            }
        }
    }

    fn product(&mut self, own: &Node<Op>) {
        let Op(left, op, right) = own.inner();
        if self.pass == Pass::Gather || *op.inner() != Opcode::Mul {
            return;
        }
        let is_small = |side: &Expr| match side {
            Expr::Literal(own) => {
                matches!(own.inner(), Literal::Integer(..=MOST_REPEATED))
            }
            _ => false,
        };
        let either = |is: &dyn Fn(&Expr) -> bool| is(left) || is(right);
        if either(&is_small) || either(&is_float) || is_number(left) && is_number(right) {
            return;
        }
        self.refuse(
            own.span(),
            "this may repeat a text without end",
            "say that both are numbers, with int() or float(), or multiply with a number up to 1000",
        );
    }

    fn refuse(&mut self, span: Span, problem: &str, hint: &str) {
        let mistake = Diagnostic::error(0, problem)
            .with_primary("here", span)
            .with_note(Note::Hint(hint.to_owned()));
        self.mistakes.push(mistake);
    }
}

/// What an assignment writes to, without the path inside a variable.
fn name(target: &AssignmentTarget) -> Option<String> {
    match target {
        AssignmentTarget::Noop => None,
        AssignmentTarget::Internal(ident, _) => Some(ident.to_string()),
        AssignmentTarget::External(path) => {
            let path = path.as_ref().map(|own| own.path.to_string());
            Some(format!(".{}", path.unwrap_or_default()))
        }
        AssignmentTarget::Query(query) => match query.target.inner() {
            QueryTarget::Internal(ident) => Some(ident.to_string()),
            QueryTarget::External(_) => Some(format!(".{}", query.path.inner())),
            QueryTarget::FunctionCall(_) | QueryTarget::Container(_) => None,
        },
    }
}

fn is_float(expression: &Expr) -> bool {
    match inside(expression) {
        Expr::Literal(own) => matches!(own.inner(), Literal::Float(_)),
        Expr::FunctionCall(own) => FLOATS.contains(&function(own.inner())),
        Expr::Op(own) => *own.inner().1.inner() == Opcode::Div,
        _ => false,
    }
}

/// Whether it is a number if it is anything.
fn is_number(expression: &Expr) -> bool {
    match inside(expression) {
        Expr::Literal(own) => matches!(own.inner(), Literal::Integer(_) | Literal::Float(_)),
        Expr::FunctionCall(own) => NUMBERS.contains(&function(own.inner())),
        Expr::Op(own) => match own.inner().1.inner() {
            Opcode::Sub | Opcode::Div => true,
            Opcode::Add | Opcode::Mul | Opcode::Err => {
                is_number(&own.inner().0) && is_number(&own.inner().2)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Without the parentheses around it.
fn inside(expression: &Expr) -> &Expr {
    match expression {
        Expr::Container(own) => match own.inner() {
            Container::Group(group) => inside(group.inner().0.inner()),
            _ => expression,
        },
        _ => expression,
    }
}

fn function(call: &FunctionCall) -> &str {
    call.ident.inner().as_ref()
}
