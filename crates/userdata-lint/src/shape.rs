//! The vocabulary of the module tables, which follows JSON Schema draft 4.
//!
//! A [`Shape`] is a list of [`Keyword`]s, all of which must hold, in the order in which cloud-init
//! evaluates them. To add a keyword, add a variant here, its notation in `build.rs`, its meaning in
//! `schema.rs`, its message in `messages.rs` and its line in `tables.rs`.

use super::version::Version;

/// The conditions on a value, all of which must hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape(pub &'static [Keyword]);

/// One condition on a value. As in JSON Schema, it always holds for values of another type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keyword {
    /// One of these types.
    Type(Types),
    /// One of these values.
    Enum(&'static [Literal]),
    /// The values under these keys.
    Properties(&'static [(&'static str, Shape)]),
    /// The values under keys that match.
    PatternProperties(&'static Pattern, Shape),
    /// No other keys than those of `Properties` and `PatternProperties` in this shape.
    Closed,
    /// The values under all other keys.
    Additional(Shape),
    /// Required keys.
    Required(&'static [&'static str]),
    /// Every item of a list.
    Items(Shape),
    MinItems(usize),
    MaxItems(usize),
    /// No two items are equal.
    Unique,
    /// The minimum number of keys of a mapping.
    MinProperties(usize),
    /// The minimum of a number.
    Minimum(i64),
    Matches(&'static Pattern),
    /// A date that Python's `date.fromisoformat` accepts.
    Date,
    /// A URI with a scheme, as RFC 3986 defines it. cloud-init checks it if Python's rfc3987 is installed, which its packages recommend.
    Uri,
    /// Exactly one holds.
    OneOf(&'static [Shape]),
    /// At least one holds.
    AnyOf(&'static [Shape]),
    /// This shape holds too.
    Also(Shape),
    /// Not both keys. Fails for other values than mappings, like `not: required`.
    NotTogether(&'static str, &'static str),
    /// Deprecated.
    Deprecated(Note),
    /// Its meaning or type changed; reported like a deprecation.
    Changed(Note),
    /// A key that older versions do not know. Part of the shape of the key's value.
    Since(Version),
    /// A keyword that holds only for versions older than this.
    Before(Version, &'static Keyword),
    /// A keyword that holds only from this version on.
    From(Version, &'static Keyword),
}

/// The version of a deprecation, and the replacement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Note {
    pub version: &'static str,
    pub instead: Instead,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Instead {
    /// The key was renamed.
    Key(&'static str),
    /// What to do instead.
    Advice(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Literal {
    Str(&'static str),
    Bool(bool),
}

/// A regular expression of the schema as a function, so that nothing is compiled at run time.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// What matches, for messages: "digits and a unit, one of B K M G T".
    pub means: &'static str,
    pub matches: fn(&str) -> bool,
}

/// A set of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Types(pub u8);

impl Types {
    pub(crate) const NULL: Self = Self(1);
    pub(crate) const BOOL: Self = Self(2);
    pub(crate) const INT: Self = Self(4);
    /// Integers and floats.
    pub(crate) const NUMBER: Self = Self(8);
    /// Text or binary.
    pub(crate) const STR: Self = Self(16);
    pub(crate) const LIST: Self = Self(32);
    pub(crate) const MAP: Self = Self(64);

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Shape {
    /// The shape of a key, if this shape names it.
    pub(crate) fn property(self, name: &str) -> Option<Shape> {
        self.0.iter().find_map(|keyword| match keyword {
            Keyword::Properties(properties) => {
                properties.iter().find(|(known, _)| *known == name).map(|(_, shape)| *shape)
            }
            _ => None,
        })
    }

    /// The keys that the shape names, with their shapes.
    pub(crate) fn properties(self) -> impl Iterator<Item = (&'static str, Shape)> {
        self.0.iter().flat_map(|keyword| match keyword {
            Keyword::Properties(properties) => properties.iter().copied(),
            _ => [].iter().copied(),
        })
    }

    /// The values that the shape lists.
    pub(crate) fn literals(self) -> &'static [Literal] {
        self.0
            .iter()
            .find_map(|keyword| if let Keyword::Enum(values) = keyword { Some(*values) } else { None })
            .unwrap_or(&[])
    }

    /// Whether a key with this shape is deprecated.
    pub(crate) fn is_deprecated(self) -> bool {
        self.0.iter().any(|keyword| matches!(keyword, Keyword::Deprecated(_)))
    }
}

pub(crate) const ANYTHING: Shape = Shape(&[]);
pub(crate) const STRING: Shape = Shape(&[Keyword::Type(Types::STR)]);
pub(crate) const STRING_OR_NULL: Shape = Shape(&[Keyword::Type(Types::STR.or(Types::NULL))]);
pub(crate) const BOOLEAN: Shape = Shape(&[Keyword::Type(Types::BOOL)]);
pub(crate) const INTEGER: Shape = Shape(&[Keyword::Type(Types::INT)]);
pub(crate) const NULL: Shape = Shape(&[Keyword::Type(Types::NULL)]);
pub(crate) const LIST: Shape = Shape(&[Keyword::Type(Types::LIST)]);
pub(crate) const MAPPING: Shape = Shape(&[Keyword::Type(Types::MAP)]);
pub(crate) const STRINGS: Shape = Shape(&[Keyword::Type(Types::LIST), Keyword::Items(STRING)]);
/// At least one string.
pub(crate) const SOME_STRINGS: Shape =
    Shape(&[Keyword::Type(Types::LIST), Keyword::Items(STRING), Keyword::MinItems(1)]);
/// Unique strings.
pub(crate) const UNIQUE_STRINGS: Shape = Shape(&[Keyword::Type(Types::LIST), Keyword::Items(STRING), Keyword::Unique]);

/// A shell command as text, or as a list of its words.
pub(crate) const COMMAND: Shape = Shape(&[Keyword::OneOf(&[STRINGS, STRING])]);
/// The same, where cloud-init tries the text first.
pub(crate) const COMMAND_TEXT_FIRST: Shape = Shape(&[Keyword::OneOf(&[STRING, STRINGS])]);

/// A note on a renamed key.
pub(crate) const fn renamed(version: &'static str, key: &'static str) -> Keyword {
    Keyword::Deprecated(Note { version, instead: Instead::Key(key) })
}

/// A note on a deprecated value.
pub(crate) const fn deprecated(version: &'static str, advice: &'static str) -> Keyword {
    Keyword::Deprecated(Note { version, instead: Instead::Advice(advice) })
}

/// A note on a value whose type or meaning changed.
pub(crate) const fn changed(version: &'static str, advice: &'static str) -> Keyword {
    Keyword::Changed(Note { version, instead: Instead::Advice(advice) })
}
