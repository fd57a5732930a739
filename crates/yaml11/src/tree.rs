//! Nodes in an arena. Built by the composer; read by everyone else.

use super::construct::timestamp::Moment;
use crate::Span;

/// A document's nodes. Aliases and merges refer to nodes that stand elsewhere in the text; nothing is copied.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub(super) nodes: Vec<Data>,
    /// `None` for a text without a document (empty, or comments only).
    pub(super) root: Option<NodeId>,
    /// The first half of a surrogate pair, which stands in the tree as U+FFFD.
    pub(super) half: Option<super::Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) u32);

#[derive(Debug, Clone)]
pub(super) struct Data {
    pub span: Span,
    pub kind: NodeKind,
}

/// What a node is, after YAML 1.1 resolution and construction (merge keys `<<` applied as PyYAML applies them).
#[derive(Debug, Clone)]
pub enum NodeKind {
    Scalar(Scalar),
    Sequence(Vec<Child>),
    /// In the order of PyYAML's resulting dict, duplicates included: of equal keys the last one holds.
    Mapping(Vec<Entry>),
    /// A `!!set`: to Python neither a list nor a dict. Equal items count once.
    Set(Vec<Child>),
    /// An `!!omap` or `!!pairs`: to Python a list of tuples, which are neither lists nor dicts.
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

/// A reference to a node, with the place where it is used (for an alias, the `*name`; else the node's own span).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    pub id: NodeId,
    pub used_at: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub key: Child,
    pub value: Child,
    /// Came through a merge key from another mapping.
    pub merged: bool,
}

/// A scalar's value as Python would hold it.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    /// Decimal digits with an optional `-`: Python's integers have no limit.
    Int(String),
    Float(f64),
    Str(String),
    /// The text of a `!!timestamp`, whether resolved from a plain scalar or tagged.
    Timestamp(String),
    /// The decoded bytes of a `!!binary`.
    Binary(Vec<u8>),
}

/// A scalar as a dict's key: two are equal exactly where Python takes them for one key (`1`, `1.0` and `true` are).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    Null,
    /// Whole numbers in decimals, whether written as an integer, a float or a boolean.
    Number(String),
    Str(String),
    /// The moment in Python's ISO format, in its own time zone.
    Timestamp(String),
    Binary(Vec<u8>),
}

impl Scalar {
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

/// A timestamp's text as Python would write the moment.
fn isoformat(text: &str) -> String {
    Moment::parse(text).map_or_else(|_| text.to_owned(), |moment| moment.isoformat())
}

/// A node seen through its tree.
#[derive(Debug, Clone, Copy)]
pub struct Node<'t> {
    tree: &'t Tree,
    id: NodeId,
    used_at: Span,
}

impl Tree {
    #[must_use]
    pub fn root(&self) -> Option<Node<'_>> {
        self.root.map(|id| Node { tree: self, id, used_at: self.data(id).span })
    }

    pub(super) fn data(&self, id: NodeId) -> &Data {
        &self.nodes[id.0 as usize]
    }

    /// How many nodes a walk meets that follows every alias: a small text can make this astronomically large, so ask before
    /// walking. Saturates.
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

    /// Where the node itself stands.
    #[must_use]
    pub fn span(self) -> Span {
        self.tree.data(self.id).span
    }

    /// Where it is used: differs from [`Node::span`] for an alias.
    #[must_use]
    pub fn used_at(self) -> Span {
        self.used_at
    }

    #[must_use]
    pub fn kind(self) -> &'t NodeKind {
        &self.tree.data(self.id).kind
    }

    #[must_use]
    pub fn scalar(self) -> Option<&'t Scalar> {
        match self.kind() {
            NodeKind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_str(self) -> Option<&'t str> {
        match self.scalar() {
            Some(Scalar::Str(text)) => Some(text),
            _ => None,
        }
    }

    /// A sequence's items; `None` for anything else.
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = Node<'t>>> {
        match self.kind() {
            NodeKind::Sequence(items) => Some(items.iter().map(move |child| self.tree.node(*child))),
            _ => None,
        }
    }

    /// A mapping's keys and values in order, duplicates included; `None` for anything else.
    pub fn entries(self) -> Option<impl ExactSizeIterator<Item = (Node<'t>, Node<'t>)>> {
        match self.kind() {
            NodeKind::Mapping(entries) => {
                Some(entries.iter().map(move |entry| (self.tree.node(entry.key), self.tree.node(entry.value))))
            }
            _ => None,
        }
    }

    /// A mapping's entries with their marks, duplicates included; `None` for anything else.
    #[must_use]
    pub fn mapping(self) -> Option<&'t [Entry]> {
        match self.kind() {
            NodeKind::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items of a `!!set`; `None` for anything else.
    pub fn members(self) -> Option<impl ExactSizeIterator<Item = Node<'t>>> {
        match self.kind() {
            NodeKind::Set(items) => Some(items.iter().map(move |child| self.tree.node(*child))),
            _ => None,
        }
    }

    /// The pairs of an `!!omap` or `!!pairs`; `None` for anything else.
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

    /// A mapping's value under a string key: the last of several.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Node<'t>> {
        self.entries()?.filter(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value).last()
    }
}
