//! Converts shell provisioners to scripts of the project.

use std::collections::{BTreeMap, BTreeSet};

use packer_import::{Block, Place, Setting, Text, TextPart, Value};

use super::files::upload_script;
use super::provisioners::{MAX_SCRIPTS, Provisioned, report_other_options, report_path};
use super::shell::{self, Execution, Scanner};
use super::{BuildContext, Notes, PackerPath, PathKind, Script, ScriptRole, expression, variable_name};

/// A script in its order, before the names of its variables are known.
#[derive(Debug)]
pub(super) struct RawScript {
    name: String,
    pub(super) origin: ScriptOrigin,
    place: Place,
    environment: Vec<(String, Text)>,
    execution: Execution,
    exit_codes: Vec<i64>,
}

#[derive(Debug)]
pub(super) enum ScriptOrigin {
    /// A file, and how the template names it.
    File {
        content: Vec<u8>,
        from: String,
    },
    /// Commands of the template, and the interpreter.
    Inline {
        lines: Vec<Text>,
        shebang: String,
    },
    /// Puts uploaded files into their place.
    Upload(usize),
    Generated(String),
}

impl RawScript {
    pub(super) fn mentions(&self, path: &str) -> bool {
        match &self.origin {
            ScriptOrigin::File { content, .. } => {
                content.windows(path.len()).take(MAX_SEARCHED_BYTES).any(|part| part == path.as_bytes())
            }
            origin => origin.literals().contains(path),
        }
    }
}

impl ScriptOrigin {
    /// The text of the script without references.
    fn literals(&self) -> String {
        match self {
            Self::File { content, .. } => String::from_utf8_lossy(content).into_owned(),
            Self::Inline { lines, .. } => {
                let literal = |part: &TextPart| match part {
                    TextPart::Literal(text) => text.clone(),
                    _ => " ".to_owned(),
                };
                lines.iter().flat_map(|line| line.parts().iter().map(literal).chain(["\n".to_owned()])).collect()
            }
            Self::Upload(_) | Self::Generated(_) => String::new(),
        }
    }
}

/// How much of a script is searched for a path.
const MAX_SEARCHED_BYTES: usize = 64 << 10;

const ENVIRONMENT_HELP: &str = "write it under `environment:` by hand";
const INLINE_HELP: &str = "write the commands into a script under scripts/";

impl Provisioned {
    pub(super) fn add_scripts(&mut self, block: &Block, build: &BuildContext<'_>, notes: &mut Notes) {
        const KNOWN: &[&str] = &[
            "inline", "inline_shebang", "script", "scripts", "environment_vars", "env", "execute_command",
            "valid_exit_codes",
        ];
        report_other_options(block, KNOWN, notes);
        let first = self.raw.len();
        if let Some(inline) = block.get("inline") {
            self.add_inline(block, inline, notes);
        }
        let scripts = block.get("scripts").into_iter().chain(block.get("script"));
        for (setting, value) in scripts.flat_map(|found| found.value.items().iter().map(move |value| (found, value))) {
            let expanded = value.text().map(|text| build.values.expand(&text));
            match expanded.as_ref().and_then(Text::path) {
                Some((folder, path)) => self.add_script(&PackerPath { folder, path }, setting, build, notes),
                None => {
                    let unsupported = value.unsupported().map(str::to_owned);
                    let written = unsupported.or_else(|| expanded.as_ref().map(expression)).unwrap_or_default();
                    let message = format!("the script `{written}` is not a plain path");
                    notes.not_converted(setting.place, "scripts", message, "put it under scripts/ by hand");
                }
            }
            if self.raw.len() > MAX_SCRIPTS {
                return;
            }
        }
        if first == self.raw.len() {
            return;
        }
        let environment = environment(block, build, notes);
        let execution = execution(block, build, notes);
        let exit_codes = exit_codes(block, notes);
        for script in &mut self.raw[first..] {
            script.environment.clone_from(&environment);
            script.execution.clone_from(&execution);
            script.exit_codes.clone_from(&exit_codes);
        }
    }

    /// Adds a script with the number of the one before it.
    pub(super) fn push_script(&mut self, kind: &str, origin: ScriptOrigin, place: Place) {
        let number = self.raw.last().and_then(|script| leading_number(&script.name)).unwrap_or(0);
        self.push_named(&format!("{number:02}-{kind}.sh"), origin, place);
    }

    fn push_named(&mut self, name: &str, origin: ScriptOrigin, place: Place) {
        let name = self.free_name(name);
        self.raw.push(RawScript {
            name,
            origin,
            place,
            environment: Vec::new(),
            execution: Execution::Direct,
            exit_codes: Vec::new(),
        });
    }

    fn free_name(&mut self, name: &str) -> String {
        let (stem, ending) =
            name.rsplit_once('.').map_or((name, String::new()), |(stem, ending)| (stem, format!(".{ending}")));
        let others = (2..).map(|number| format!("{stem}-{number}{ending}"));
        let free = std::iter::once(name.to_owned()).chain(others).find(|name| !self.names.contains(name));
        let free = free.unwrap_or_default();
        self.names.insert(free.clone());
        free
    }

    fn add_inline(&mut self, block: &Block, inline: &Setting, notes: &mut Notes) {
        let items = inline.value.items();
        let lines: Option<Vec<Text>> = items.iter().map(Value::text).collect();
        let Some(lines) = lines else {
            let written = inline.value.unsupported().unwrap_or("a value of the wrong type");
            let message = format!("the commands cannot be converted: {written}");
            return notes.not_converted(inline.place, "inline", message, INLINE_HELP);
        };
        let is_local = |part: &TextPart| matches!(part, TextPart::Timestamp | TextPart::Directory(_));
        if lines.iter().any(|line| line.parts().iter().any(is_local)) {
            let message = "the commands use a timestamp or a directory of this machine";
            return notes.not_converted(inline.place, "inline", message, INLINE_HELP);
        }
        // Only whole lines without references can be a wait.
        let plain: Option<Vec<String>> = lines.iter().map(|line| line.plain().map(str::to_owned)).collect();
        let lines = match plain {
            Some(plain) if !plain.iter().any(|line| line.contains("<<")) => {
                let plain = plain.iter().flat_map(|text| text.split('\n')).map(str::to_owned).collect();
                let (kept, removed) = shell::without_waits(plain, self.raw.is_empty());
                report_waits(&removed, inline.place, notes);
                kept.into_iter().map(Text::literal).collect()
            }
            _ => {
                let mut kept = Vec::new();
                for line in lines {
                    if line.plain().is_some_and(shell::is_cloud_init_wait) {
                        report_waits(&[line.plain().unwrap_or_default().to_owned()], inline.place, notes);
                    } else {
                        kept.push(line);
                    }
                }
                kept
            }
        };
        let is_empty = |line: &Text| line.plain().is_some_and(|text| text.trim().is_empty());
        if lines.iter().all(is_empty) {
            return;
        }
        let shebang = block.get("inline_shebang").and_then(|found| found.value.text());
        let shebang = shebang.as_ref().and_then(Text::plain).unwrap_or("/bin/sh -e").to_owned();
        self.push_script("inline", ScriptOrigin::Inline { lines, shebang }, inline.place);
        self.note_run();
    }

    /// Remembers whether files may still be in place before the scripts so far.
    fn note_run(&mut self) {
        let Some(script) = self.raw.last() else { return };
        if matches!(script.origin, ScriptOrigin::Inline { .. }) && shell::leaves_files_alone(&script.origin.literals())
        {
            self.before = Some(script.name.clone());
        } else {
            self.has_run = true;
        }
    }

    fn add_script(&mut self, path: &PackerPath, setting: &Setting, build: &BuildContext<'_>, notes: &mut Notes) {
        let found = build.files.find(path);
        notes.beside_template(&found, "script", &path.path, setting.place);
        if !matches!(found.kind, PathKind::File { .. }) {
            return report_path(&found.kind, "script", &path.path, setting.place, notes);
        }
        let content = match build.files.read(path) {
            Ok(content) => content,
            Err(reason) => return report_path(&PathKind::Unusable(reason), "script", &path.path, setting.place, notes),
        };
        self.bytes += content.len() as u64;
        let name = path.path.rsplit('/').next().unwrap_or_default();
        self.push_named(name, ScriptOrigin::File { content, from: path.path.clone() }, setting.place);
        self.note_run();
    }

    /// Gives the scripts their roles, variables and final text.
    pub(super) fn finish_scripts(&mut self, build: &BuildContext<'_>, notes: &mut Notes) {
        let raw = std::mem::take(&mut self.raw);
        let roles = roles(&raw, notes);
        let literals: Vec<String> = raw.iter().map(|script| script.origin.literals()).collect();
        let names = environment_names(&raw, &literals);
        for ((mut script, role), text) in raw.into_iter().zip(roles).zip(&literals) {
            for (name, value) in
                [("PACKER_BUILD_NAME", &build.build_name), ("PACKER_BUILDER_TYPE", &build.builder_type)]
            {
                if text.contains(name) {
                    script.environment.insert(0, (name.to_owned(), Text::literal(value.clone())));
                }
            }
            let own: Vec<String> = script.environment.iter().map(|(name, _)| name.clone()).collect();
            let mut exports = self.merge_environment(std::mem::take(&mut script.environment));
            let (content, mut changes) = match script.origin {
                ScriptOrigin::File { content, .. } => {
                    let (content, removed) = without_cloud_init_waits(content);
                    (
                        content,
                        if removed {
                            vec!["it does not wait for cloud-init, which has done its work".to_owned()]
                        } else {
                            Vec::new()
                        },
                    )
                }
                ScriptOrigin::Inline { lines, shebang } => {
                    let mut body = format!("#!{shebang}\n").into_bytes();
                    let (text, used) = inline_text(&lines, &names, build, script.place, notes);
                    for name in used {
                        let value = TextPart::Variable(name.clone()).into();
                        self.environment.insert(names.get(&name).cloned().unwrap_or(name), value);
                    }
                    body.extend(text.into_bytes());
                    (body, Vec::new())
                }
                ScriptOrigin::Upload(number) => (upload_script(number).into_bytes(), Vec::new()),
                ScriptOrigin::Generated(text) => (text.into_bytes(), Vec::new()),
            };
            if std::str::from_utf8(&content).is_ok_and(shell::waits_for_cloud_init) {
                let message = format!("`{}` waits for cloud-init, which waits for the script", script.name);
                notes.not_converted(
                    script.place,
                    "scripts",
                    message,
                    "remove the wait: scripts start when cloud-init is done",
                );
            }
            let is_wrapped =
                matches!(script.execution, Execution::Command(_)) || !matches!(script.exit_codes.as_slice(), [] | [0]);
            if !is_wrapped && std::str::from_utf8(&content).is_ok_and(shell::uses_directory) {
                exports.push("cd /root || exit".to_owned());
            }
            let (mut content, more) = adapt_script(&content, &exports, &script.execution);
            changes.extend(more);
            if is_wrapped {
                match String::from_utf8(content) {
                    Ok(text) => {
                        let execution = if matches!(script.execution, Execution::Command(_)) {
                            &script.execution
                        } else {
                            &Execution::Direct
                        };
                        content = shell::wrap(&text, execution, &own, &script.exit_codes).into_bytes();
                        changes.push(
                            "it runs with `execute_command` and `valid_exit_codes` of the Packer template".to_owned(),
                        );
                    }
                    Err(error) => {
                        content = error.into_bytes();
                        let message = format!("`{}` is not UTF-8, and runs without `execute_command`", script.name);
                        notes.not_converted(
                            script.place, "execute_command", message, "do the same in the script itself",
                        );
                    }
                }
            }
            self.scripts.push(Script { to: format!("scripts/{}", script.name), content, role, changes });
        }
    }

    /// Adds the environment of a script. Returns lines for the script where a value differs from that of another one.
    fn merge_environment(&mut self, pairs: Vec<(String, Text)>) -> Vec<String> {
        let mut exports = Vec::new();
        for (name, value) in pairs {
            match self.environment.get(&name) {
                Some(known) if *known == value => {}
                None => {
                    self.environment.insert(name, value);
                }
                Some(_) => {
                    let is_free = |other: &String| self.environment.get(other).is_none_or(|known| *known == value);
                    let other = (2..=MAX_SCRIPTS + 2)
                        .map(|number| format!("{name}_{number}"))
                        .find(is_free)
                        .unwrap_or_default();
                    exports.push(format!("export {name}=\"${{{other}}}\""));
                    self.environment.insert(other, value);
                }
            }
        }
        exports
    }
}

fn report_waits(removed: &[String], place: Place, notes: &mut Notes) {
    for line in removed {
        let message = format!("`{}` is not needed: scripts start when cloud-init is done", line.trim());
        notes.not_needed(place, "inline", message);
    }
}

/// The environment of a provisioner, with the last value of each variable.
fn environment(block: &Block, build: &BuildContext<'_>, notes: &mut Notes) -> Vec<(String, Text)> {
    let mut pairs: BTreeMap<String, Text> = BTreeMap::new();
    let mut add = |name: &str, value: Option<Text>, written: String, setting: &Setting, notes: &mut Notes| match value {
        Some(value) if build.values.expand(&value).has_timestamp() => {
            let message = format!("{name} was left out: a timestamp is possible in the snapshot's name only");
            notes.not_converted(setting.place, &setting.name, message, "set it in the scripts");
        }
        Some(value) => {
            pairs.insert(name.to_owned(), value);
        }
        None => {
            let message = format!("the value of {name} cannot be converted: {written}");
            notes.not_converted(setting.place, &setting.name, message, ENVIRONMENT_HELP);
        }
    };
    if let Some(list) = block.get("environment_vars") {
        for value in list.value.items() {
            let written = value.unsupported().unwrap_or("a value of the wrong type").to_owned();
            let Some(text) = value.text() else {
                add("a variable", None, written, list, notes);
                continue;
            };
            match split_assignment(&text) {
                Some((name, value)) => add(&name, Some(value), written, list, notes),
                None => {
                    let message = format!("`{}` is not written as NAME=VALUE", expression(&text));
                    notes.not_converted(list.place, "environment_vars", message, ENVIRONMENT_HELP);
                }
            }
        }
    }
    match block.get("env") {
        Some(env @ Setting { value: Value::Map(entries), .. }) => {
            for (name, value) in entries {
                add(
                    name,
                    value.text(),
                    value.unsupported().unwrap_or("a value of the wrong type").to_owned(),
                    env,
                    notes,
                );
            }
        }
        Some(env) => {
            let written = env.value.unsupported().unwrap_or("a value of the wrong type").to_owned();
            add("a variable", None, written, env, notes);
        }
        None => {}
    }
    pairs.into_iter().collect()
}

fn execution(block: &Block, build: &BuildContext<'_>, notes: &mut Notes) -> Execution {
    let Some(option) = block.get("execute_command") else { return Execution::Direct };
    // `{{.Path}}` is not for the reader of the template.
    let written = match &option.value {
        Value::Text(text) => {
            build.values.expand(text).parts().iter().try_fold(String::new(), |before, part| match part {
                TextPart::Literal(text) | TextPart::Unsupported(text) => Some(before + text),
                _ => None,
            })
        }
        _ => None,
    };
    let Some(written) = written else {
        let message = "the value of `execute_command` cannot be converted";
        notes.not_converted(option.place, "execute_command", message, "do the same in the script itself");
        return Execution::Direct;
    };
    let execution = Execution::parse(&written);
    match &execution {
        Execution::Direct => {
            let message = "`execute_command` is not needed: the droplet runs its scripts itself, as root";
            notes.not_needed(option.place, "execute_command", message);
        }
        Execution::Interpreter(interpreter) => {
            let message = format!("the scripts begin with `#!{interpreter}`, with which `execute_command` runs them");
            notes.adapted(option.place, "execute_command", message);
        }
        Execution::Command(_) => {
            let message = "each script is now in a script that runs it with `execute_command`";
            notes.adapted(option.place, "execute_command", message);
        }
    }
    execution
}

fn exit_codes(block: &Block, notes: &mut Notes) -> Vec<i64> {
    let Some(option) = block.get("valid_exit_codes") else { return Vec::new() };
    let code = |value: &Value| value.text()?.plain()?.parse().ok();
    let codes: Option<Vec<i64>> = option.value.items().iter().map(code).collect();
    codes.unwrap_or_else(|| {
        let message = "`valid_exit_codes` is not a list of numbers";
        notes.not_converted(option.place, "valid_exit_codes", message, "do the same in the script itself");
        Vec::new()
    })
}

/// Decides which scripts clean up and check the image. Others keep their order.
fn roles(raw: &[RawScript], notes: &mut Notes) -> Vec<ScriptRole> {
    let mut roles = vec![ScriptRole::Build; raw.len()];
    let is_check = |script: &RawScript| match &script.origin {
        ScriptOrigin::File { content, .. } => is_image_check(&String::from_utf8_lossy(content)),
        _ => false,
    };
    let is_cleanup = |script: &RawScript| {
        let ScriptOrigin::File { from, .. } = &script.origin else { return false };
        let name = from.rsplit('/').next().unwrap_or_default().to_lowercase();
        name.contains("cleanup") || name.contains("clean-up") || name.contains("clean_up")
    };
    if let Some(check) = raw.iter().rposition(is_check) {
        roles[check] = ScriptRole::Check;
        if let Some(last) = raw.get(check + 1..).and_then(<[_]>::last) {
            let message =
                format!("`{}` is the image check: it runs after `{}` now, at the end", raw[check].name, last.name);
            notes.adapted(raw[check].place, "scripts", message);
        }
    }
    let last = roles.iter().rposition(|role| *role == ScriptRole::Build);
    if let Some(cleanup) = raw.iter().rposition(is_cleanup) {
        if last == Some(cleanup) {
            roles[cleanup] = ScriptRole::Cleanup;
        } else if let Some(last) = last.filter(|last| *last > cleanup) {
            let message = format!(
                "`{}` is under `scripts:`, not `cleanup:`, because `{}` runs after it",
                raw[cleanup].name, raw[last].name
            );
            notes.adapted(raw[cleanup].place, "scripts", message);
        }
    }
    roles
}

/// Whether a script is DigitalOcean's image check or one with the same output.
fn is_image_check(script: &str) -> bool {
    script.contains("Marketplace Image Validation Tool")
        || ["[PASS]", "[WARN]", "[FAIL]"].iter().all(|mark| script.contains(mark))
}

/// Names in the environment for the variables that commands refer to: their own, unless a script uses it otherwise.
fn environment_names(raw: &[RawScript], literals: &[String]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut taken: BTreeSet<String> =
        raw.iter().flat_map(|script| script.environment.iter().map(|(name, _)| name.clone())).collect();
    let used: BTreeSet<&str> = literals.iter().flat_map(|text| shell::variables(text)).collect();
    for script in raw {
        let ScriptOrigin::Inline { lines, .. } = &script.origin else { continue };
        for part in lines.iter().flat_map(Text::parts) {
            let (TextPart::Variable(variable) | TextPart::Environment(variable)) = part else { continue };
            if names.contains_key(variable) {
                continue;
            }
            let name = variable_name(variable);
            let is_same = |value: &Text| matches!(value.parts(), [TextPart::Variable(other)] if other == variable);
            let is_set_otherwise = raw
                .iter()
                .flat_map(|script| &script.environment)
                .any(|(other, value)| *other == name && !is_same(value));
            let is_used = used.contains(name.as_str());
            // Programs read such names.
            let is_known = !name.chars().any(|c| c.is_ascii_lowercase()) || name.ends_with("_proxy");
            let name = if is_set_otherwise || is_used || is_known { format!("packer_{name}") } else { name };
            let mut free = name.clone();
            let mut number = 2;
            while taken.contains(&free) && (free != variable_name(variable) || is_set_otherwise) {
                free = format!("{name}_{number}");
                number += 1;
            }
            taken.insert(free.clone());
            names.insert(variable.clone(), free);
        }
    }
    names
}

/// Shell text while it is written.
#[derive(Debug, Default)]
struct ShellText {
    text: String,
    scanner: Scanner,
    /// Whether a single quote must follow, unless one does already.
    needs_quote: bool,
}

impl ShellText {
    fn push(&mut self, text: &str) {
        self.scanner.read(text);
        let mut text = text;
        if std::mem::take(&mut self.needs_quote) {
            match text.strip_prefix('\'') {
                Some(rest) => text = rest,
                None => self.text.push('\''),
            }
        }
        self.text.push_str(text);
    }

    /// Writes a text outside of the single quotes that are open.
    fn push_unquoted(&mut self, text: &str) {
        if !self.needs_quote && self.text.ends_with('\'') {
            self.text.pop();
        } else if !self.needs_quote {
            self.text.push('\'');
        }
        self.text.push_str(text);
        self.needs_quote = true;
    }

    fn finish(mut self) -> String {
        if self.needs_quote {
            self.text.push('\'');
        }
        self.text
    }
}

/// Writes commands with their references, so that the shell sees what it sees with Packer. Returns the variables that
/// it needs.
fn inline_text(
    lines: &[Text],
    names: &BTreeMap<String, String>,
    build: &BuildContext<'_>,
    place: Place,
    notes: &mut Notes,
) -> (String, BTreeSet<String>) {
    let mut text = ShellText::default();
    let mut used = BTreeSet::new();
    for line in lines {
        for part in line.parts() {
            let variable = match part {
                TextPart::Literal(literal) | TextPart::Unsupported(literal) => {
                    text.push(literal);
                    continue;
                }
                TextPart::Variable(name) | TextPart::Environment(name) => name,
                // Refused before.
                TextPart::Timestamp | TextPart::Directory(_) => continue,
            };
            let value = match part {
                TextPart::Variable(name) => build.values.plain(name),
                _ => None,
            };
            let around = text.scanner.context();
            let is_after_mark = text.scanner.is_after_mark();
            let is_exact = value.as_ref().is_none_or(|value| {
                !is_after_mark
                    && match &around {
                        shell::Context::Plain { is_command, is_assigned } => {
                            let is_one_word = !value.contains(' ');
                            shell::is_plain(value)
                                && (is_one_word || !is_command && !is_assigned)
                                && !(*is_command && (value.is_empty() || value.contains('=')))
                        }
                        shell::Context::SingleQuotes => !value.contains('\''),
                        shell::Context::DoubleQuotes => !value.contains(['"', '$', '`', '\\']),
                        shell::Context::Document => !value.contains(['$', '`', '\\']),
                        shell::Context::Comment | shell::Context::QuotedDocument => false,
                    }
            });
            let name = names.get(variable).cloned().unwrap_or_else(|| variable_name(variable));
            match (&around, value) {
                (_, Some(value)) if !is_exact => {
                    if around != shell::Context::Comment {
                        let message = format!(
                            "the value of `{variable}` is written into the commands: a variable would mean something else there"
                        );
                        notes.adapted(place, "inline", message);
                    }
                    text.push(&value);
                }
                (shell::Context::QuotedDocument, None) => {
                    let message = format!("`{variable}` is in a here-document in which a shell expands nothing");
                    notes.not_converted(
                        place,
                        "inline",
                        message,
                        "do not quote its delimiter, and escape the other `$`",
                    );
                    text.push(&format!("${{{name}}}"));
                }
                (shell::Context::Comment, None) => text.push(&format!("${{{name}}}")),
                (shell::Context::SingleQuotes, _) => {
                    text.push_unquoted(&format!("\"${{{name}}}\""));
                    used.insert(variable.clone());
                }
                _ => {
                    text.push(&format!("${{{name}}}"));
                    used.insert(variable.clone());
                }
            }
        }
        text.push("\n");
    }
    (text.finish(), used)
}

/// Returns the number at the beginning of a script's name.
fn leading_number(name: &str) -> Option<u32> {
    let digits: String = name.chars().take_while(char::is_ascii_digit).take(6).collect();
    digits.parse().ok()
}

/// Splits `NAME=VALUE`.
fn split_assignment(text: &Text) -> Option<(String, Text)> {
    let (first, rest) = text.parts().split_first()?;
    let TextPart::Literal(first) = first else { return None };
    let (name, begin) = first.split_once('=')?;
    if !shell::is_name(name) {
        return None;
    }
    let mut value = Text::literal(begin);
    for part in rest {
        value.push(part.clone());
    }
    Some((name.to_owned(), value))
}

/// Replaces lines that only wait for cloud-init by `true`.
fn without_cloud_init_waits(content: Vec<u8>) -> (Vec<u8>, bool) {
    let Ok(text) = std::str::from_utf8(&content) else { return (content, false) };
    if !text.lines().any(shell::is_cloud_init_wait) {
        return (content, false);
    }
    let adapt =
        |line: &str| if shell::is_cloud_init_wait(line.trim_end()) { "true\n".to_owned() } else { line.to_owned() };
    (text.split_inclusive('\n').map(adapt).collect::<String>().into_bytes(), true)
}

/// Makes the changes to a script that Packer makes when it uploads and runs it. Returns the script and a description of
/// the changes.
///
/// Packer converts CR LF to LF, and the login shell of root, bash, runs scripts without `#!`; mkimg refuses both.
/// `lines` are inserted after the first line.
fn adapt_script(content: &[u8], lines: &[String], execution: &Execution) -> (Vec<u8>, Vec<String>) {
    let mut changes = Vec::new();
    let mut text = content.to_vec();
    if text.windows(2).any(|pair| pair == b"\r\n") {
        text = without_carriage_returns(&text);
        changes.push("its lines end with LF now".to_owned());
    }
    if !text.starts_with(b"#!") {
        text = [b"#!/bin/bash\n".as_slice(), &text].concat();
        changes.push("it begins with `#!/bin/bash` now".to_owned());
    }
    if let Execution::Interpreter(interpreter) = execution {
        let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
        if text[2..end].trim_ascii() != interpreter.as_bytes() {
            text.splice(2..end, interpreter.bytes());
            changes.push(format!("it begins with `#!{interpreter}` now, as `execute_command` says"));
        }
    }
    if !lines.is_empty() {
        let first = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
        let mut inserted = lines.join("\n") + "\n";
        if !text[..first].ends_with(b"\n") {
            inserted.insert(0, '\n');
        }
        text.splice(first..first, inserted.into_bytes());
        if lines.iter().any(|line| line.starts_with("export ")) {
            changes.push("it exports variables whose values differ from those of other scripts".to_owned());
        }
        if lines.iter().any(|line| line.starts_with("cd ")) {
            changes.push("it begins in /root, as with Packer".to_owned());
        }
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
    fn assignments_are_split() {
        let (name, value) = split_assignment(&Text::literal("A=b=c")).unwrap();
        assert_eq!((name.as_str(), value.plain()), ("A", Some("b=c")));
        assert!(split_assignment(&Text::literal("no equals")).is_none());
        assert!(split_assignment(&Text::literal("1A=x")).is_none());
    }

    #[test]
    fn good_scripts_are_not_changed() {
        let direct = adapt_script(b"#!/bin/sh\ntrue\n", &[], &Execution::Direct);
        assert_eq!(direct, (b"#!/bin/sh\ntrue\n".to_vec(), vec![]));
    }

    #[test]
    fn scripts_are_adapted_as_by_packer() {
        let (text, changes) = adapt_script(b"true\r\nfalse\r", &["export A=\"${A_2}\"".to_owned()], &Execution::Direct);
        assert_eq!(String::from_utf8(text).unwrap(), "#!/bin/bash\nexport A=\"${A_2}\"\ntrue\nfalse\r");
        assert_eq!(changes.len(), 3);
        let (text, _) = adapt_script(b"#!/bin/sh\ntrue\n", &[], &Execution::Interpreter("/bin/bash -eux".to_owned()));
        assert_eq!(text, b"#!/bin/bash -eux\ntrue\n");
    }
}
