//! YAML 1.1 as PyYAML's `SafeLoader` reads it, because that is what cloud-init uses.
//!
//! [`parse`] gives a [`Tree`] of spanned nodes in an arena (an alias is a second reference to one node, so a document that
//! multiplies itself through aliases stays as small as its text). [`emit`] writes values so that PyYAML reads back exactly
//! what was meant.

mod tree;

pub use tree::{Child, Entry, Node, NodeId, NodeKind, Scalar, Tree};
