//! The description of a template, for both syntaxes.

use crate::text::Text;

/// A byte range in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Index of the file in the argument of [`read`](crate::read).
    pub file: usize,
    /// First byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

/// A Packer template.
#[derive(Debug, Default)]
pub struct Template {
    /// Whether it is written in JSON, where a variable that is not declared is empty.
    pub is_json: bool,
    /// Input variables and HCL locals, in the order of the source.
    pub variables: Vec<Variable>,
    /// Builders, or the sources of HCL.
    pub builders: Vec<Block>,
    /// What is built from them. A JSON template is one build of all its builders.
    pub builds: Vec<Build>,
    /// Parts that the description cannot express.
    pub findings: Vec<Finding>,
}

/// A build: its sources, and what is done to each of them.
#[derive(Debug, Default)]
pub struct Build {
    /// Where it is.
    pub place: Place,
    /// The builders by kind and name, with the options that this build adds to them.
    pub sources: Vec<Block>,
    /// Provisioners, in the order in which they run.
    pub provisioners: Vec<Block>,
    /// Post-processors; sequences of them are flattened.
    pub post_processors: Vec<Block>,
}

/// Something in a template that the description does not contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What this means for the caller.
    pub kind: FindingKind,
    /// Where it is.
    pub place: Place,
    /// The block, key or variable that this is about; empty for a whole file.
    pub subject: String,
    /// What is wrong.
    pub message: String,
    /// What the author of the template can do.
    pub help: String,
}

/// The kinds of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// The file is not a Packer template.
    Unreadable,
    /// The part would change the image and is missing from the description.
    Unsupported,
    /// The part is missing from the description but does not change the image.
    Ignored,
}

/// An input variable, or an HCL local.
#[derive(Debug, Clone)]
pub struct Variable {
    /// The name in the source.
    pub name: String,
    /// Where it is declared.
    pub place: Place,
    /// The default; `None` if the variable must be set. The items of a list are joined with spaces.
    pub value: Option<Text>,
    /// The items of a list.
    pub items: Option<Vec<Text>>,
    /// Whether it is an HCL local.
    pub is_local: bool,
    /// Whether Packer hides the value.
    pub sensitive: bool,
    /// The description in the source.
    pub description: Option<String>,
}

/// A builder, provisioner or post-processor.
#[derive(Debug, Clone)]
pub struct Block {
    /// The type, such as `digitalocean` or `shell`.
    pub kind: String,
    /// The name of a builder or source; empty without one.
    pub name: String,
    /// The first line of the block.
    pub place: Place,
    /// The options, in the order of the source.
    pub options: Vec<Setting>,
}

/// An option of a block.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The name of the option.
    pub name: String,
    /// Where the option is.
    pub place: Place,
    /// Its value.
    pub value: Value,
}

/// The value of an option.
#[derive(Debug, Clone)]
pub enum Value {
    /// A text, possibly with references.
    Text(Text),
    /// `true` or `false`.
    Flag(bool),
    /// A number, as written.
    Number(String),
    /// A list.
    List(Vec<Self>),
    /// An object or nested block.
    Map(Vec<(String, Self)>),
    /// `null`
    Null,
    /// The source text of an expression that this crate does not evaluate.
    Unsupported(String),
}

impl Template {
    pub(crate) fn report(&mut self, kind: FindingKind, place: Place, subject: &str, message: String, help: &str) {
        self.findings.push(Finding { kind, place, subject: subject.to_owned(), message, help: help.to_owned() });
    }

    /// Gives a variable another value than its default.
    pub(crate) fn set(&mut self, name: &str, value: &Value, place: Place) {
        let Some(variable) = self.variables.iter_mut().find(|variable| !variable.is_local && variable.name == name)
        else {
            let message = format!("the template has no variable `{name}`");
            return self.report(FindingKind::Ignored, place, name, message, "");
        };
        variable.items = if matches!(value, Value::List(_)) { value.texts() } else { None };
        variable.value = variable.items.as_deref().map(|items| Text::join(items, " ")).or_else(|| value.text());
        if variable.value.is_none() {
            let message = format!("the value of `{name}` cannot be evaluated");
            self.unsupported(place, name, message, "give the variable a text, a number or a list of texts");
        }
    }

    pub(crate) fn unreadable(&mut self, place: Place, message: impl Into<String>, help: &str) {
        self.report(FindingKind::Unreadable, place, "", message.into(), help);
    }

    pub(crate) fn unsupported(&mut self, place: Place, subject: &str, message: String, help: &str) {
        self.report(FindingKind::Unsupported, place, subject, message, help);
    }
}

impl Block {
    /// Returns the option with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.options.iter().find(|option| option.name == name)
    }
}

impl Value {
    /// Returns a scalar as text.
    #[must_use]
    pub fn text(&self) -> Option<Text> {
        match self {
            Self::Text(text) if text.unsupported().is_none() => Some(text.clone()),
            Self::Flag(flag) => Some(Text::literal(flag.to_string())),
            Self::Number(number) => Some(Text::literal(number.clone())),
            _ => None,
        }
    }

    /// Returns a list of scalars as texts. A single scalar counts as a list of one item.
    #[must_use]
    pub fn texts(&self) -> Option<Vec<Text>> {
        match self {
            Self::List(items) => items.iter().map(Self::text).collect(),
            scalar => scalar.text().map(|text| vec![text]),
        }
    }

    /// Returns the items of a list; another value is its own only item.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            other => std::slice::from_ref(other),
        }
    }

    /// Returns a boolean, also if it is written as a text.
    #[must_use]
    pub fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Text(text) => text.plain()?.parse().ok(),
            _ => None,
        }
    }

    /// Returns the source text of the first part that this crate does not evaluate.
    #[must_use]
    pub fn unsupported(&self) -> Option<&str> {
        match self {
            Self::Unsupported(written) => Some(written),
            Self::Text(text) => text.unsupported(),
            Self::List(items) => items.iter().find_map(Self::unsupported),
            Self::Map(entries) => entries.iter().find_map(|(_, value)| value.unsupported()),
            Self::Flag(_) | Self::Number(_) | Self::Null => None,
        }
    }

    /// Calls `change` for each text in the value.
    pub fn for_each_text(&mut self, change: &mut dyn FnMut(&mut Text)) {
        match self {
            Self::Text(text) => change(text),
            Self::List(items) => items.iter_mut().for_each(|item| item.for_each_text(change)),
            Self::Map(entries) => entries.iter_mut().for_each(|(_, value)| value.for_each_text(change)),
            Self::Flag(_) | Self::Number(_) | Self::Null | Self::Unsupported(_) => {}
        }
    }
}
