//! The parts of a document: one for each file, one for each other key.

use std::fmt::Write as _;

use diagnostics::source::Source;
use indexmap::IndexMap;
use serde::Deserialize;
use yaml11::{Node, NodeKind, Scalar, Tree};

use crate::render::{Member, PLAN_PATH, decode_content, members_of_command};

/// Documents that expand to more values are compared as text.
const MAX_VALUES: u64 = 1_000_000;

/// A part of a document that is compared separately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Owner, mode and other keys of a file, one `key: value` on each line.
    pub attributes: String,
    /// The content on the machine, in a readable form.
    pub content: String,
    /// The content on the machine.
    pub bytes: Vec<u8>,
    /// The content in the document.
    pub stored: String,
}

impl Part {
    /// The attributes and the content.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.attributes, self.content)
    }
}

/// Parts by name, which is a path or a key. A repeated path gets a number: `/etc/x (2)`.
pub type Parts = IndexMap<String, Part>;

/// Splits a document into its parts. A document that is not a YAML mapping is a single part.
#[must_use]
pub fn parts(source: &Source) -> Parts {
    let tree = yaml11::parse(source.text()).ok().filter(|tree| tree.expanded_len() < MAX_VALUES);
    let root = tree.as_ref().and_then(Tree::root);
    let Some(entries) = root.and_then(Node::entries) else {
        return Parts::from([("the document".to_owned(), text_part(source.text().to_owned()))]);
    };
    let mut parts = Parts::new();
    for (key, value) in entries {
        match (key.as_str(), value.items()) {
            (Some("write_files"), Some(files)) => {
                for file in files {
                    let (name, part) = file_part(file);
                    insert(&mut parts, &name, part);
                }
            }
            (Some("bootcmd"), Some(commands)) => {
                let (bundles, commands): (Vec<_>, Vec<_>) = commands
                    .map(|command| (members_of_command(command), command))
                    .partition(|(found, _)| found.is_some());
                for member in bundles.into_iter().filter_map(|(members, _)| members).flatten() {
                    insert(&mut parts, &member.path.clone(), member_part(member));
                }
                let content: String = commands.iter().map(|(_, command)| outline_item(*command)).collect();
                if !content.is_empty() {
                    insert(&mut parts, "bootcmd", text_part(content));
                }
            }
            (name, _) => {
                let name = name.map_or_else(|| shown_key(key), str::to_owned);
                insert(&mut parts, &name, text_part(outline(value)));
            }
        }
    }
    describe_plan(parts)
}

/// Replaces the runner's instructions, an internal file, by what they say: the packages, steps and artifacts of the image, and
/// the on-boot files where they belong.
fn describe_plan(mut parts: Parts) -> Parts {
    let Some(plan) = parts.get(PLAN_PATH).and_then(|part| serde_json::from_slice::<ImagePlan>(&part.bytes).ok()) else {
        return parts;
    };
    let Some((at, ..)) = parts.shift_remove_full(PLAN_PATH) else { return parts };
    let mut described = Parts::new();
    for (name, part) in parts.drain(..at) {
        described.insert(name, part);
    }
    for (name, lines) in plan.outline() {
        if !lines.is_empty() {
            insert(&mut described, name, text_part(lines));
        }
    }
    described.extend(parts);
    for file in &plan.deferred_files {
        let Some(part) = described.shift_remove(&file.staged) else { continue };
        let after = if file.after.is_empty() { String::new() } else { format!("after: script {}\n", file.after) };
        let attributes = format!("owner: {:?}\npermissions: {:?}\n{after}", file.owner, file.mode);
        insert(&mut described, &file.path, Part { attributes, ..part });
    }
    for script in plan.scripts.iter().chain(&plan.cleanup).chain(&plan.check) {
        let Some(part) = described.shift_remove(&script.path) else { continue };
        insert(&mut described, &format!("script {}", script.name), Part { attributes: String::new(), ..part });
    }
    described
}

/// `/run/mkimg/plan.json` of an image. `docs/design/first-boot.md` defines it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImagePlan {
    #[allow(dead_code, reason = "another version is another format")]
    version: u32,
    #[allow(dead_code, reason = "a verification has other fields")]
    kind: String,
    name: String,
    upgrade: bool,
    packages: Vec<String>,
    artifacts: Vec<serde_json::Map<String, serde_json::Value>>,
    environment: IndexMap<String, String>,
    scripts: Vec<PlanScript>,
    deferred_files: Vec<DeferredFile>,
    cleanup: Option<PlanScript>,
    check: Option<PlanScript>,
    time_limits: IndexMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct PlanScript {
    name: String,
    path: String,
}

#[derive(Debug, Deserialize)]
struct DeferredFile {
    path: String,
    staged: String,
    owner: String,
    mode: String,
    /// Name of the script after which it is placed; empty before all scripts.
    after: String,
}

impl ImagePlan {
    /// What the plan says, by topic, a line for each item.
    fn outline(&self) -> [(&'static str, String); 6] {
        let list = |items: Vec<String>| items.into_iter().fold(String::new(), |text, item| text + &item + "\n");
        let mut steps = Vec::new();
        steps.extend(self.upgrade.then(|| "upgrade packages".to_owned()));
        steps.extend((!self.packages.is_empty()).then(|| "install packages".to_owned()));
        let artifact_name = |artifact: &serde_json::Map<String, serde_json::Value>| {
            artifact.get("name").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        steps.extend(self.artifacts.iter().map(|artifact| format!("artifact {}", artifact_name(artifact))));
        steps.extend(self.scripts.iter().map(|script| format!("script {}", script.name)));
        steps.extend(self.cleanup.iter().map(|script| format!("cleanup {}", script.name)));
        steps.extend(self.check.iter().map(|script| format!("check {}", script.name)));
        let artifacts = serde_json::json!(self.artifacts).to_string();
        [
            ("image", format!("{}\n", self.name)),
            ("packages", list(self.packages.clone())),
            ("artifacts", yaml11::parse(&artifacts).ok().and_then(|tree| tree.root().map(outline)).unwrap_or_default()),
            ("environment", list(self.environment.iter().map(|(name, value)| format!("{name}: {value:?}")).collect())),
            ("steps", list(steps)),
            ("time limits", list(self.time_limits.iter().map(|(name, limit)| format!("{name}: {limit} s")).collect())),
        ]
    }
}

fn insert(parts: &mut Parts, name: &str, part: Part) {
    let mut unique = name.to_owned();
    let mut count = 1;
    while parts.contains_key(&unique) {
        count += 1;
        unique = format!("{name} ({count})");
    }
    parts.insert(unique, part);
}

fn text_part(content: String) -> Part {
    Part { attributes: String::new(), bytes: content.clone().into_bytes(), stored: content.clone(), content }
}

/// A file of the bundle: as a `write_files` entry would show it.
fn member_part(member: Member) -> Part {
    let mut attributes = format!("owner: {:?}\npermissions: {:?}\n", member.owner, member.mode);
    if member.is_deferred {
        attributes.push_str("defer: true\n");
    }
    let content = readable(&member.path, &member.content);
    Part { attributes, content, stored: "bundle".to_owned(), bytes: member.content }
}

fn file_part(file: Node<'_>) -> (String, Part) {
    let path = file.get("path").and_then(Node::as_str).unwrap_or("a file without a path").to_owned();
    let encoding = file.get("encoding").and_then(Node::as_str).unwrap_or_default();
    let mut attributes = String::new();
    for (key, value) in file.entries().into_iter().flatten() {
        if !matches!(key.as_str(), Some("path" | "content" | "encoding")) {
            let _ = writeln!(attributes, "{}: {}", shown_key(key), outline(value).trim());
        }
    }
    let content = match file.get("content").and_then(Node::scalar) {
        Some(Scalar::Str(text) | Scalar::Timestamp(text)) => text.clone().into_bytes(),
        Some(Scalar::Binary(bytes)) => bytes.clone(),
        _ => file.get("content").map(outline).unwrap_or_default().into_bytes(),
    };
    let stored = format!("{encoding}\n{}", String::from_utf8_lossy(&content));
    let bytes = decode_content(encoding, &content);
    if bytes.is_none() {
        let _ = writeln!(attributes, "encoding: {encoding} (it cannot be decoded)");
    }
    let bytes = bytes.unwrap_or(content);
    (path.clone(), Part { attributes, content: readable(&path, &bytes), bytes, stored })
}

/// Writes a value as indented lines, one for each scalar.
fn outline(node: Node<'_>) -> String {
    let mut text = String::new();
    write_outline(node, 0, &mut text);
    text
}

/// Writes an item of a list.
fn outline_item(node: Node<'_>) -> String {
    let mut text = String::new();
    write_child("-", node, 0, &mut text);
    text
}

fn write_outline(node: Node<'_>, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match node.kind() {
        NodeKind::Scalar(scalar) => {
            let _ = writeln!(text, "{indent}{}", shown_scalar(scalar));
        }
        NodeKind::Mapping(_) | NodeKind::Pairs(_) => {
            let entries = node.entries().into_iter().flatten();
            for (key, value) in entries.chain(node.pairs().into_iter().flatten()) {
                write_child(&format!("{}:", shown_key(key)), value, depth, text);
            }
        }
        NodeKind::Sequence(_) | NodeKind::Set(_) => {
            let items = node.items().into_iter().flatten();
            for item in items.chain(node.members().into_iter().flatten()) {
                write_child("-", item, depth, text);
            }
        }
    }
}

/// Writes a value after a label, which ends before the space that separates it from a scalar.
fn write_child(label: &str, value: Node<'_>, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value.scalar() {
        Some(scalar) => {
            let _ = writeln!(text, "{indent}{label} {}", shown_scalar(scalar));
        }
        None => {
            let _ = writeln!(text, "{indent}{label}");
            write_outline(value, depth + 1, text);
        }
    }
}

/// Shows a key: without quotes if it is one word.
fn shown_key(key: Node<'_>) -> String {
    match key.as_str() {
        Some(text) if text.chars().all(|c| c.is_alphanumeric() || "_-./:".contains(c)) => text.to_owned(),
        _ => outline(key).trim().to_owned(),
    }
}

/// Shows a scalar; strings are quoted.
fn shown_scalar(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Null => "null".to_owned(),
        Scalar::Bool(flag) => flag.to_string(),
        Scalar::Int(digits) => digits.clone(),
        Scalar::Float(number) => format!("{number:?}"),
        Scalar::Str(text) => format!("{text:?}"),
        Scalar::Timestamp(text) => text.clone(),
        Scalar::Binary(bytes) => format!("{} bytes {bytes:02x?}", bytes.len()),
    }
}

/// Returns content in a readable form: text as it is, JSON with indentation, other bytes in
/// hexadecimal.
fn readable(path: &str, bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if path.rsplit('.').next() == Some("json") => {
            let indented = serde_json::from_str::<serde_json::Value>(text).map(|value| format!("{value:#}\n"));
            indented.unwrap_or_else(|_| text.to_owned())
        }
        Ok(text) if !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')) => text.to_owned(),
        _ => hex_dump(bytes),
    }
}

/// Returns bytes in hexadecimal, sixteen on each line.
fn hex_dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (index, chunk) in bytes.chunks(16).enumerate() {
        let _ = write!(text, "{:08x} ", index * 16);
        for byte in chunk {
            let _ = write!(text, " {byte:02x}");
        }
        text.push('\n');
    }
    text
}
