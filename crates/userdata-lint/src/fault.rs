//! What does not fit its shape, and where: what `check.rs` finds, `choice.rs` chooses from and `message.rs` words.

use super::shape::{Literal, Note, Pattern, Shape, Types};
use yaml11::Node;

/// One step of a path into the document.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'t> {
    Index(usize),
    Key(Node<'t>),
}

/// What does not fit.
#[derive(Debug, Clone)]
pub(crate) enum What<'t> {
    Type(Types),
    Enum(&'static [Literal]),
    /// Of several types or values, none fits: the choices of a `oneOf` whose branches all fail right here.
    Choice {
        types: Types,
        literals: Vec<Literal>,
        patterns: Vec<&'static Pattern>,
    },
    UnknownKeys(Vec<Node<'t>>),
    Missing(&'static str),
    TooFewItems(usize),
    TooManyItems(usize),
    Repeated(Node<'t>, Node<'t>),
    TooFewKeys,
    Below(i64),
    Pattern(&'static Pattern),
    Date,
    /// More than one branch of a `oneOf` holds.
    Ambiguous,
    /// No branch holds; more is said by the faults beside it.
    NoBranch,
    NotTogether(&'static str, &'static str),
    Deprecated(Note),
    Changed(Note),
}

#[derive(Debug, Clone)]
pub(crate) struct Fault<'t> {
    pub path: Vec<Step<'t>>,
    /// The value that the shape was for.
    pub node: Node<'t>,
    pub shape: Shape,
    pub what: What<'t>,
}

impl Fault<'_> {
    /// Whether another fault at the same place says more than this one's types: the path is reported all the same.
    pub(crate) fn is_said_better(&self, all: &[Self]) -> bool {
        if !matches!(self.what, What::Type(_) | What::Choice { .. }) {
            return false;
        }
        let here = |other: &&Self| {
            other.node.id() == self.node.id()
                && other.node.used_at() == self.node.used_at()
                && other.path.len() == self.path.len()
        };
        // Few faults stand at one place, and many in all are cut off: looking at all of them stays cheap.
        all.iter().filter(here).any(|other| match other.what {
            What::Enum(_) => matches!(self.what, What::Type(_)),
            What::Below(_) | What::Date | What::TooFewItems(_) | What::TooManyItems(_) | What::Repeated(..)
            // A form that is a mapping was meant.
            | What::UnknownKeys(_) | What::Missing(_) => true,
            _ => false,
        })
    }

    pub(crate) fn is_deprecation(&self) -> bool {
        matches!(self.what, What::Deprecated(_) | What::Changed(_))
    }
}
