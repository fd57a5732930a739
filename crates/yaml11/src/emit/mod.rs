//! Values to YAML that PyYAML reads back unchanged.
//!
//! Build a [`Value`], call [`document`]. The same value always gives the same text. A string is written plainly where PyYAML would read
//! that string, as a literal block where it has several lines and nothing in it would be lost, and in double quotes
//! otherwise. Lists stand at the indentation of their key (as cloud-init's documentation writes them), so the document
//! stays short.

mod scalar;

pub use scalar::{Carriage, carriage};

/// What to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// A string, in the style that suits it.
    Str(String),
    /// A string in double quotes, even where plain would do: modes such as `"0644"`, for people's eyes.
    Quoted(String),
    List(Vec<Item>),
    Map(Map),
}

/// A list's item, and comment lines that stand before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub comment: Option<String>,
    pub value: Value,
}

/// A mapping's entry, and comment lines that stand before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub comment: Option<String>,
    pub key: String,
    pub value: Value,
}

/// A mapping in the order in which it was filled.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map(pub Vec<Pair>);

impl Map {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more entry at the end. Keys are the caller's to keep apart.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.push(key, value);
        self
    }

    pub fn push(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        self.0.push(Pair { comment: None, key: key.into(), value: value.into() });
    }

    /// Adds an entry with comment lines before it.
    pub fn push_commented(&mut self, comment: impl Into<String>, key: impl Into<String>, value: impl Into<Value>) {
        self.0.push(Pair { comment: Some(comment.into()), key: key.into(), value: value.into() });
    }
}

impl Value {
    /// A list of values without comments.
    pub fn list<V: Into<Self>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::List(values.into_iter().map(Item::from).collect())
    }
}

impl<V: Into<Value>> From<V> for Item {
    fn from(value: V) -> Self {
        Self { comment: None, value: value.into() }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(values: Vec<V>) -> Self {
        Self::list(values)
    }
}

/// Columns by which a block stands further in than what holds it.
const STEP: usize = 2;

/// The longest key on one line, in characters; PyYAML allows 1024, quotes included.
const LONGEST_SIMPLE_KEY: usize = 1000;

/// The whole document, ending in a line feed. No header and no `---`: the caller puts `#cloud-config` before it.
#[must_use]
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Map(map) if !map.0.is_empty() => pairs(map, 0, false, &mut out),
        Value::List(items) if !items.is_empty() => list(items, 0, false, &mut out),
        _ => inline(value, STEP, &mut out),
    }
    out
}

/// A mapping's entries at a column; the first may stand on the line already begun.
fn pairs(map: &Map, column: usize, mut begun: bool, out: &mut String) {
    for pair in &map.0 {
        lead(pair.comment.as_deref(), column, begun, out);
        begun = false;
        let key = scalar::inline(&pair.key);
        if key.chars().count() > LONGEST_SIMPLE_KEY {
            out.push_str("? ");
            out.push_str(&key);
            out.push('\n');
            indent(column, out);
        } else {
            out.push_str(&key);
        }
        out.push(':');
        match &pair.value {
            Value::Map(inner) if !inner.0.is_empty() => {
                out.push('\n');
                pairs(inner, column + STEP, false, out);
            }
            Value::List(items) if !items.is_empty() => {
                out.push('\n');
                list(items, column, false, out);
            }
            other => {
                out.push(' ');
                inline(other, column + STEP, out);
            }
        }
    }
}

fn list(items: &[Item], column: usize, mut begun: bool, out: &mut String) {
    for item in items {
        lead(item.comment.as_deref(), column, begun, out);
        begun = false;
        out.push_str("- ");
        match &item.value {
            Value::Map(inner) if !inner.0.is_empty() => pairs(inner, column + STEP, true, out),
            Value::List(inner) if !inner.is_empty() => list(inner, column + STEP, true, out),
            other => inline(other, column + STEP, out),
        }
    }
}

/// Comment lines, and the indentation. A comment on a line that has begun moves to the end of that line's dash.
fn lead(comment: Option<&str>, column: usize, begun: bool, out: &mut String) {
    let Some(comment) = comment else {
        if !begun {
            indent(column, out);
        }
        return;
    };
    for (number, line) in scalar::comment_lines(comment).enumerate() {
        if number > 0 || !begun {
            indent(column, out);
        }
        out.push_str(if line.is_empty() { "#" } else { "# " });
        out.push_str(&line);
        out.push('\n');
    }
    indent(column, out);
}

fn indent(column: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', column));
}

/// Anything that is not a block of its own, to the end of its line or lines.
fn inline(value: &Value, column: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Str(text) if scalar::fits_literal(text) => return scalar::literal(text, column, out),
        Value::Str(text) => out.push_str(&scalar::inline(text)),
        Value::Quoted(text) => out.push_str(&scalar::quoted(text)),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
    out.push('\n');
}

#[cfg(test)]
mod tests;
