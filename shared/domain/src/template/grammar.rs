//! What a template may be made of, looked at before anything of it runs: printing, `if`, `for`, comparisons,
//! filters. Whatever could grow a value (concatenation, multiplication, variables, captures) or call something is refused,
//! so no value is ever larger than the largest that was put in, and the engine's fuel bounds the rest.

use std::collections::BTreeSet;

use minijinja::Error;
use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Stmt};
use minijinja::machinery::{Span, WhitespaceConfig, parse};
use minijinja::syntax::SyntaxConfig;

use super::{TemplateError, refusal_of};

/// What a template speaks of.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Names that are not among those always there.
    pub(crate) others: BTreeSet<String>,
    /// What it takes out of `fields`, by a point.
    pub(crate) fields: BTreeSet<String>,
}

/// Refuses what is not part of the small language; else what the template speaks of besides `standard`.
pub(crate) fn names(template: &str, standard: &[&str]) -> Result<Names, TemplateError> {
    let unreadable = |error: Error| refusal_of(&error, true);
    let tree = parse(template, "template", SyntaxConfig, WhitespaceConfig::default()).map_err(unreadable)?;
    let mut walk = Walk {
        standard,
        names: Names::default(),
        bound: Vec::new(),
    };
    walk.statement(&tree)?;
    Ok(walk.names)
}

fn refuse<T>(span: Span, why: impl Into<String>) -> Result<T, TemplateError> {
    Err(TemplateError {
        line: usize::from(span.start_line).max(1),
        why: why.into(),
    })
}

struct Walk<'t> {
    standard: &'t [&'t str],
    names: Names,
    /// What loops around here have named.
    bound: Vec<&'t str>,
}

impl<'t> Walk<'t> {
    fn statements(&mut self, all: &[Stmt<'t>]) -> Result<(), TemplateError> {
        all.iter().try_for_each(|stmt| self.statement(stmt))
    }

    fn statement(&mut self, stmt: &Stmt<'t>) -> Result<(), TemplateError> {
        match stmt {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::EmitRaw(raw) => match single_brace(raw.raw) {
                Some((at, name)) => {
                    let line = usize::from(raw.span().start_line) + raw.raw[..at].matches('\n').count();
                    let why = format!("`{{{name}}}` would be printed as it stands; write {{{{ {name} }}}}");
                    Err(TemplateError { line, why })
                }
                None => Ok(()),
            },
            Stmt::ForLoop(each) if each.recursive => refuse(each.span(), "a loop cannot be recursive"),
            Stmt::ForLoop(each) => {
                self.expression(&each.iter)?;
                let around = self.bound.len();
                self.bound.push("loop");
                self.bind(&each.target)?;
                each.filter_expr.iter().try_for_each(|expr| self.expression(expr))?;
                self.statements(&each.body)?;
                self.bound.truncate(around);
                self.statements(&each.else_body)
            }
            Stmt::IfCond(cond) => {
                self.expression(&cond.expr)?;
                self.statements(&cond.true_body)?;
                self.statements(&cond.false_body)
            }
            Stmt::WithBlock(block) => refuse(block.span(), "`with` is not part of a template"),
            Stmt::Set(set) => refuse(set.span(), "`set` is not part of a template"),
            Stmt::SetBlock(set) => refuse(set.span(), "`set` is not part of a template"),
            Stmt::AutoEscape(block) => refuse(block.span(), "`autoescape` is not part of a template"),
            Stmt::FilterBlock(block) => refuse(block.span(), "`filter` is not part of a template"),
            Stmt::Do(call) => refuse(call.span(), "`do` is not part of a template"),
        }
    }

    /// What a loop names: one thing, or several in brackets.
    fn bind(&mut self, target: &Expr<'t>) -> Result<(), TemplateError> {
        match target {
            Expr::Var(var) => self.bound.push(var.id),
            Expr::List(list) => list.items.iter().try_for_each(|item| self.bind(item))?,
            other => return refuse(other.span(), "a loop names its values"),
        }
        Ok(())
    }

    fn expression(&mut self, expr: &Expr<'t>) -> Result<(), TemplateError> {
        match expr {
            Expr::Var(var) => {
                if !self.bound.contains(&var.id) && !self.standard.contains(&var.id) {
                    self.names.others.insert(var.id.to_owned());
                }
                Ok(())
            }
            Expr::GetAttr(attr) => {
                if matches!(&attr.expr, Expr::Var(var) if var.id == "fields" && !self.bound.contains(&"fields")) {
                    self.names.fields.insert(attr.name.to_owned());
                }
                self.expression(&attr.expr)
            }
            Expr::Const(_) => Ok(()),
            Expr::Slice(slice) => {
                self.expression(&slice.expr)?;
                let bounds = [&slice.start, &slice.stop, &slice.step];
                bounds
                    .into_iter()
                    .flatten()
                    .try_for_each(|bound| self.expression(bound))
            }
            Expr::UnaryOp(op) => self.expression(&op.expr),
            Expr::BinOp(op) if may_grow(op.op) => refuse(op.span(), "a template prints values and does not calculate"),
            Expr::BinOp(op) => self.expression(&op.left).and_then(|()| self.expression(&op.right)),
            Expr::Compare(compare) => {
                self.expression(&compare.expr)?;
                compare.ops.iter().try_for_each(|op| self.expression(&op.expr))
            }
            Expr::IfExpr(cond) => {
                self.expression(&cond.test_expr)?;
                self.expression(&cond.true_expr)?;
                cond.false_expr.iter().try_for_each(|expr| self.expression(expr))
            }
            Expr::Filter(filter) => {
                filter.expr.iter().try_for_each(|expr| self.expression(expr))?;
                self.arguments(&filter.args)
            }
            Expr::Test(test) => self.expression(&test.expr).and_then(|()| self.arguments(&test.args)),
            Expr::GetItem(item) => self
                .expression(&item.expr)
                .and_then(|()| self.expression(&item.subscript_expr)),
            Expr::List(list) => list.items.iter().try_for_each(|item| self.expression(item)),
            Expr::Call(call) => refuse(call.span(), "a template cannot call anything"),
            Expr::Map(map) => refuse(map.span(), "a template has no maps of its own"),
        }
    }

    fn arguments(&mut self, args: &[CallArg<'t>]) -> Result<(), TemplateError> {
        args.iter().try_for_each(|arg| match arg {
            CallArg::Pos(expr) | CallArg::Kwarg(_, expr) => self.expression(expr),
            CallArg::PosSplat(expr) | CallArg::KwargSplat(expr) => refuse(expr.span(), "arguments cannot be unpacked"),
        })
    }
}

/// Whatever makes a value out of two.
fn may_grow(op: BinOpKind) -> bool {
    use BinOpKind as B;
    match op {
        B::Add | B::Sub | B::Mul | B::Div | B::FloorDiv | B::Rem | B::Pow | B::Concat => true,
        B::Eq | B::Ne | B::Lt | B::Lte | B::Gt | B::Gte | B::ScAnd | B::ScOr | B::In => false,
    }
}

/// A name in single braces, as templates were written before, and where: nobody wants that on a slip.
fn single_brace(raw: &str) -> Option<(usize, &str)> {
    raw.match_indices('{').find_map(|(at, _)| {
        let (name, _) = raw[at + 1..].split_once('}')?;
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        is_name.then_some((at, name))
    })
}
