//! A Packer template, whatever it was written in.

use super::text::Text;
use diagnostics::source::Span;

/// A place in one of the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub file: usize,
    pub span: Span,
}

/// What the sources say together.
#[derive(Debug, Default)]
pub(super) struct Packer {
    pub variables: Vec<Variable>,
    pub builders: Vec<Block>,
    /// `source.digitalocean.x` as the build names them; empty where every builder is meant.
    pub wanted: Vec<String>,
    pub provisioners: Vec<Block>,
    pub post_processors: Vec<Block>,
}

/// A variable, or a local of HCL.
#[derive(Debug)]
pub(super) struct Variable {
    /// As mkimg's variables can be named.
    pub name: String,
    pub place: Place,
    /// `None`: it must be given.
    pub value: Option<Text>,
    /// The items of a list, for options that take lists; `value` is then all of them in one text.
    pub items: Option<Vec<Text>>,
    /// Whether the items stand in the places of the variable's name.
    pub inlined: bool,
    pub sensitive: bool,
    pub description: Option<String>,
}

/// A builder, a provisioner, a post-processor.
#[derive(Debug)]
pub(super) struct Block {
    /// `digitalocean`, `shell`.
    pub kind: String,
    /// The name that HCL gives a source.
    pub name: String,
    pub place: Place,
    pub options: Vec<Setting>,
}

/// `name = value`.
#[derive(Debug)]
pub(super) struct Setting {
    pub name: String,
    pub place: Place,
    pub value: Value,
}

/// A value.
#[derive(Debug)]
pub(super) enum Value {
    Text(Text),
    Flag(bool),
    Number(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
    Null,
    /// An expression that mkimg cannot translate, as it was written.
    Unknown(String),
}

impl Block {
    pub(super) fn get(&self, name: &str) -> Option<&Setting> {
        self.options.iter().find(|option| option.name == name)
    }
}

impl Value {
    /// A scalar as text.
    pub(super) fn text(&self) -> Option<Text> {
        match self {
            Self::Text(text) if text.unknown().is_none() => Some(text.clone()),
            Self::Flag(flag) => Some(Text::literal(flag.to_string())),
            Self::Number(number) => Some(Text::literal(number.clone())),
            _ => None,
        }
    }

    /// A list of scalars; one scalar stands for a list of it.
    pub(super) fn texts(&self) -> Option<Vec<Text>> {
        match self {
            Self::List(items) => items.iter().map(Self::text).collect(),
            one => one.text().map(|text| vec![text]),
        }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Text(text) => text.plain()?.parse().ok(),
            _ => None,
        }
    }

    /// What cannot be translated in it, as it was written.
    pub(super) fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(written) => Some(written),
            Self::Text(text) => text.unknown(),
            Self::List(items) => items.iter().find_map(Self::unknown),
            Self::Map(entries) => entries.iter().find_map(|(_, value)| value.unknown()),
            Self::Flag(_) | Self::Number(_) | Self::Null => None,
        }
    }
}
