//! YAML 1.1 as PyYAML's `SafeLoader` reads it, which is what cloud-init, Ansible and Salt use.
//!
//! [`parse`] returns a [`Tree`] of nodes with byte spans. An alias is a second reference to the same
//! node, so a document that multiplies itself through aliases stays as small as its text. [`emit`]
//! writes values that PyYAML reads back unchanged.
//!
//! ```
//! let tree = yaml11::parse("mode: 0644\nenabled: yes\n")?;
//! let mode = tree.root().and_then(|root| root.get("mode")).unwrap();
//! assert_eq!(mode.scalar(), Some(&yaml11::Scalar::Int("420".into())), "YAML 1.1 reads octal");
//! assert_eq!((mode.span().start, mode.span().end), (6, 10));
//! # Ok::<(), yaml11::Error>(())
//! ```
//!
//! The stages are those of PyYAML: `characters` → `scanner` (tokens) → `parser` (events) → `compose`
//! (nodes, anchors, tags by `resolve`) → `construct` (values, merge keys) → [`Tree`]. Each one looks
//! ahead no further than its counterpart, so that the same error is found first.

mod characters;
mod compose;
mod construct;
pub mod emit;
mod error;
mod parser;
mod resolve;
mod scanner;
mod token;
mod tree;

pub use characters::{MAX_BYTES, is_printable};
pub use compose::{MAX_DEPTH, MAX_NODES};
pub use construct::MAX_MERGED_ENTRIES;
pub use error::{Error, Span};
pub use tree::{Child, Entry, Key, Node, NodeId, NodeKind, Scalar, Tree};

/// Parses a text as `yaml.safe_load` does.
///
/// # Errors
///
/// Returns an error for everything that PyYAML rejects, and for documents that no tool can use: a
/// value that contains itself, an integer of more than 4,300 digits, a lone surrogate. Also for a text
/// that exceeds [`MAX_BYTES`], [`MAX_DEPTH`], [`MAX_NODES`] or [`MAX_MERGED_ENTRIES`].
///
/// Aliases are not expanded: check [`Tree::expanded_len`] before walking a tree.
pub fn parse(text: &str) -> Result<Tree, Error> {
    let mut tree = construct_text(text)?;
    tree.lone_surrogate.take().map_or(Ok(tree), Err)
}

/// Like [`parse`], but replaces lone surrogates (`"\ud83d"`, as some JSON writers leave them) by
/// U+FFFD, because PyYAML accepts them. Also returns the error of the first one.
pub fn parse_replacing_surrogates(text: &str) -> Result<(Tree, Option<Error>), Error> {
    let mut tree = construct_text(text)?;
    let half = tree.lone_surrogate.take();
    Ok((tree, half))
}

fn construct_text(text: &str) -> Result<Tree, Error> {
    characters::check(text)?;
    construct::construct(compose::compose(text)?)
}

/// Whether PyYAML reads this plain scalar as a string.
fn is_plain_string(text: &str) -> bool {
    resolve::Tag::resolve_plain(text) == resolve::Tag::Str
}

#[cfg(test)]
mod tests;
