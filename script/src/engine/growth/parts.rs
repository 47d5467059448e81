//! What expressions lie directly in one.

use vrl::parser::ast::{
    Assignment, Block, Container, Expr, FunctionCall, Node, Op, Predicate, QueryTarget, Unary,
};

/// A part of an expression.
pub(super) enum Inner<'e> {
    Same(&'e Node<Expr>),
    /// What the parser lets nobody borrow.
    Copied(Box<Node<Expr>>),
    Loop(&'e Block),
}

impl Inner<'_> {
    fn copied(expression: Node<Expr>) -> Self {
        Self::Copied(expression.into())
    }
}

/// The expressions directly inside.
pub(super) fn parts(expression: &Expr) -> Vec<Inner<'_>> {
    let mut parts = Vec::new();
    match expression {
        Expr::Container(own) => inside_container(own.inner(), &mut parts),
        Expr::IfStatement(own) => {
            match own.inner().predicate.inner() {
                Predicate::One(one) => parts.push(Inner::Same(one)),
                Predicate::Many(many) => parts.extend(many.iter().map(Inner::Same)),
            }
            let blocks = [Some(&own.inner().if_node), own.inner().else_node.as_ref()];
            for block in blocks.into_iter().flatten() {
                parts.extend(block.inner().0.iter().map(Inner::Same));
            }
        }
        Expr::Op(own) => {
            let Op(left, _, right) = own.inner();
            parts.extend([left, right].map(|own| Inner::Same(own)));
        }
        Expr::Assignment(own) => match own.inner() {
            Assignment::Single { expr, .. } | Assignment::Infallible { expr, .. } => {
                parts.push(Inner::Same(expr));
            }
        },
        Expr::Query(own) => match own.inner().target.inner() {
            QueryTarget::FunctionCall(call) => inside_call(call, &mut parts),
            QueryTarget::Container(container) => inside_container(container, &mut parts),
            QueryTarget::Internal(_) | QueryTarget::External(_) => {}
        },
        Expr::FunctionCall(own) => inside_call(own.inner(), &mut parts),
        Expr::Unary(own) => {
            let Unary::Not(not) = own.inner();
            let (_, operand) = not.inner().clone().take();
            parts.push(Inner::copied(*operand));
        }
        Expr::Abort(own) => {
            let message = own.inner().message.as_ref();
            parts.extend(message.map(|own| Inner::Same(own)));
        }
        Expr::Return(own) => parts.push(Inner::Same(&own.inner().expr)),
        Expr::Literal(_) | Expr::Variable(_) | Expr::Break(_) => {}
    }
    parts
}

fn inside_container<'e>(container: &'e Container, parts: &mut Vec<Inner<'e>>) {
    match container {
        Container::Group(own) => parts.push(Inner::Same(&own.inner().0)),
        Container::Block(own) => parts.extend(own.inner().0.iter().map(Inner::Same)),
        Container::Array(own) => {
            parts.extend(own.inner().clone().into_iter().map(Inner::copied));
        }
        Container::Object(own) => {
            let values = own.inner().clone().into_iter();
            parts.extend(values.map(|(_, own)| Inner::copied(own)));
        }
    }
}

fn inside_call<'e>(call: &'e FunctionCall, parts: &mut Vec<Inner<'e>>) {
    let arguments = call.arguments.iter();
    parts.extend(arguments.map(|own| Inner::Same(&own.inner().expr)));
    if let Some(closure) = &call.closure {
        parts.push(Inner::Loop(closure.inner().block.inner()));
    }
}
