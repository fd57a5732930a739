//! The keys of a template as tables, and the kinds of scalar. The reader checks against the tables,
//! and the JSON Schema is generated from them.
//!
//! To add a key, add a line to its table and a field to the struct in `spec`.

use std::time::Duration;

use diagnostics::Rule;
use lint_rules as rules;
use serde_json::{Map, json};

use super::spec::{Mode, Owner, is_user_name};
use super::value::Value;

#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub required: bool,
    pub shape: Shape,
    pub doc: &'static str,
}

/// The kinds of value in a template.
#[derive(Debug)]
pub(super) enum Shape {
    Leaf(Leaf),
    List(&'static Shape),
    /// Any keys, all with values of one shape.
    Map(KeyName, &'static Shape),
    Record(&'static [Field]),
    /// A record, or a scalar that sets only this field of it.
    Short(&'static str, Leaf, &'static [Field]),
    /// `variables:`, which is read first.
    Variables,
    /// cloud-init's own configuration, passed on unchanged.
    Anything,
}

/// The kinds of keys of a map.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyName {
    Environment,
    ArchiveMember,
}

/// The kinds of scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    Text,
    /// `snapshot.name`: text in which `timestamp` can be used.
    StampedText,
    Flag,
    Mode,
    Owner,
    Url,
    Duration,
    Port,
    /// An absolute path on the machine.
    Destination,
    /// A glob over absolute paths on the machine.
    DestinationGlob,
    /// A path in the project.
    SourcePath,
    /// A path or glob in the project.
    SourceGlob,
    UserName,
    Package,
    DropletName,
    /// A tag of the provider.
    Tag,
}

const TEXT: Shape = Shape::Leaf(Leaf::Text);
const TEXTS: Shape = Shape::List(&TEXT);
const TAGS: Shape = Shape::List(&Shape::Leaf(Leaf::Tag));

const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, required: true, shape, doc }
}

const fn optional(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, required: false, shape, doc }
}

/// The top level, in the order in which a bake uses it.
pub(super) const TEMPLATE: &[Field] = &[
    optional(
        "variables",
        Shape::Variables,
        "Values for `{{ name }}` in the rest of the template. A variable without a value is required; it may also be a mapping \
         of `value`, `sensitive` and `description`.",
    ),
    optional("droplet", Shape::Record(DROPLET), "The build droplet."),
    optional(
        "users",
        Shape::List(&Shape::Short("name", Leaf::UserName, USER)),
        "Users to create before anything is installed. Their files are written once they exist.",
    ),
    optional("upgrade", Shape::Leaf(Leaf::Flag), "Upgrade all packages of the base image first. Default: false."),
    optional("packages", Shape::List(&Shape::Leaf(Leaf::Package)), "Packages of the distribution to install."),
    optional(
        "artifacts",
        Shape::List(&Shape::Record(ARTIFACT)),
        "Downloads of the droplet, checked against mkimg.lock before anything is unpacked.",
    ),
    optional("files", Shape::List(&Shape::Record(FILES)), "Directories and files to copy to the machine."),
    optional(
        "attributes",
        Shape::List(&Shape::Record(ATTRIBUTES)),
        "Owner and mode of files and unpacked artifacts, and whether a file is readable in the document, by their path on the machine; later lines win.",
    ),
    optional(
        "environment",
        Shape::Map(KeyName::Environment, &TEXT),
        "Environment variables of every script, cleanup and check.",
    ),
    optional(
        "scripts",
        Shape::List(&Shape::Leaf(Leaf::SourceGlob)),
        "Scripts to run in order: paths, or globs in the order of file names. Globs do not match cleanup and check.",
    ),
    optional("cleanup", Shape::Leaf(Leaf::SourcePath), "The script that cleans up the machine, in a bake only."),
    optional("check", Shape::Leaf(Leaf::SourcePath), "The script that checks the machine, in a bake only."),
    optional("time_limits", Shape::Record(TIME_LIMITS), "Time limits of the steps."),
    optional("snapshot", Shape::Record(SNAPSHOT), "The snapshot that a bake makes."),
    optional("verify", Shape::Record(VERIFY), "What `bake --verify` checks on a fresh instance of the snapshot."),
    optional(
        "allow",
        Shape::List(&Shape::Record(ALLOWANCE)),
        "Findings of `mkimg validate` about the rendered document to accept.",
    ),
    optional(
        "cloud_config",
        Shape::Anything,
        "Other configuration for cloud-init. Lists are appended; conflicts are errors.",
    ),
];

const ALLOWANCE: &[Field] = &[
    required("code", TEXT, "The rule: a code such as MK209, or its name."),
    optional(
        "path",
        TEXT,
        "A file on the machine (`/usr/local/bin/tool`), or a path in the rendered document (`runcmd`) with everything below it. \
         Default: everywhere.",
    ),
    required("reason", TEXT, "Why the finding is accepted."),
];

const DROPLET: &[Field] = &[
    required("image", TEXT, "Base image: a slug such as ubuntu-24-04-x64, or an image's number."),
    required("region", TEXT, "Region slug, such as nyc3."),
    required("size", TEXT, "Size slug, such as s-1vcpu-1gb."),
    optional("tags", TAGS, "Additional tags for the build droplet."),
    optional("vpc_uuid", TEXT, "The VPC to build in. Default: the region's default VPC."),
    optional("ipv6", Shape::Leaf(Leaf::Flag), "Give the droplet an IPv6 address too. Default: false."),
    optional("monitoring", Shape::Leaf(Leaf::Flag), "Install DigitalOcean's monitoring agent. Default: false."),
    optional(
        "droplet_agent",
        Shape::Leaf(Leaf::Flag),
        "Install the agent of the control panel's console, whose directory fails the image check. Default: false.",
    ),
    optional("name", Shape::Leaf(Leaf::DropletName), "Name of the build droplet. Default: `mkimg-` and the bake's id."),
];

const USER: &[Field] = &[
    required("name", Shape::Leaf(Leaf::UserName), "Login name. `default` is the distribution's own user."),
    optional(
        "system",
        Shape::Leaf(Leaf::Flag),
        "Create a system user, without home directory and login shell. Default: false.",
    ),
    optional("home", Shape::Leaf(Leaf::Destination), "Home directory."),
    optional("create_home", Shape::Leaf(Leaf::Flag), "Create the home directory. Default: true unless `system`."),
    optional("shell", Shape::Leaf(Leaf::Destination), "Login shell. Default: /usr/sbin/nologin for system users."),
    optional("groups", Shape::List(&Shape::Leaf(Leaf::UserName)), "Additional groups."),
    optional("comment", TEXT, "Full name or purpose (the GECOS field)."),
];

const ARTIFACT: &[Field] = &[
    required("url", Shape::Leaf(Leaf::Url), "Address to download it from."),
    optional("checksum", Shape::Leaf(Leaf::Url), "Address of the publisher's checksum file, for `mkimg lock`."),
    optional(
        "unpack",
        Shape::Map(KeyName::ArchiveMember, &Shape::Short("to", Leaf::Destination, PLACED)),
        "Members of the archive and their destinations. A member is the path of a file in the archive, or its last component; or the path of a directory with `/` at its end, in which `*` is one name, and `./` is the whole archive.",
    ),
    optional("to", Shape::Leaf(Leaf::Destination), "Destination of the download itself, if it is not an archive."),
    optional("owner", Shape::Leaf(Leaf::Owner), "Owner of the file at `to`. Default: root:root."),
    optional("mode", Shape::Leaf(Leaf::Mode), "Mode of the file at `to`. Default: 0755."),
];

const PLACED: &[Field] = &[
    required("to", Shape::Leaf(Leaf::Destination), "Destination of the member."),
    optional("owner", Shape::Leaf(Leaf::Owner), "Default: root:root."),
    optional(
        "mode",
        Shape::Leaf(Leaf::Mode),
        "Default: 0755; in a directory, 0755 for executable files and 0644 for others.",
    ),
];

const FILES: &[Field] = &[
    required("source", Shape::Leaf(Leaf::SourcePath), "A directory or file of the project."),
    required("to", Shape::Leaf(Leaf::Destination), "Destination on the machine."),
    optional("owner", Shape::Leaf(Leaf::Owner), "Default: root:root."),
    optional("mode", Shape::Leaf(Leaf::Mode), "Default: 0755 for executable files, 0644 for others."),
    optional(
        "after",
        Shape::Leaf(Leaf::SourcePath),
        "A script of `scripts:`, after which the files are put into their place. Default: before packages and scripts.",
    ),
];

const ATTRIBUTES: &[Field] = &[
    required(
        "path",
        Shape::Leaf(Leaf::DestinationGlob),
        "A path or glob on the machine. `*` does not match `/`; `**` does.",
    ),
    optional("owner", Shape::Leaf(Leaf::Owner), "`user` or `user:group`."),
    optional("mode", Shape::Leaf(Leaf::Mode), "Octal, such as 0640."),
    optional(
        "bundle",
        Shape::Leaf(Leaf::Flag),
        "`true`: always in the document's compressed bundle; `false`: always readable in the document. Default: readable if there is room.",
    ),
];

const TIME_LIMITS: &[Field] = &[
    optional(
        "packages",
        Shape::Leaf(Leaf::Duration),
        "For the upgrade and for the installation of packages. Default: 30m.",
    ),
    optional("download", Shape::Leaf(Leaf::Duration), "For each download. Default: 30m."),
    optional("script", Shape::Leaf(Leaf::Duration), "For each script. Default: 30m."),
];

const SNAPSHOT: &[Field] = &[
    optional("name", Shape::Leaf(Leaf::StampedText), "Default: the template's name and `{{ timestamp }}`."),
    optional("regions", TEXTS, "Additional regions to transfer it to."),
    optional("tags", TAGS, "Tags for the snapshot."),
];

const VERIFY: &[Field] = &[
    optional("services", TEXTS, "systemd units that must be active."),
    optional(
        "ports",
        Shape::List(&Shape::Leaf(Leaf::Port)),
        "TCP ports that must accept connections on the instance itself.",
    ),
    optional("commands", TEXTS, "Commands that must exit with 0."),
    optional("ready", Shape::Leaf(Leaf::Duration), "How long the instance may take to meet all of this. Default: 5m."),
];

/// Why a text does not fit its kind.
pub(super) struct LeafError {
    pub rule: &'static Rule,
    pub message: String,
    pub help: String,
}

impl Leaf {
    /// Returns the noun phrase for "expected …".
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Text | Self::StampedText => "a text",
            Self::Flag => "true or false",
            Self::Mode => "a mode such as 0644",
            Self::Owner => "an owner such as root:root",
            Self::Url => "an address that begins with https://",
            Self::Duration => "a duration such as 90s, 6m or 1h30m",
            Self::Port => "a port from 1 to 65535",
            Self::Destination => "an absolute path on the machine",
            Self::DestinationGlob => "an absolute path or glob on the machine",
            Self::SourcePath => "a path in the project",
            Self::SourceGlob => "a path or glob in the project",
            Self::UserName => "a user's name",
            Self::Package => "a package's name",
            Self::DropletName => "a droplet's name",
            Self::Tag => "a tag",
        }
    }

    /// Converts an evaluated text.
    pub(super) fn parse(self, text: &str) -> Result<Value, LeafError> {
        let error =
            |rule: &'static Rule, message: String, help: &str| Err(LeafError { rule, message, help: help.to_owned() });
        let unexpected = |rule, help: &str| error(rule, format!("expected {}, found `{text}`", self.expected()), help);
        let (bad_value, bad_name) = (&rules::TEMPLATE_BAD_VALUE, &rules::TEMPLATE_BAD_NAME);
        let text_if = |is_valid: bool, rule, help: &str| {
            if is_valid { Ok(Value::from(text)) } else { unexpected(rule, help) }
        };
        if text.is_empty() && self != Self::Text {
            let message = format!("expected {}, found an empty text", self.expected());
            return error(bad_value, message, "remove the key");
        }
        if text.contains('\0') {
            return error(bad_value, "the text contains a NUL character".to_owned(), "remove it");
        }
        match self {
            Self::Text => Ok(Value::from(text)),
            Self::StampedText => {
                let is_valid = text.len() <= 255 && !text.chars().any(char::is_control);
                text_if(is_valid, bad_value, "a name is one line of at most 255 characters")
            }
            Self::Flag => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Ok(Value::Bool(true)),
                "false" | "no" | "off" => Ok(Value::Bool(false)),
                _ => unexpected(bad_value, "write true or false"),
            },
            Self::Mode => match text.parse::<Mode>() {
                Ok(mode) => Ok(Value::from(mode.0)),
                Err(bad) => error(&rules::TEMPLATE_BAD_MODE, bad.to_string(), &bad.help()),
            },
            Self::Owner => match text.parse::<Owner>() {
                Ok(owner) => Ok(Value::from(owner.to_string())),
                Err(bad) => error(&rules::TEMPLATE_BAD_OWNER, bad.to_string(), "for example root:adm"),
            },
            Self::Url => match url_fault(text) {
                None => Ok(Value::from(text)),
                Some(fault) => error(
                    &rules::TEMPLATE_BAD_URL,
                    format!("`{text}` is not an address to download from: {fault}"),
                    "for example https://downloads.example/x.tar.gz",
                ),
            },
            Self::Duration => match humantime::parse_duration(text) {
                Ok(duration) if (MIN_DURATION..=MAX_DURATION).contains(&duration) => {
                    Ok(Value::from(duration.as_secs()))
                }
                Ok(_) => unexpected(bad_value, "between 1s and 24h"),
                Err(_) => unexpected(bad_value, "a number needs its unit: s, m or h"),
            },
            Self::Port => match text.parse::<u16>() {
                Ok(port) if port > 0 => Ok(Value::from(port)),
                _ => unexpected(bad_value, "write its number"),
            },
            Self::Destination | Self::DestinationGlob => {
                if let Some(fault) = destination_fault(text) {
                    let message = format!("`{text}` is not a valid path on the machine: {fault}");
                    return error(&rules::TEMPLATE_BAD_DESTINATION, message, "for example /usr/local/bin/nakama");
                }
                if self == Self::Destination {
                    let path = if text == "/" { text } else { text.trim_end_matches('/') };
                    return Ok(Value::from(path));
                }
                match globset::Glob::new(text) {
                    Ok(_) => Ok(Value::from(text)),
                    Err(bad) => {
                        let message = format!("`{text}` is not a valid glob: {}", bad.kind());
                        error(bad_value, message, "for example /etc/nakama/*")
                    }
                }
            }
            Self::SourcePath | Self::SourceGlob => match source_fault(text) {
                None => Ok(Value::from(text)),
                Some(fault) => {
                    let message = format!("`{text}` is not a path in the project: {fault}");
                    error(bad_value, message, "paths are relative to the project's directory, for example files/etc")
                }
            },
            Self::UserName => text_if(
                is_user_name(text),
                bad_name,
                "lowercase letters, digits, `_` and `-`, at most 32, beginning with a letter or `_`",
            ),
            Self::Package => text_if(is_package(text), bad_name, "for example curl, or curl=8.5.0-2"),
            Self::DropletName => text_if(
                is_droplet_name(text),
                bad_name,
                "letters, digits, `.` and `-`, at most 255, a letter or digit at both ends",
            ),
            Self::Tag => text_if(is_tag(text), bad_name, "letters, digits, `_`, `-` and `:`, at most 255"),
        }
    }
}

const MIN_DURATION: Duration = Duration::from_secs(1);
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns whether DigitalOcean accepts a droplet's name, which becomes its host name. DigitalOcean
/// also accepts a leading hyphen, but a host name cannot have one.
fn is_droplet_name(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 255
        && ends(text.chars().next())
        && ends(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
}

/// Returns whether DigitalOcean accepts a tag.
fn is_tag(text: &str) -> bool {
    text.len() <= 255 && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-:".contains(c))
}

/// Returns whether a text is a Debian package name, with an optional `=version`, `/release` or
/// `:architecture`. It cannot be an option of apt-get.
fn is_package(text: &str) -> bool {
    text.chars().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:~=/_".contains(c))
}

fn url_fault(text: &str) -> Option<&'static str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else { return Some("it does not begin with https:// or http://") };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Some("it contains a user name or password");
    }
    if host.is_empty() || host.starts_with(':') {
        return Some("it has no host");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '"' || c == '\\') {
        return Some("it contains white space or quotes");
    }
    None
}

/// Returns why a path on the machine cannot be written to.
pub fn destination_fault(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('/') else { return Some("it is not absolute".to_owned()) };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if text != "/" && rest.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Some("it has an empty component, `.` or `..`".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Some("it contains a control character".to_owned());
    }
    let first = rest.split('/').next().unwrap_or_default();
    let is_temporary =
        ["proc", "sys", "dev", "run", "tmp"].contains(&first) || rest == "var/run" || rest.starts_with("var/run/");
    is_temporary.then(|| format!("files in /{first} do not survive a reboot"))
}

fn source_fault(text: &str) -> Option<&'static str> {
    if text.starts_with('/') {
        return Some("it is absolute");
    }
    if text.split('/').any(|part| part == "..") {
        return Some("it leads out of the project");
    }
    text.chars().any(char::is_control).then_some("it contains a control character")
}

/// Returns the JSON Schema (2020-12) of the image template. Texts are always allowed, because a
/// scalar may be an expression.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = record_schema(TEMPLATE);
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mkimg image template",
    });
    if let (serde_json::Value::Object(head), serde_json::Value::Object(body)) = (head, &mut schema) {
        let rest = std::mem::take(body);
        body.extend(head);
        body.extend(rest);
    }
    schema
}

fn record_schema(fields: &[Field]) -> serde_json::Value {
    let mut properties = Map::new();
    for field in fields {
        let mut shape = shape_schema(&field.shape);
        if let serde_json::Value::Object(shape) = &mut shape {
            shape.insert("description".to_owned(), serde_json::Value::from(field.doc));
        }
        properties.insert(field.name.to_owned(), shape);
    }
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn shape_schema(shape: &Shape) -> serde_json::Value {
    match shape {
        Shape::Leaf(kind) => leaf_schema(*kind),
        Shape::List(item) => json!({"type": "array", "items": shape_schema(item)}),
        Shape::Map(_, item) => json!({"type": "object", "additionalProperties": shape_schema(item)}),
        Shape::Record(fields) => record_schema(fields),
        Shape::Short(_, kind, fields) => json!({"anyOf": [leaf_schema(*kind), record_schema(fields)]}),
        Shape::Variables => {
            let value = json!({"type": ["string", "number", "boolean", "null"]});
            let long = json!({
                "type": "object",
                "properties": {
                    "value": value,
                    "sensitive": {"type": "boolean", "description": "Never read from the command line and never shown."},
                    "description": {"type": "string"},
                },
                "additionalProperties": false,
            });
            json!({
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
                "additionalProperties": {"anyOf": [value, long]},
            })
        }
        Shape::Anything => json!({"type": "object"}),
    }
}

fn leaf_schema(kind: Leaf) -> serde_json::Value {
    match kind {
        Leaf::Flag => json!({"type": ["boolean", "string"]}),
        Leaf::Mode => json!({"type": ["string", "integer"]}),
        Leaf::Port => json!({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string"}]}),
        Leaf::Text | Leaf::StampedText => json!({"type": ["string", "number", "boolean"]}),
        _ => json!({"type": "string"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What editors learn of a template: which keys there are, which are required, and what they hold.
    #[test]
    fn the_schema_describes_each_kind_of_key() {
        let schema = schema();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        let required = |path: &str| -> Vec<String> {
            let found = schema.pointer(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(found["additionalProperties"], false, "{path}");
            found["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        for (path, expected) in [
            ("", &[][..]),
            ("/properties/droplet", &["image", "region", "size"]),
            ("/properties/users/items/anyOf/1", &["name"]),
            ("/properties/artifacts/items", &["url"]),
            ("/properties/files/items", &["source", "to"]),
            ("/properties/attributes/items", &["path"]),
            ("/properties/snapshot", &[]),
            ("/properties/verify", &[]),
            ("/properties/allow/items", &["code", "reason"]),
        ] {
            assert_eq!(required(path), expected, "{path}");
        }
        for (path, expected) in [
            ("/properties/upgrade", json!({"type": ["boolean", "string"]})),
            ("/properties/attributes/items/properties/mode", json!({"type": ["string", "integer"]})),
            ("/properties/variables/propertyNames", json!({"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"})),
            (
                "/properties/verify/properties/ports/items",
                json!({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string"}]}),
            ),
        ] {
            let mut found = schema.pointer(path).unwrap_or_else(|| panic!("{path}")).clone();
            if let Some(found) = found.as_object_mut() {
                found.remove("description");
            }
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn flags_are_read_as_in_yaml() {
        for (texts, expected) in [("true yes on True YES On", true), ("false no off False NO Off", false)] {
            for text in texts.split(' ') {
                assert_eq!(Leaf::Flag.parse(text).ok(), Some(Value::Bool(expected)), "{text}");
            }
        }
        for text in ["y", "1", "truth", "", "0"] {
            assert!(Leaf::Flag.parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_and_tags_match_the_provider() {
        for (kind, good, bad) in [
            (Leaf::DropletName, ["build-1.example", "a"], ["-a", "a_b"]),
            (Leaf::Tag, ["team:images", "a_b-9"], ["a b", "a.b"]),
        ] {
            for text in good {
                assert!(kind.parse(text).is_ok(), "{text}");
            }
            for text in bad.map(str::to_owned).into_iter().chain(["x".repeat(256)]) {
                assert!(kind.parse(&text).is_err(), "{text}");
            }
        }
    }

    /// Writes the tables of `docs/template.md`.
    fn reference() -> String {
        let mut out = String::new();
        let mut waiting = vec![(String::new(), TEMPLATE)];
        while let Some((path, fields)) = waiting.pop() {
            let title = if path.is_empty() { "Top level".to_owned() } else { format!("`{path}`") };
            out += &format!("### {title}\n\n| key | value | description |\n| --- | --- | --- |\n");
            let mut nested = Vec::new();
            for Field { name, required, shape, doc } in fields {
                let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
                let (value, below) = value_and_fields(shape, &path);
                let required = if *required { "Required. " } else { "" };
                out += &format!("| `{name}` | {value} | {required}{doc} |\n");
                nested.extend(below);
            }
            out.push('\n');
            waiting.extend(nested.into_iter().rev());
        }
        out
    }

    /// Returns a description of a shape, and the record in it with its path.
    fn value_and_fields(shape: &Shape, path: &str) -> (String, Option<(String, &'static [Field])>) {
        match shape {
            Shape::Leaf(kind) => (kind.expected().to_owned(), None),
            Shape::List(item) => {
                let (item, below) = value_and_fields(item, &format!("{path}[]"));
                (format!("a list; each item is {item}"), below)
            }
            Shape::Map(_, item) => {
                let (item, below) = value_and_fields(item, &format!("{path}.*"));
                (format!("a mapping; each value is {item}"), below)
            }
            Shape::Record(fields) => ("a mapping".to_owned(), Some((path.to_owned(), *fields))),
            Shape::Short(_, kind, fields) => {
                (format!("{}, or a mapping", kind.expected()), Some((path.to_owned(), *fields)))
            }
            Shape::Variables | Shape::Anything => ("a mapping".to_owned(), None),
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test reads and writes a file")]
    fn reference_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/template.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once("<!-- keys -->\n").unwrap();
        let (tables, after) = rest.split_once("<!-- end of keys -->\n").unwrap();
        let expected = format!("\n{}", reference());
        if std::env::var_os("MKIMG_BLESS").is_some_and(|value| !value.is_empty()) {
            let page = format!("{before}<!-- keys -->\n{expected}<!-- end of keys -->\n{after}");
            std::fs::write(path, page).unwrap();
        } else {
            assert!(tables == expected, "docs/template.md is stale: `make bless` updates it");
        }
    }
}
