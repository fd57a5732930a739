//! The Go templates in Packer's JSON: ``{{user `x`}}``, `{{timestamp}}`, ``{{env `X`}}`` and their kin.

use super::text::{Piece, Text, variable_name};

/// Takes a text apart.
pub(super) fn text(written: &str) -> Text {
    let mut out = Text::default();
    let mut rest = written;
    while let Some(start) = rest.find("{{") {
        let Some(length) = rest[start..].find("}}") else { break };
        out.push(Piece::Literal(rest[..start].to_owned()));
        let whole = &rest[start..start + length + 2];
        out.push(action(whole));
        rest = &rest[start + length + 2..];
    }
    out.push(Piece::Literal(rest.to_owned()));
    out
}

/// One action, braces included.
fn action(whole: &str) -> Piece {
    let inner = whole.trim_start_matches("{{").trim_end_matches("}}");
    let inner = inner.trim_start_matches('-').trim_end_matches('-').trim();
    // The tail of a pipe changes the form of what stands before it; of a moment, any form will do.
    let (first, piped) = inner.split_once('|').map_or((inner, false), |(first, _)| (first.trim(), true));
    let (function, argument) = first.split_once(char::is_whitespace).map_or((first, ""), |(name, rest)| (name, rest));
    let argument = unquoted(argument.trim());
    match (function, argument) {
        ("timestamp" | "isotime", _) => Piece::Timestamp,
        _ if piped => Piece::Unknown(whole.to_owned()),
        ("user", Some(name)) => Piece::Variable(variable_name(name)),
        ("env", Some(name)) => Piece::Environment(name.to_owned()),
        ("template_dir" | "pwd", None) => Piece::Directory,
        _ => Piece::Unknown(whole.to_owned()),
    }
}

/// The one argument, without its quotes.
fn unquoted(argument: &str) -> Option<&str> {
    ['`', '"', '\''].iter().find_map(|quote| argument.strip_prefix(*quote)?.strip_suffix(*quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_understood() {
        let piece = |written: &str| text(written).pieces().to_vec();
        assert_eq!(piece("{{user `a-b`}}"), [Piece::Variable("a_b".into())]);
        assert_eq!(piece("{{ user \"x\" }}"), [Piece::Variable("x".into())]);
        assert_eq!(piece("{{env `HOME`}}"), [Piece::Environment("HOME".into())]);
        assert_eq!(piece("{{isotime \"2006-01-02\"}}"), [Piece::Timestamp]);
        assert_eq!(piece("{{isotime | clean_resource_name}}"), [Piece::Timestamp]);
        assert_eq!(piece("{{template_dir}}/x"), [Piece::Directory, Piece::Literal("/x".into())]);
        assert_eq!(piece("{{ .Path }}"), [Piece::Unknown("{{ .Path }}".into())]);
        assert_eq!(piece("{{user `a` | upper}}"), [Piece::Unknown("{{user `a` | upper}}".into())]);
        assert_eq!(piece("no end {{"), [Piece::Literal("no end {{".into())]);
        assert_eq!(piece("a-{{timestamp}}"), [Piece::Literal("a-".into()), Piece::Timestamp]);
    }
}
