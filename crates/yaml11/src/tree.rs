//! The parsed document: nodes in an arena, and views of them.

use super::construct::timestamp::DateTime;
use crate::Span;

/// A parsed document. Aliases and merge keys refer to nodes defined elsewhere; nothing is copied.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub(super) nodes: Vec<NodeData>,
    /// `None` for a text without a document (empty, or comments only).
    pub(super) root: Option<NodeId>,
    /// The first lone surrogate; the tree holds U+FFFD instead.
    pub(super) lone_surrogate: Option<super::Error>,
}

/// Identifies a node in its [`Tree`]; aliases of a node have the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) u32);

#[derive(Debug, Clone)]
pub(super) struct NodeData {
    pub span: Span,
    pub kind: NodeKind,
}

/// The value of a node after YAML 1.1 resolution. Merge keys (`<<`) are applied as PyYAML does.
#[derive(Debug, Clone)]
pub enum NodeKind {
    Scalar(Scalar),
    Sequence(Vec<Child>),
    /// In the order of PyYAML's resulting dict, but with duplicates: the last of equal keys wins.
    Mapping(Vec<Entry>),
    /// A `!!set`, which is neither a list nor a dict in Python. May contain equal items.
    Set(Vec<Child>),
    /// An `!!omap` or `!!pairs`: a list of tuples in Python.
    Pairs(Vec<Entry>),
}

impl NodeKind {
    pub(super) fn each_child(&self, mut visit: impl FnMut(Child)) {
        match self {
            Self::Scalar(_) => {}
            Self::Sequence(items) | Self::Set(items) => items.iter().copied().for_each(visit),
            Self::Mapping(entries) | Self::Pairs(entries) => {
                for entry in entries {
                    visit(entry.key);
                    visit(entry.value);
                }
            }
        }
    }
}

/// A reference to a node and the span where it is used: the `*name` of an alias, otherwise the node's
/// own span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    pub id: NodeId,
    pub used_at: Span,
}

/// A key and a value of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub key: Child,
    pub value: Child,
    /// Whether a merge key brought it in from another mapping.
    pub merged: bool,
}

/// A scalar's value in Python.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    /// Decimal digits with an optional `-`: Python's integers are unbounded.
    Int(String),
    Float(f64),
    Str(String),
    /// The text of a timestamp, whether resolved from a plain scalar or tagged.
    Timestamp(String),
    /// The decoded bytes of a `!!binary`.
    Binary(Vec<u8>),
}

/// A scalar as a dict key. Two keys are equal if Python treats them as one (`1`, `1.0` and `true`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    Null,
    /// A number in decimal, whether written as an integer, a float or a boolean.
    Number(String),
    Str(String),
    /// In Python's ISO format, in the timestamp's own time zone.
    Timestamp(String),
    Binary(Vec<u8>),
}

impl Scalar {
    /// The scalar as a dict key.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Null => Key::Null,
            Self::Bool(value) => Key::Number(u8::from(*value).to_string()),
            Self::Int(digits) => Key::Number(digits.clone()),
            Self::Float(value) if value.fract() == 0.0 => Key::Number(format!("{:.0}", value + 0.0)),
            Self::Float(value) => Key::Number(value.to_string()),
            Self::Str(text) => Key::Str(text.clone()),
            Self::Timestamp(text) => Key::Timestamp(isoformat(text)),
            Self::Binary(bytes) => Key::Binary(bytes.clone()),
        }
    }
}

/// A timestamp in Python's ISO format.
fn isoformat(text: &str) -> String {
    DateTime::parse(text).map_or_else(|_| text.to_owned(), |moment| moment.isoformat())
}

/// A view of a node in its tree.
#[derive(Debug, Clone, Copy)]
pub struct Node<'t> {
    tree: &'t Tree,
    id: NodeId,
    used_at: Span,
}

impl Tree {
    /// The root node; `None` for a text without a document (empty, or comments only).
    #[must_use]
    pub fn root(&self) -> Option<Node<'_>> {
        self.root.map(|id| Node { tree: self, id, used_at: self.data(id).span })
    }

    pub(super) fn data(&self, id: NodeId) -> &NodeData {
        &self.nodes[id.0 as usize]
    }

    /// Number of nodes that a walk visits if it follows every alias. A small text can make this
    /// astronomically large, so check it before walking. Saturates.
    #[must_use]
    pub fn expanded_len(&self) -> u64 {
        let Some(root) = self.root else { return 0 };
        let mut lengths: Vec<Option<u64>> = vec![None; self.nodes.len()];
        let mut stack = vec![root];
        while let Some(id) = stack.last().copied() {
            let index = id.0 as usize;
            if lengths[index].is_some() {
                stack.pop();
                continue;
            }
            let mut length = 1_u64;
            let mut open = false;
            self.nodes[index].kind.each_child(|child| {
                if let Some(more) = lengths[child.id.0 as usize] {
                    length = length.saturating_add(more);
                } else {
                    open = true;
                    stack.push(child.id);
                }
            });
            if !open {
                lengths[index] = Some(length);
                stack.pop();
            }
        }
        lengths[root.0 as usize].unwrap_or(0)
    }

    /// The node that a reference of this tree points to.
    #[must_use]
    pub fn node(&self, child: Child) -> Node<'_> {
        Node { tree: self, id: child.id, used_at: child.used_at }
    }
}

impl<'t> Node<'t> {
    #[must_use]
    pub fn id(self) -> NodeId {
        self.id
    }

    /// Span of the node itself.
    #[must_use]
    pub fn span(self) -> Span {
        self.tree.data(self.id).span
    }

    /// Span where the node is used. Differs from [`Node::span`] for an alias.
    #[must_use]
    pub fn used_at(self) -> Span {
        self.used_at
    }

    #[must_use]
    pub fn kind(self) -> &'t NodeKind {
        &self.tree.data(self.id).kind
    }

    /// The value of a scalar; `None` for other kinds.
    #[must_use]
    pub fn scalar(self) -> Option<&'t Scalar> {
        match self.kind() {
            NodeKind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text of a string; `None` for other kinds and types.
    #[must_use]
    pub fn as_str(self) -> Option<&'t str> {
        match self.scalar() {
            Some(Scalar::Str(text)) => Some(text),
            _ => None,
        }
    }

    /// Items of a sequence; `None` for other kinds.
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = Node<'t>>> {
        match self.kind() {
            NodeKind::Sequence(items) => Some(items.iter().map(move |child| self.tree.node(*child))),
            _ => None,
        }
    }

    /// Keys and values of a mapping in order, duplicates included; `None` for other kinds.
    pub fn entries(self) -> Option<impl ExactSizeIterator<Item = (Node<'t>, Node<'t>)>> {
        match self.kind() {
            NodeKind::Mapping(entries) => {
                Some(entries.iter().map(move |entry| (self.tree.node(entry.key), self.tree.node(entry.value))))
            }
            _ => None,
        }
    }

    /// Raw entries of a mapping, duplicates included; `None` for other kinds.
    #[must_use]
    pub fn mapping(self) -> Option<&'t [Entry]> {
        match self.kind() {
            NodeKind::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// Items of a `!!set`; `None` for other kinds.
    pub fn members(self) -> Option<impl ExactSizeIterator<Item = Node<'t>>> {
        match self.kind() {
            NodeKind::Set(items) => Some(items.iter().map(move |child| self.tree.node(*child))),
            _ => None,
        }
    }

    /// Pairs of an `!!omap` or `!!pairs`; `None` for other kinds.
    pub fn pairs(self) -> Option<impl ExactSizeIterator<Item = (Node<'t>, Node<'t>)>> {
        match self.kind() {
            NodeKind::Pairs(entries) => {
                Some(entries.iter().map(move |entry| (self.tree.node(entry.key), self.tree.node(entry.value))))
            }
            _ => None,
        }
    }

    #[must_use]
    pub fn tree(self) -> &'t Tree {
        self.tree
    }

    /// The value of a string key in a mapping; the last one if the key is repeated.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Node<'t>> {
        self.entries()?.filter(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value).last()
    }
}
