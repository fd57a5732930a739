//! YAML 1.1 as PyYAML's `SafeLoader` reads it, because that is what cloud-init uses.
//!
//! [`parse`] gives a [`Tree`] of spanned nodes in an arena (an alias is a second reference to one node, so a document that
//! multiplies itself through aliases stays as small as its text). [`emit`] writes values so that PyYAML reads back exactly
//! what was meant. `docs/design/yaml.md` says how this is held to PyYAML.
//!
//! The way of a text: `reader` (characters) → `scanner` (tokens) → `parser` (events) → `compose` (nodes, anchors, tags by
//! `resolve`) → `construct` (values, merge keys) → [`Tree`]. Each looks ahead no further than its counterpart in PyYAML.

mod compose;
mod construct;
pub mod emit;
mod error;
mod event;
mod parser;
mod reader;
mod resolve;
mod scanner;
mod span;
mod token;
mod tree;

pub use compose::{MAX_DEPTH, MAX_NODES};
pub use construct::MAX_MERGED;
pub use error::Error;
pub use reader::{MAX_BYTES, is_printable};
pub use span::Span;
pub use tree::{Child, Entry, Key, Node, NodeId, NodeKind, Scalar, Tree};

/// Reads a text as `yaml.safe_load` would.
///
/// Beyond what PyYAML refuses, this refuses what no tool could use afterwards: a value that contains itself, an integer of more than
/// 4,300 digits, half of a surrogate pair; and what passes [`MAX_BYTES`], [`MAX_DEPTH`], [`MAX_NODES`] or [`MAX_MERGED`].
/// Aliases are not expanded: who walks the tree should ask [`Tree::expanded_len`] first.
pub fn parse(text: &str) -> Result<Tree, Error> {
    let mut tree = construct_text(text)?;
    tree.half.take().map_or(Ok(tree), Err)
}

/// Like [`parse`], but halves of surrogate pairs (`"\ud83d"`, as some JSON writers leave them) become U+FFFD, as PyYAML lets them
/// pass too. The second value says where the first one is.
pub fn parse_with_halves(text: &str) -> Result<(Tree, Option<Error>), Error> {
    let mut tree = construct_text(text)?;
    let half = tree.half.take();
    Ok((tree, half))
}

fn construct_text(text: &str) -> Result<Tree, Error> {
    reader::check(text)?;
    construct::construct(compose::compose(text)?)
}

/// Whether a plain scalar with this text is a string to PyYAML (and not a number, a boolean, a date, null …).
fn is_plain_string(text: &str) -> bool {
    resolve::Tag::of_plain(text) == resolve::Tag::Str
}

#[cfg(test)]
mod tests;
