//! Text with references, and the Go templates of JSON files: ``{{user `x`}}``, `{{timestamp}}`,
//! ``{{env `X`}}``.

/// One part of a [`Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextPart {
    /// Text as it is.
    Literal(String),
    /// The value of a variable or an HCL local.
    Variable(String),
    /// The time of the build, in any format.
    Timestamp,
    /// An environment variable of the Packer process.
    Environment(String),
    /// A directory of the machine that runs Packer.
    Directory(Folder),
    /// The source text of an expression that this crate does not evaluate.
    Unsupported(String),
}

/// A directory that a template can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Folder {
    /// The directory in which Packer runs; relative paths begin there.
    Current,
    /// The directory of the template.
    Template,
}

/// A text, as a list of parts. Adjacent literals are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(Vec<TextPart>);

impl From<TextPart> for Text {
    fn from(part: TextPart) -> Self {
        Self(vec![part])
    }
}

impl Text {
    /// Makes a text without references.
    pub fn literal(text: impl Into<String>) -> Self {
        let mut new = Self::default();
        new.push(TextPart::Literal(text.into()));
        new
    }

    /// Splits a text of a JSON template or an HCL source at its `{{…}}` actions.
    #[must_use]
    pub fn from_go_template(written: &str) -> Self {
        let mut out = Self::default();
        let mut rest = written;
        while let Some(start) = rest.find("{{") {
            let Some(length) = rest[start..].find("}}") else { break };
            let (before, action) = rest[..start + length + 2].split_at(start);
            out.push(TextPart::Literal(before.to_owned()));
            out.push(parse_action(action));
            rest = &rest[start + length + 2..];
        }
        out.push(TextPart::Literal(rest.to_owned()));
        out
    }

    /// Joins texts with a separator.
    #[must_use]
    pub fn join(items: &[Self], separator: &str) -> Self {
        let mut out = Self::default();
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push(TextPart::Literal(separator.to_owned()));
            }
            out.append(item.clone());
        }
        out
    }

    /// Appends a part.
    pub fn push(&mut self, part: TextPart) {
        match (self.0.last_mut(), part) {
            (_, TextPart::Literal(text)) if text.is_empty() => {}
            (Some(TextPart::Literal(before)), TextPart::Literal(text)) => before.push_str(&text),
            (_, part) => self.0.push(part),
        }
    }

    /// Appends all parts of another text.
    pub fn append(&mut self, other: Self) {
        for part in other.0 {
            self.push(part);
        }
    }

    /// Returns the parts.
    #[must_use]
    pub fn parts(&self) -> &[TextPart] {
        &self.0
    }

    /// Returns the parts, to change them.
    pub fn parts_mut(&mut self) -> &mut [TextPart] {
        &mut self.0
    }

    /// Returns whether the text contains the time of the build.
    #[must_use]
    pub fn has_timestamp(&self) -> bool {
        self.0.contains(&TextPart::Timestamp)
    }

    /// Returns the source text of the first part that this crate does not evaluate.
    #[must_use]
    pub fn unsupported(&self) -> Option<&str> {
        self.0.iter().find_map(|part| match part {
            TextPart::Unsupported(written) => Some(written.as_str()),
            _ => None,
        })
    }

    /// Returns the text if it has no references.
    #[must_use]
    pub fn plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [TextPart::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the text as a path and the directory in which it begins: without `${path.root}/`,
    /// `{{template_dir}}/` or `./`.
    #[must_use]
    pub fn path(&self) -> Option<(Folder, String)> {
        let (folder, rest) = match self.0.as_slice() {
            [TextPart::Literal(text)] => (Folder::Current, text.as_str()),
            [TextPart::Directory(folder)] => (*folder, "."),
            [TextPart::Directory(folder), TextPart::Literal(text)] => (*folder, text.strip_prefix('/')?),
            _ => return None,
        };
        let short = rest.trim_start_matches("./");
        // `./` itself is the directory's contents.
        Some((folder, if short.is_empty() { rest } else { short }.to_owned()))
    }
}

/// Reads one action, with its braces.
fn parse_action(action: &str) -> TextPart {
    let inner = action.trim_start_matches("{{").trim_end_matches("}}");
    let inner = inner.trim_start_matches('-').trim_end_matches('-').trim();
    let (first, is_piped) = inner.split_once('|').map_or((inner, false), |(first, _)| (first.trim(), true));
    let (function, argument) = first.split_once(char::is_whitespace).map_or((first, ""), |(name, rest)| (name, rest));
    let argument = unquote(argument.trim());
    match (function, argument) {
        // A pipe only changes the format, and a timestamp may have any.
        ("timestamp" | "isotime", _) => TextPart::Timestamp,
        _ if is_piped => TextPart::Unsupported(action.to_owned()),
        ("user", Some(name)) => TextPart::Variable(name.to_owned()),
        ("env", Some(name)) => TextPart::Environment(name.to_owned()),
        ("template_dir", None) => TextPart::Directory(Folder::Template),
        ("pwd", None) => TextPart::Directory(Folder::Current),
        _ => TextPart::Unsupported(action.to_owned()),
    }
}

fn unquote(argument: &str) -> Option<&str> {
    ['`', '"', '\''].iter().find_map(|quote| argument.strip_prefix(*quote)?.strip_suffix(*quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_parsed() {
        let parts = |written: &str| Text::from_go_template(written).parts().to_vec();
        assert_eq!(parts("{{user `a-b`}}"), [TextPart::Variable("a-b".into())]);
        assert_eq!(parts("{{ user \"x\" }}"), [TextPart::Variable("x".into())]);
        assert_eq!(parts("{{env `HOME`}}"), [TextPart::Environment("HOME".into())]);
        assert_eq!(parts("{{isotime \"2006-01-02\"}}"), [TextPart::Timestamp]);
        assert_eq!(parts("{{isotime | clean_resource_name}}"), [TextPart::Timestamp]);
        let folder = TextPart::Directory(Folder::Template);
        assert_eq!(parts("{{template_dir}}/x"), [folder, TextPart::Literal("/x".into())]);
        assert_eq!(parts("{{ .Path }}"), [TextPart::Unsupported("{{ .Path }}".into())]);
        assert_eq!(parts("{{user `a` | upper}}"), [TextPart::Unsupported("{{user `a` | upper}}".into())]);
        assert_eq!(parts("no end {{"), [TextPart::Literal("no end {{".into())]);
        assert_eq!(parts("a-{{timestamp}}"), [TextPart::Literal("a-".into()), TextPart::Timestamp]);
    }

    #[test]
    fn paths_begin_in_a_directory() {
        let path = |written: &str| Text::from_go_template(written).path();
        let found = |folder, path: &str| Some((folder, path.to_owned()));
        assert_eq!(path("./a/b"), found(Folder::Current, "a/b"));
        assert_eq!(path("./"), found(Folder::Current, "./"));
        assert_eq!(path("{{pwd}}/a"), found(Folder::Current, "a"));
        assert_eq!(path("{{template_dir}}/a"), found(Folder::Template, "a"));
        assert_eq!(path("{{template_dir}}"), found(Folder::Template, "."));
        assert_eq!(path("{{template_dir}}a"), None);
        assert_eq!(path(""), None);
        assert_eq!(path("{{user `x`}}/a"), None);
    }
}
