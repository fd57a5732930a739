//! A text of a Packer template, taken apart: what it says itself, and what it takes from elsewhere.

use std::collections::BTreeSet;

/// One part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    /// The value of a variable, by the name that it has in mkimg.
    Variable(String),
    /// The moment of the build, in whatever form Packer would have written it.
    Timestamp,
    /// A variable of the environment that Packer runs in.
    Environment(String),
    /// The template's own directory, or the one that Packer runs in.
    Directory,
    /// What mkimg has no word for, as it was written.
    Unknown(String),
}

/// A row of pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text(Vec<Piece>);

impl Text {
    pub(super) fn literal(text: impl Into<String>) -> Self {
        let mut new = Self::default();
        new.push(Piece::Literal(text.into()));
        new
    }

    pub(super) fn of(piece: Piece) -> Self {
        Self(vec![piece])
    }

    pub(super) fn push(&mut self, piece: Piece) {
        match (self.0.last_mut(), piece) {
            (_, Piece::Literal(text)) if text.is_empty() => {}
            (Some(Piece::Literal(before)), Piece::Literal(text)) => before.push_str(&text),
            (_, piece) => self.0.push(piece),
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        for piece in other.0 {
            self.push(piece);
        }
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    pub(super) fn has_timestamp(&self) -> bool {
        self.0.contains(&Piece::Timestamp)
    }

    /// What mkimg has no word for, if there is such a piece.
    pub(super) fn unknown(&self) -> Option<&str> {
        self.0.iter().find_map(|piece| match piece {
            Piece::Unknown(written) => Some(written.as_str()),
            _ => None,
        })
    }

    /// The text, if nothing in it comes from elsewhere.
    pub(super) fn plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// A path below the template's directory: without a leading directory of the template or `./`.
    pub(super) fn path(&self) -> Option<String> {
        let rest = match self.0.as_slice() {
            [] => "",
            [Piece::Literal(text)] => text.as_str(),
            [Piece::Directory, Piece::Literal(text)] => text.strip_prefix('/')?,
            _ => return None,
        };
        Some(rest.trim_start_matches("./").to_owned())
    }

    /// Puts the moment in the place of variables that hold it.
    pub(super) fn replace_moments(&mut self, names: &BTreeSet<String>) {
        for piece in &mut self.0 {
            if matches!(piece, Piece::Variable(name) if names.contains(name)) {
                *piece = Piece::Timestamp;
            }
        }
    }

    /// As a value of mkimg's template.
    pub(super) fn expression(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) | Piece::Unknown(text) => escaped(text),
            Piece::Variable(name) => format!("{{{{ {name} }}}}"),
            Piece::Timestamp => "{{ timestamp }}".to_owned(),
            Piece::Environment(name) => format!("{{{{ {} }}}}", variable_name(name)),
            Piece::Directory => ".".to_owned(),
        };
        self.0.iter().map(piece).collect()
    }

    /// As it stands in a shell script: a variable is one of the script's environment.
    pub(super) fn shell(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) | Piece::Unknown(text) => text.clone(),
            Piece::Variable(name) => format!("${{{name}}}"),
            Piece::Environment(name) => format!("${{{}}}", variable_name(name)),
            // Not reached: the provisioner refuses both before it writes a script.
            Piece::Timestamp | Piece::Directory => String::new(),
        };
        self.0.iter().map(piece).collect()
    }
}

/// A literal that minijinja leaves alone.
fn escaped(text: &str) -> String {
    let special = ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark));
    // A text that holds the end mark of a raw block as well is written with the braces as expressions.
    match special {
        false => text.to_owned(),
        true if !text.contains("endraw") => format!("{{% raw %}}{text}{{% endraw %}}"),
        true => text.replace('{', "{{ '{' }}"),
    }
}

/// A name as mkimg's variables can have it.
pub(super) fn variable_name(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        out.insert(0, '_');
    }
    // `timestamp` is mkimg's own.
    if out == "timestamp" { "build_timestamp".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_written_for_both_readers() {
        let mut text = Text::literal("v");
        text.push(Piece::Variable("version".into()));
        text.push(Piece::Literal("-x".into()));
        assert_eq!(text.expression(), "v{{ version }}-x");
        assert_eq!(text.shell(), "v${version}-x");
        assert_eq!(text.plain(), None);
    }

    #[test]
    fn braces_of_other_programs_stay() {
        assert_eq!(Text::literal("a {{ b }}").expression(), "{% raw %}a {{ b }}{% endraw %}");
        assert_eq!(Text::literal("{{x}} endraw").expression(), "{{ '{' }}{{ '{' }}x}} endraw");
    }

    #[test]
    fn names_are_made_fit() {
        assert_eq!(variable_name("do-token"), "do_token");
        assert_eq!(variable_name("2nd"), "_2nd");
        assert_eq!(variable_name("timestamp"), "build_timestamp");
    }
}
