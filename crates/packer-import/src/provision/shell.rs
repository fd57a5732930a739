//! The provisioner `shell`: its scripts and commands become scripts of the project, its variables one environment.

use super::super::fault::Notes;
use super::super::packer::{Block, Setting, Value};
use super::super::text::{Piece, Text, variable_name};
use super::super::{Disk, OnDisk};
use super::{Provision, Role, Script, ScriptText, leftovers};

impl Provision {
    pub(super) fn shell(&mut self, block: &Block, disk: Disk<'_>, notes: &mut Notes) {
        const KNOWN: &[&str] = &["inline", "inline_shebang", "script", "scripts", "environment_vars", "env"];
        leftovers(block, KNOWN, notes);
        let exports = self.environment_of(block, notes);
        if let Some(inline) = block.get("inline") {
            self.inline(block, inline, &exports, notes);
        }
        let scripts = block.get("script").into_iter().chain(block.get("scripts"));
        for script in scripts {
            let Some(paths) = script.value.texts() else {
                let message = "the scripts are not a list of plain paths";
                notes.not_carried(script.place, "scripts", message, "put them under scripts/ by hand");
                continue;
            };
            for path in paths {
                match path.path() {
                    Some(from) if disk(&from) == OnDisk::File => self.script(from, &exports, script, notes),
                    Some(from) => {
                        let message = format!("the script `{from}` does not exist");
                        notes.not_carried(script.place, "scripts", message, "Packer fails on it too");
                    }
                    None => {
                        let message = format!("`{}` is not a plain path", path.expression());
                        notes.not_carried(script.place, "scripts", message, "put the script under scripts/ by hand");
                    }
                }
            }
        }
    }

    /// Takes a provisioner's environment; what differs from an earlier one's comes back as lines for its scripts.
    fn environment_of(&mut self, block: &Block, notes: &mut Notes) -> Vec<String> {
        let mut pairs: Vec<(String, Text)> = Vec::new();
        if let Some(list) = block.get("environment_vars") {
            for text in list.value.texts().unwrap_or_else(|| {
                let message = "the environment cannot be translated";
                notes.not_carried(list.place, "environment_vars", message, "write it under `environment:` by hand");
                Vec::new()
            }) {
                match split(&text) {
                    Some(pair) => pairs.push(pair),
                    None => {
                        let message = format!("`{}` is not written NAME=VALUE", text.expression());
                        notes.not_carried(
                            list.place,
                            "environment_vars",
                            message,
                            "write it under `environment:` by hand",
                        );
                    }
                }
            }
        }
        if let Some(Setting { value: Value::Map(entries), place, .. }) = block.get("env") {
            for (name, value) in entries {
                match value.text() {
                    Some(text) => pairs.push((name.clone(), text)),
                    None => notes.not_carried(
                        *place,
                        "env",
                        format!("the value of {name} cannot be translated"),
                        "write it under `environment:` by hand",
                    ),
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

    fn inline(&mut self, block: &Block, inline: &Setting, exports: &[String], notes: &mut Notes) {
        let Some(lines) = inline.value.texts() else {
            let written = inline.value.unknown().unwrap_or("a value of another kind");
            let message = format!("the commands cannot be translated: {written}");
            return notes.not_carried(inline.place, "inline", message, "write them into a script under scripts/");
        };
        if lines
            .iter()
            .any(|line| line.pieces().iter().any(|piece| matches!(piece, Piece::Timestamp | Piece::Directory)))
        {
            let message = "the commands name the moment of the build or a directory of this machine";
            return notes.not_carried(inline.place, "inline", message, "write them into a script under scripts/");
        }
        let mut body = String::new();
        for line in &lines {
            let text = line.shell();
            if waits(&text) {
                notes.without_use(
                    inline.place,
                    "inline",
                    format!("`{}` is not needed: scripts start when cloud-init is done", text.trim()),
                );
                continue;
            }
            for name in line.pieces().iter().filter_map(named) {
                if text.split('\'').skip(1).step_by(2).any(|quoted| quoted.contains(&format!("${{{name}}}"))) {
                    let message = format!("`{name}` stands between single quotes, where a shell does not see it");
                    notes.not_carried(inline.place, "inline", message, "use double quotes in the script");
                }
                self.environment.entry(name.clone()).or_insert_with(|| Text::of(Piece::Variable(name)));
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
        let number = self.scripts.last().and_then(|script| number(&script.to)).unwrap_or(0);
        let to = self.free_name(&format!("{number:02}-inline.sh"));
        self.scripts.push(Script { to, text: ScriptText::Inline(text), exports: exports.to_vec(), role: Role::Step });
    }

    fn script(&mut self, from: String, exports: &[String], setting: &Setting, notes: &mut Notes) {
        let name = from.rsplit('/').next().unwrap_or_default().to_owned();
        let lower = name.to_lowercase();
        let is_check = lower.contains("img") && lower.contains("check");
        let role = match () {
            () if is_check => Role::Check,
            () if lower.contains("cleanup") || lower.contains("clean-up") => Role::Cleanup,
            () => Role::Step,
        };
        if role != Role::Step && self.scripts.iter().any(|script| script.role == role) {
            let message = format!("there is a script for cleanup or check already: `{from}` was left out");
            return notes.not_carried(setting.place, "scripts", message, "put both into one file");
        }
        if role == Role::Step && self.scripts.iter().any(|script| script.role != Role::Step) {
            let message = format!("`{name}` runs before cleanup and check now: these two have the last word");
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

/// The variable, in mkimg's spelling, that a piece takes its value from.
fn named(piece: &Piece) -> Option<String> {
    match piece {
        Piece::Variable(name) => Some(name.clone()),
        Piece::Environment(name) => Some(variable_name(name)),
        _ => None,
    }
}

/// The number that a script's name begins with.
fn number(path: &str) -> Option<u32> {
    let name = path.rsplit('/').next()?;
    let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// A command that only waits for cloud-init, or for time to pass.
fn waits(line: &str) -> bool {
    let words: Vec<&str> =
        line.split_whitespace().filter(|word| !matches!(*word, "sudo" | "||" | "true" | "--long")).collect();
    let program = words.first().map(|first| first.rsplit('/').next().unwrap_or(first));
    match (program, &words[1.min(words.len())..]) {
        (Some("cloud-init"), ["status", "--wait"]) => true,
        (Some("sleep"), [time]) => time.chars().all(|c| c.is_ascii_digit() || matches!(c, 's' | 'm' | '.')),
        _ => line.contains("boot-finished") && line.contains("sleep"),
    }
}

/// `NAME=VALUE`.
fn split(text: &Text) -> Option<(String, Text)> {
    let (first, rest) = text.pieces().split_first()?;
    let Piece::Literal(first) = first else { return None };
    let (name, begin) = first.split_once('=')?;
    let fit = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fit {
        return None;
    }
    let mut value = Text::default();
    value.push(Piece::Literal(begin.to_owned()));
    for piece in rest {
        value.push(piece.clone());
    }
    Some((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_told_from_work() {
        for line in
            ["cloud-init status --wait", "sudo /usr/bin/cloud-init status --wait || true", "sleep 30", "sleep 1m"]
        {
            assert!(waits(line), "{line}");
        }
        for line in ["sleep 5 && reboot", "cloud-init clean", "echo sleep", ""] {
            assert!(!waits(line), "{line}");
        }
    }

    #[test]
    fn environment_lines_are_split() {
        let (name, value) = split(&Text::literal("A=b=c")).unwrap();
        assert_eq!((name.as_str(), value.plain()), ("A", Some("b=c")));
        assert!(split(&Text::literal("no equals")).is_none());
        assert!(split(&Text::literal("1A=x")).is_none());
    }
}
