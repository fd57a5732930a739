//! Converts provisioners: files of the project, scripts in order, one environment.

use std::collections::BTreeMap;

use packer_import::{Block, Place, Setting, Template, Text, TextPart, Value};

use super::{Lookup, Notes, PathKind, expression, variable_name};

/// Files to copy into the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileCopy {
    /// A file, to a path of the project such as `files/etc/motd`.
    File { from: String, to: String },
    /// The contents of a directory, to a directory of the project.
    Directory { from: String, to: String },
    /// Text from the Packer template.
    Text { text: String, to: String },
}

/// A script of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its path in the project: `scripts/01-users.sh`.
    pub to: String,
    pub text: ScriptText,
    /// Lines to insert at the beginning, if its environment differs from that of the other scripts.
    pub exports: Vec<String>,
    pub role: ScriptRole,
}

/// Where the text of a script comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptText {
    /// A file, relative to the Packer template.
    File(String),
    Inline(String),
}

/// When a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptRole {
    Build,
    Cleanup,
    Check,
}

/// The result of all provisioners.
#[derive(Debug, Default)]
pub(super) struct Provisioned {
    pub files: Vec<FileCopy>,
    pub scripts: Vec<Script>,
    pub environment: BTreeMap<String, Text>,
    /// Destinations of the file trees, such as `/etc`.
    pub trees: Vec<String>,
}

/// Options that change how Packer runs a script, but not its effect.
const NOT_NEEDED: &[&str] = &[
    "binary", "execute_command", "expect_disconnect", "remote_file", "remote_folder", "remote_path",
    "remote_env_var_path", "skip_clean", "start_retry_timeout", "use_env_var_file", "env_var_format", "pause_before",
    "pause_after", "timeout", "max_retries",
];

const ENVIRONMENT_HELP: &str = "write it under `environment:` by hand";

pub(super) fn convert(packer: &Template, lookup: Lookup<'_>, notes: &mut Notes) -> Provisioned {
    let mut provisioned = Provisioned::default();
    for block in &packer.provisioners {
        provisioned.add(block, lookup, notes);
    }
    provisioned
}

impl Provisioned {
    fn add(&mut self, block: &Block, lookup: Lookup<'_>, notes: &mut Notes) {
        match block.kind.as_str() {
            "file" => self.add_files(block, lookup, notes),
            "shell" => self.add_scripts(block, lookup, notes),
            "breakpoint" | "sleep" => {
                notes.not_needed(block.place, "provisioners", format!("`{}` is not needed", block.kind));
            }
            other => {
                let message = format!("the provisioner `{other}` was left out");
                notes.not_converted(block.place, "provisioners", message, "do the same in a script under scripts/");
            }
        }
    }

    fn add_files(&mut self, block: &Block, lookup: Lookup<'_>, notes: &mut Notes) {
        const KNOWN: &[&str] = &["source", "sources", "destination", "content", "direction", "generated"];
        report_other_options(block, KNOWN, notes);
        if block
            .get("direction")
            .and_then(|found| found.value.text())
            .is_some_and(|text| text.plain() == Some("download"))
        {
            let message = "a download from the droplet was left out: a bake produces the snapshot only";
            let help = "print what you need in a script: the bake keeps its log";
            return notes.not_converted(block.place, "provisioners", message, help);
        }
        if !self.scripts.is_empty() {
            let message = "the files are now in place before the first script runs, not between two scripts";
            notes.adapted(block.place, "provisioners", message);
        }
        let destination = block.get("destination").and_then(|found| found.value.text());
        let Some(destination) = destination.as_ref().and_then(Text::plain) else {
            let message = "the destination is missing, or not a plain text";
            return notes.not_converted(block.place, "destination", message, "put the files under files/ by hand");
        };
        let Some(path) = normalize(destination) else {
            let message = format!("the destination `{destination}` is not an absolute path without `..`");
            return notes.not_converted(block.place, "destination", message, "put the files under files/ by hand");
        };
        let first = path.split('/').nth(1).unwrap_or_default();
        if matches!(first, "tmp" | "run" | "proc" | "sys" | "dev") {
            let message = format!("`{destination}` does not survive a reboot: mkimg puts no files there");
            let help = "choose another path, and change the scripts that use it";
            return notes.not_converted(block.place, "destination", message, help);
        }
        let in_project = |path: &str| format!("files{}", path.trim_end_matches('/'));
        if let Some(content) = block.get("content").and_then(|found| found.value.text()) {
            return match content.plain() {
                Some(text) => {
                    self.files.push(FileCopy::Text { text: text.to_owned(), to: in_project(&path) });
                    self.add_tree(&path, false);
                }
                None => notes.not_converted(
                    block.place,
                    "content",
                    "the content of the file refers to variables, which files cannot",
                    "write the file in a script",
                ),
            };
        }
        let sources = block.get("source").into_iter().chain(block.get("sources"));
        for source in sources.flat_map(|found| found.value.texts().unwrap_or_default()) {
            let Some(from) = source.path() else {
                let message = format!("the source `{}` is not a plain path", expression(&source));
                notes.not_converted(block.place, "source", message, "put the files under files/ by hand");
                continue;
            };
            let name = from.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
            let inside = format!("{}/{name}", path.trim_end_matches('/'));
            match lookup(&from) {
                PathKind::File => {
                    let to = if destination.ends_with('/') { inside } else { path.clone() };
                    self.add_tree(&to, false);
                    self.files.push(FileCopy::File { from, to: in_project(&to) });
                }
                // As in Packer: with a slash at the end, the contents of the directory; without,
                // the directory itself.
                PathKind::Directory => {
                    let is_contents = from.ends_with('/') || matches!(name.as_str(), "." | "..");
                    let to = if is_contents { path.clone() } else { inside };
                    self.add_tree(&to, true);
                    let from = from.trim_end_matches('/').to_owned();
                    self.files.push(FileCopy::Directory { from, to: in_project(&to) });
                }
                kind => report_path(&kind, "source", &from, block.place, notes),
            }
        }
    }

    /// Adds the destination of a tree: the first directory of a path, or the root for files
    /// directly in it.
    fn add_tree(&mut self, path: &str, is_directory: bool) {
        let mut parts = path.split('/').skip(1).filter(|part| !part.is_empty());
        let first = parts.next();
        let tree = match first {
            Some(first) if is_directory || parts.next().is_some() => format!("/{first}"),
            _ => "/".to_owned(),
        };
        if !self.trees.contains(&tree) {
            self.trees.push(tree);
        }
    }

    fn add_scripts(&mut self, block: &Block, lookup: Lookup<'_>, notes: &mut Notes) {
        const KNOWN: &[&str] = &["inline", "inline_shebang", "script", "scripts", "environment_vars", "env"];
        report_other_options(block, KNOWN, notes);
        let exports = self.add_environment(block, notes);
        if let Some(inline) = block.get("inline") {
            self.add_inline(block, inline, &exports, notes);
        }
        let scripts = block.get("script").into_iter().chain(block.get("scripts"));
        for script in scripts {
            let Some(paths) = script.value.texts() else {
                let message = "the scripts are not a list of plain paths";
                notes.not_converted(script.place, "scripts", message, "put them under scripts/ by hand");
                continue;
            };
            for path in paths {
                match path.path() {
                    Some(from) => match lookup(&from) {
                        PathKind::File => self.add_script(from, &exports, script, notes),
                        kind => report_path(&kind, "script", &from, script.place, notes),
                    },
                    None => {
                        let message = format!("`{}` is not a plain path", expression(&path));
                        notes.not_converted(script.place, "scripts", message, "put the script under scripts/ by hand");
                    }
                }
            }
        }
    }

    /// Adds the environment of a provisioner. Returns lines for its scripts where a value differs
    /// from an earlier one.
    fn add_environment(&mut self, block: &Block, notes: &mut Notes) -> Vec<String> {
        let mut pairs: Vec<(String, Text)> = Vec::new();
        if let Some(list) = block.get("environment_vars") {
            for text in list.value.texts().unwrap_or_else(|| {
                let message = "the environment cannot be converted";
                notes.not_converted(list.place, "environment_vars", message, ENVIRONMENT_HELP);
                Vec::new()
            }) {
                match split_assignment(&text) {
                    Some(pair) => pairs.push(pair),
                    None => {
                        let message = format!("`{}` is not written as NAME=VALUE", expression(&text));
                        notes.not_converted(list.place, "environment_vars", message, ENVIRONMENT_HELP);
                    }
                }
            }
        }
        if let Some(Setting { value: Value::Map(entries), place, .. }) = block.get("env") {
            for (name, value) in entries {
                match value.text() {
                    Some(text) => pairs.push((name.clone(), text)),
                    None => {
                        let message = format!("the value of {name} cannot be converted");
                        notes.not_converted(*place, "env", message, ENVIRONMENT_HELP);
                    }
                }
            }
        }
        let mut exports = Vec::new();
        for (name, value) in pairs {
            match self.environment.get(&name) {
                Some(known) if *known == value => {}
                None => {
                    self.environment.insert(name, value);
                }
                Some(_) => {
                    let other = (2..1000)
                        .map(|n| format!("{name}_{n}"))
                        .find(|other| self.environment.get(other).is_none_or(|known| *known == value));
                    let other = other.unwrap_or_default();
                    exports.push(format!("export {name}=\"${{{other}}}\""));
                    self.environment.insert(other, value);
                }
            }
        }
        exports
    }

    fn add_inline(&mut self, block: &Block, inline: &Setting, exports: &[String], notes: &mut Notes) {
        let Some(lines) = inline.value.texts() else {
            let written = inline.value.unsupported().unwrap_or("a value of the wrong type");
            let message = format!("the commands cannot be converted: {written}");
            return notes.not_converted(inline.place, "inline", message, "write them into a script under scripts/");
        };
        let is_local = |part: &TextPart| matches!(part, TextPart::Timestamp | TextPart::Directory);
        if lines.iter().any(|line| line.parts().iter().any(is_local)) {
            let message = "the commands use a timestamp or a directory of this machine";
            return notes.not_converted(inline.place, "inline", message, "write them into a script under scripts/");
        }
        let mut body = String::new();
        for line in &lines {
            let text = shell_text(line);
            if is_wait(&text) {
                let message = format!("`{}` is not needed: scripts start when cloud-init is done", text.trim());
                notes.not_needed(inline.place, "inline", message);
                continue;
            }
            for name in line.parts().iter().filter_map(referenced_variable) {
                if text.split('\'').skip(1).step_by(2).any(|quoted| quoted.contains(&format!("${{{name}}}"))) {
                    let message = format!("`{name}` is inside single quotes, where a shell does not expand it");
                    notes.not_converted(inline.place, "inline", message, "use double quotes in the script");
                }
                self.environment.entry(name.clone()).or_insert_with(|| TextPart::Variable(name).into());
            }
            body.push_str(&text);
            body.push('\n');
        }
        if body.trim().is_empty() {
            return;
        }
        let shebang = block.get("inline_shebang").and_then(|found| found.value.text());
        let shebang = shebang.as_ref().and_then(Text::plain).unwrap_or("/bin/sh -e");
        let text = format!("#!{shebang}\n{body}");
        let number = self.scripts.last().and_then(|script| leading_number(&script.to)).unwrap_or(0);
        let to = self.free_name(&format!("{number:02}-inline.sh"));
        self.scripts.push(Script {
            to,
            text: ScriptText::Inline(text),
            exports: exports.to_vec(),
            role: ScriptRole::Build,
        });
    }

    fn add_script(&mut self, from: String, exports: &[String], setting: &Setting, notes: &mut Notes) {
        let name = from.rsplit('/').next().unwrap_or_default().to_owned();
        let lower = name.to_lowercase();
        let is_check = lower.contains("img") && lower.contains("check");
        let role = match () {
            () if is_check => ScriptRole::Check,
            () if lower.contains("cleanup") || lower.contains("clean-up") => ScriptRole::Cleanup,
            () => ScriptRole::Build,
        };
        if role != ScriptRole::Build && self.scripts.iter().any(|script| script.role == role) {
            let message = format!("there is a script for cleanup or check already: `{from}` was left out");
            return notes.not_converted(setting.place, "scripts", message, "put both into one file");
        }
        if role == ScriptRole::Build && self.scripts.iter().any(|script| script.role != ScriptRole::Build) {
            let message = format!("`{name}` now runs before cleanup and check, which always come last");
            notes.adapted(setting.place, "scripts", message);
        }
        let to = self.free_name(&name);
        self.scripts.push(Script { to, text: ScriptText::File(from), exports: exports.to_vec(), role });
    }

    fn free_name(&self, name: &str) -> String {
        let taken = |path: &str| self.scripts.iter().any(|script| script.to == path);
        let (stem, ending) =
            name.rsplit_once('.').map_or((name, String::new()), |(stem, ending)| (stem, format!(".{ending}")));
        let first = format!("scripts/{name}");
        if !taken(&first) {
            return first;
        }
        (2..1000).map(|n| format!("scripts/{stem}-{n}{ending}")).find(|path| !taken(path)).unwrap_or(first)
    }
}

/// Reports that a path of the template is not copied. `what`: `source` or `script`.
fn report_path(kind: &PathKind, what: &str, path: &str, place: Place, notes: &mut Notes) {
    let (reason, help) = match kind {
        PathKind::Outside => (
            "is outside the template's directory, and was not copied",
            "if the image needs it: --allow PATH, or --base DIR for a directory that contains the template",
        ),
        PathKind::Unusable(reason) => (reason.as_str(), "remove it from the template, or create it in a script"),
        PathKind::Directory => ("is a directory", "name each script"),
        PathKind::Missing | PathKind::File => ("does not exist", "Packer fails on it too"),
    };
    let key = if what == "script" { "scripts" } else { what };
    notes.not_converted(place, key, format!("the {what} `{path}` {reason}"), help);
}

/// Reports all options that are not among the known ones.
fn report_other_options(block: &Block, known: &[&str], notes: &mut Notes) {
    for option in block.options.iter().filter(|option| !known.contains(&option.name.as_str())) {
        let name = option.name.as_str();
        if NOT_NEEDED.contains(&name) {
            let message = format!("`{name}` is not needed: the droplet runs its scripts itself, as root, once");
            notes.not_needed(option.place, name, message);
        } else {
            let message = format!("`{name}` has no counterpart in mkimg, and was left out");
            notes.not_converted(option.place, name, message, "do the same in the script itself");
        }
    }
}

/// Returns an absolute path without `.`, `..` and empty parts.
fn normalize(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.contains(&"..")).then(|| format!("/{}", parts.join("/")))
}

/// Writes a text as a part of a shell script, which finds the variables in its environment.
fn shell_text(text: &Text) -> String {
    let part = |part: &TextPart| match part {
        TextPart::Literal(text) | TextPart::Unsupported(text) => text.clone(),
        TextPart::Variable(name) | TextPart::Environment(name) => format!("${{{}}}", variable_name(name)),
        // Refused before a script is written.
        TextPart::Timestamp | TextPart::Directory => String::new(),
    };
    text.parts().iter().map(part).collect()
}

fn referenced_variable(part: &TextPart) -> Option<String> {
    match part {
        TextPart::Variable(name) | TextPart::Environment(name) => Some(variable_name(name)),
        _ => None,
    }
}

/// Returns the number at the beginning of a script's name.
fn leading_number(path: &str) -> Option<u32> {
    let name = path.rsplit('/').next()?;
    let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Returns whether a command only waits for cloud-init or sleeps.
fn is_wait(line: &str) -> bool {
    let words: Vec<&str> =
        line.split_whitespace().filter(|word| !matches!(*word, "sudo" | "||" | "true" | "--long")).collect();
    let program = words.first().map(|first| first.rsplit('/').next().unwrap_or(first));
    match (program, &words[1.min(words.len())..]) {
        (Some("cloud-init"), ["status", "--wait"]) => true,
        (Some("sleep"), [time]) => time.chars().all(|c| c.is_ascii_digit() || matches!(c, 's' | 'm' | '.')),
        _ => line.contains("boot-finished") && line.contains("sleep"),
    }
}

/// Splits `NAME=VALUE`.
fn split_assignment(text: &Text) -> Option<(String, Text)> {
    let (first, rest) = text.parts().split_first()?;
    let TextPart::Literal(first) = first else { return None };
    let (name, begin) = first.split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return None;
    }
    let mut value = Text::default();
    value.push(TextPart::Literal(begin.to_owned()));
    for part in rest {
        value.push(part.clone());
    }
    Some((name.to_owned(), value))
}

/// Makes the changes to a script that Packer makes when it uploads it. Returns the script and a
/// description of the changes.
///
/// Packer converts CR LF to LF, and a shell runs scripts without `#!`; mkimg refuses both.
/// `exports` are inserted after the first line.
#[must_use]
pub fn adapt_script(content: &[u8], exports: &[String]) -> (Vec<u8>, Vec<&'static str>) {
    let mut changes = Vec::new();
    let mut text = content.to_vec();
    if text.windows(2).any(|pair| pair == b"\r\n") {
        text = without_carriage_returns(&text);
        changes.push("its lines end with LF now");
    }
    if !text.starts_with(b"#!") {
        text = [b"#!/bin/sh\n".as_slice(), &text].concat();
        changes.push("it begins with `#!/bin/sh` now");
    }
    if !exports.is_empty() {
        let first = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
        let mut lines = exports.join("\n") + "\n";
        if !text[..first].ends_with(b"\n") {
            lines.insert(0, '\n');
        }
        text.splice(first..first, lines.into_bytes());
        changes.push("it exports variables whose values differ from those of other scripts");
    }
    (text, changes)
}

fn without_carriage_returns(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for (index, byte) in text.iter().enumerate() {
        if *byte != b'\r' || text.get(index + 1) != Some(&b'\n') {
            out.push(*byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalized() {
        assert_eq!(normalize("/etc//x/./").as_deref(), Some("/etc/x"));
        assert_eq!(normalize("/").as_deref(), Some("/"));
        assert_eq!(normalize("/a/../b"), None);
        assert_eq!(normalize("etc"), None);
    }

    #[test]
    fn waits_are_recognized() {
        for line in
            ["cloud-init status --wait", "sudo /usr/bin/cloud-init status --wait || true", "sleep 30", "sleep 1m"]
        {
            assert!(is_wait(line), "{line}");
        }
        for line in ["sleep 5 && reboot", "cloud-init clean", "echo sleep", ""] {
            assert!(!is_wait(line), "{line}");
        }
    }

    #[test]
    fn assignments_are_split() {
        let (name, value) = split_assignment(&Text::literal("A=b=c")).unwrap();
        assert_eq!((name.as_str(), value.plain()), ("A", Some("b=c")));
        assert!(split_assignment(&Text::literal("no equals")).is_none());
        assert!(split_assignment(&Text::literal("1A=x")).is_none());
    }

    #[test]
    fn a_text_becomes_shell() {
        let mut text = Text::literal("v");
        text.push(TextPart::Variable("the-version".into()));
        text.push(TextPart::Literal("-x".into()));
        assert_eq!(expression(&text), "v{{ the_version }}-x");
        assert_eq!(shell_text(&text), "v${the_version}-x");
    }

    #[test]
    fn good_scripts_are_not_changed() {
        assert_eq!(adapt_script(b"#!/bin/sh\ntrue\n", &[]), (b"#!/bin/sh\ntrue\n".to_vec(), vec![]));
    }

    #[test]
    fn scripts_are_adapted_as_by_packer() {
        let (text, changes) = adapt_script(b"true\r\nfalse\r", &["export A=\"${A_2}\"".to_owned()]);
        assert_eq!(String::from_utf8(text).unwrap(), "#!/bin/sh\nexport A=\"${A_2}\"\ntrue\nfalse\r");
        assert_eq!(changes.len(), 3);
    }
}
