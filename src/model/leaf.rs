//! The kinds of scalar in a template: what each takes, and why a text is none.

use std::time::Duration;

use super::mode::{Mode, Owner, is_user_name};
use super::shape::Leaf;
use super::value::Value;
use diagnostics::Rule;
use lint_rules as rules;

/// Why a text is not of its kind.
pub(super) struct Wrong {
    pub rule: &'static Rule,
    pub message: String,
    pub help: Option<String>,
}

fn wrong(rule: &'static Rule, message: impl Into<String>, help: impl Into<String>) -> Wrong {
    Wrong { rule, message: message.into(), help: Some(help.into()) }
}

/// What a kind takes, for "expected …".
pub(super) fn expected(kind: Leaf) -> &'static str {
    match kind {
        Leaf::Text | Leaf::StampedText => "a text",
        Leaf::Flag => "true or false",
        Leaf::Mode => "a mode such as 0644",
        Leaf::Owner => "an owner such as root:root",
        Leaf::Url => "an address that begins with https://",
        Leaf::Duration => "a duration such as 90s, 6m or 1h30m",
        Leaf::Port => "a port from 1 to 65535",
        Leaf::Destination => "an absolute path on the machine",
        Leaf::DestinationGlob => "an absolute path or glob on the machine",
        Leaf::SourcePath => "a path in the project",
        Leaf::SourceGlob => "a path or glob in the project",
        Leaf::UserName => "a user's name",
        Leaf::Package => "a package's name",
        Leaf::DropletName => "a droplet's name",
        Leaf::Tag => "a tag",
    }
}

/// The value of an evaluated text.
pub(super) fn value(kind: Leaf, text: &str) -> Result<Value, Wrong> {
    let refuse = |rule, help: &str| Err(wrong(rule, format!("expected {}, found `{text}`", expected(kind)), help));
    if text.is_empty() && kind != Leaf::Text {
        return Err(wrong(
            &rules::TEMPLATE_BAD_VALUE,
            format!("expected {}, found an empty text", expected(kind)),
            "leave the key out",
        ));
    }
    if text.contains('\0') {
        return Err(wrong(&rules::TEMPLATE_BAD_VALUE, "the text holds a NUL character", "take it out"));
    }
    match kind {
        Leaf::StampedText if text.chars().any(char::is_control) || text.len() > 255 => {
            refuse(&rules::TEMPLATE_BAD_VALUE, "a name is one line of at most 255 characters")
        }
        Leaf::Text | Leaf::StampedText => Ok(Value::from(text)),
        Leaf::Flag => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(Value::Bool(true)),
            "false" | "no" | "off" => Ok(Value::Bool(false)),
            _ => refuse(&rules::TEMPLATE_BAD_VALUE, "write true or false"),
        },
        Leaf::Mode => match text.parse::<Mode>() {
            Ok(mode) => Ok(Value::from(mode.0)),
            Err(bad) => Err(wrong(&rules::TEMPLATE_BAD_MODE, bad.to_string(), bad.help())),
        },
        Leaf::Owner => match text.parse::<Owner>() {
            Ok(owner) => Ok(Value::from(owner.to_string())),
            Err(bad) => Err(wrong(&rules::TEMPLATE_BAD_OWNER, bad.to_string(), "for example root:adm")),
        },
        Leaf::Url => match url_fault(text) {
            None => Ok(Value::from(text)),
            Some(fault) => Err(wrong(
                &rules::TEMPLATE_BAD_URL,
                format!("`{text}` is no address to download from: {fault}"),
                "for example https://downloads.example/x.tar.gz",
            )),
        },
        Leaf::Duration => match humantime::parse_duration(text) {
            Ok(duration) if duration >= Duration::from_secs(1) && duration <= Duration::from_secs(24 * 3600) => {
                Ok(Value::from(duration.as_secs()))
            }
            Ok(_) => refuse(&rules::TEMPLATE_BAD_VALUE, "between 1s and 24h"),
            Err(_) => refuse(&rules::TEMPLATE_BAD_VALUE, "a number needs its unit: s, m or h"),
        },
        Leaf::Port => match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Value::from(port)),
            _ => refuse(&rules::TEMPLATE_BAD_VALUE, "write its number"),
        },
        Leaf::Destination | Leaf::DestinationGlob => match destination_fault(text) {
            None if kind == Leaf::DestinationGlob => match globset::Glob::new(text) {
                Ok(_) => Ok(Value::from(text)),
                Err(error) => Err(wrong(
                    &rules::TEMPLATE_BAD_VALUE,
                    format!("`{text}` is no glob: {}", error.kind()),
                    "for example /etc/nakama/*",
                )),
            },
            None => Ok(Value::from(text.trim_end_matches('/').to_owned() + if text == "/" { "/" } else { "" })),
            Some(fault) => Err(wrong(
                &rules::TEMPLATE_BAD_DESTINATION,
                format!("`{text}` is no place on the machine: {fault}"),
                "for example /usr/local/bin/nakama",
            )),
        },
        Leaf::SourcePath | Leaf::SourceGlob => match source_fault(text) {
            None => Ok(Value::from(text)),
            Some(fault) => Err(wrong(
                &rules::TEMPLATE_BAD_VALUE,
                format!("`{text}` is no path in the project: {fault}"),
                "paths begin at the project's directory, for example files/etc",
            )),
        },
        Leaf::UserName if is_user_name(text) => Ok(Value::from(text)),
        Leaf::UserName => refuse(
            &rules::TEMPLATE_BAD_NAME,
            "small letters, digits, `_` and `-`, at most 32, beginning with a letter or `_`",
        ),
        Leaf::Package if is_package(text) => Ok(Value::from(text)),
        Leaf::Package => refuse(&rules::TEMPLATE_BAD_NAME, "for example curl, or curl=8.5.0-2"),
        Leaf::DropletName if is_droplet_name(text) => Ok(Value::from(text)),
        Leaf::DropletName => refuse(
            &rules::TEMPLATE_BAD_NAME,
            "letters, digits, `.` and `-`, at most 255, a letter or digit at both ends",
        ),
        Leaf::Tag if is_tag(text) => Ok(Value::from(text)),
        Leaf::Tag => refuse(&rules::TEMPLATE_BAD_NAME, "letters, digits, `_`, `-` and `:`, at most 255"),
    }
}

/// What DigitalOcean takes for a droplet's name (it becomes its host name). It would take a hyphen in front; hosts do not.
fn is_droplet_name(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 255
        && ends(text.chars().next())
        && ends(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
}

/// What DigitalOcean takes for a tag.
fn is_tag(text: &str) -> bool {
    text.len() <= 255 && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-:".contains(c))
}

/// Names as Debian has them, with an optional `=version`, `/release` or `:architecture`; never an option of apt-get.
fn is_package(text: &str) -> bool {
    text.chars().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:~=/_".contains(c))
}

fn url_fault(text: &str) -> Option<&'static str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else { return Some("it does not begin with https:// or http://") };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Some("it holds a user name or password");
    }
    if host.is_empty() || host.starts_with(':') {
        return Some("it names no host");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '"' || c == '\\') {
        return Some("it holds white space or quotes");
    }
    None
}

/// Why a path on the machine cannot be written to; also for paths that come from the tree of files.
pub fn destination_fault(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('/') else { return Some("it is not absolute".to_owned()) };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if text != "/" && rest.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Some("it has an empty part, `.` or `..`".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Some("it holds a control character".to_owned());
    }
    let first = rest.split('/').next().unwrap_or_default();
    let gone =
        ["proc", "sys", "dev", "run", "tmp"].contains(&first) || rest == "var/run" || rest.starts_with("var/run/");
    gone.then(|| format!("what stands in /{first} does not outlive a boot"))
}

fn source_fault(text: &str) -> Option<&'static str> {
    if text.starts_with('/') {
        return Some("it is absolute");
    }
    if text.split('/').any(|part| part == "..") {
        return Some("it leaves the project");
    }
    text.chars().any(char::is_control).then_some("it holds a control character")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags_are_those_that_the_provider_takes() {
        for (kind, good, bad) in [
            (Leaf::DropletName, ["build-1.example", "a"], ["-a", "a_b"]),
            (Leaf::Tag, ["team:images", "a_b-9"], ["a b", "a.b"]),
        ] {
            for text in good {
                assert!(value(kind, text).is_ok(), "{text}");
            }
            for text in bad.map(str::to_owned).into_iter().chain(["x".repeat(256)]) {
                assert!(value(kind, &text).is_err(), "{text}");
            }
        }
    }
}
