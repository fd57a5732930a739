//! Converts provisioners, in their order: files of the project, scripts, one environment.

use std::collections::{BTreeMap, BTreeSet};

use packer_import::{Block, Place, Text};

use super::scripts::{RawScript, ScriptOrigin};
use super::{BuildContext, Notes, PathKind, ProjectFile, Script};

/// The result of all provisioners.
#[derive(Debug, Default)]
pub(super) struct Provisioned {
    /// By their path on the machine.
    pub files: BTreeMap<String, ProjectFile>,
    pub scripts: Vec<Script>,
    pub environment: BTreeMap<String, Text>,
    /// The scripts so far, before their names and variables are final.
    pub(super) raw: Vec<RawScript>,
    /// The names of scripts that are taken.
    pub(super) names: BTreeSet<String>,
    /// Whether a script ran that may depend on which files are there.
    pub(super) has_run: bool,
    /// A script that ran, but does not depend on files.
    pub(super) before: Option<String>,
    /// The size of all files.
    pub(super) bytes: u64,
    pub(super) is_too_large: bool,
}

/// The most provisioners that a template may have, and the most scripts.
pub(super) const MAX_SCRIPTS: usize = 1000;

/// Options that change how Packer runs a script, but not its effect.
const NOT_NEEDED: &[&str] = &[
    "binary", "remote_file", "remote_folder", "remote_path", "remote_env_var_path", "skip_clean",
    "start_retry_timeout", "use_env_var_file", "env_var_format", "timeout", "max_retries",
];

/// Options that decide whether and when a provisioner runs; they are read elsewhere.
const SELECTION: &[&str] = &["only", "except", "override", "pause_before", "pause_after"];

pub(super) fn convert(blocks: &[Block], build: &BuildContext<'_>, notes: &mut Notes) -> Provisioned {
    let mut provisioned = Provisioned::default();
    for (index, block) in blocks.iter().enumerate() {
        provisioned.add(block, build, notes);
        if provisioned.raw.len() > MAX_SCRIPTS || index >= MAX_SCRIPTS {
            let message = format!("the template has more than {MAX_SCRIPTS} provisioners or scripts");
            notes.too_large(block.place, "provisioners", message, "put several scripts into one file");
            provisioned.is_too_large = true;
        }
        if provisioned.is_too_large {
            return provisioned;
        }
    }
    provisioned.finish_scripts(build, notes);
    provisioned
}

impl Provisioned {
    fn add(&mut self, block: &Block, build: &BuildContext<'_>, notes: &mut Notes) {
        self.add_pause(block, "pause_before", notes);
        match block.kind.as_str() {
            "file" => self.add_files(block, build, notes),
            "shell" => self.add_scripts(block, build, notes),
            "sleep" => self.add_pause(block, "duration", notes),
            "breakpoint" => notes.not_needed(block.place, "provisioners", "`breakpoint` is not needed"),
            other => {
                let message = format!("the provisioner `{other}` was left out");
                notes.not_converted(block.place, "provisioners", message, "do the same in a script under scripts/");
            }
        }
        self.add_pause(block, "pause_after", notes);
    }

    /// Adds a script that waits, if anything ran before for which it could wait.
    fn add_pause(&mut self, block: &Block, name: &str, notes: &mut Notes) {
        let Some(option) = block.get(name) else { return };
        let text = option.value.text();
        match text.as_ref().and_then(Text::plain).and_then(seconds) {
            Some(0) => {}
            Some(_) if self.raw.is_empty() => {
                let message = format!("`{name}` is not needed: scripts start when the machine is ready");
                notes.not_needed(option.place, name, message);
            }
            Some(seconds) => {
                let text = format!("#!/bin/sh\nsleep {seconds}\n");
                self.push_script("pause", ScriptOrigin::Generated(text), option.place);
            }
            None => {
                let message = format!("the time of `{name}` cannot be converted");
                notes.not_converted(option.place, name, message, "write `sleep` into a script");
            }
        }
    }

    /// Returns the number of the script that puts the next files into their place.
    pub(super) fn upload_script(&mut self) -> usize {
        if let Some(RawScript { origin: ScriptOrigin::Upload(number), .. }) = self.raw.last() {
            return *number;
        }
        let uploads = self.raw.iter().filter(|script| matches!(script.origin, ScriptOrigin::Upload(_)));
        let number = uploads.count() + 1;
        self.push_script("upload", ScriptOrigin::Upload(number), Place::default());
        number
    }
}

/// Reads a duration as Go writes it: `1m30s`. A number alone counts nanoseconds.
fn seconds(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u64>().ok().map(|nanoseconds| nanoseconds.div_ceil(1_000_000_000));
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    (total <= 86_400.0).then(|| total.ceil() as u64)
}

/// The mode that a file has in a project without `attributes:`.
pub(super) fn default_mode(mode: u32) -> u32 {
    if mode & 0o100 != 0 { 0o755 } else { 0o644 }
}

/// Reports that a path of the template is not copied. `what`: `source` or `script`.
pub(super) fn report_path(kind: &PathKind, what: &str, path: &str, place: Place, notes: &mut Notes) {
    let (reason, help) = match kind {
        PathKind::Outside => (
            "is outside the current directory and the template's, and was not copied",
            "if the image needs it: --allow PATH, or --base DIR for the directory in which you run Packer",
        ),
        PathKind::Unusable(reason) => (reason.as_str(), "remove it from the template, or create it in a script"),
        PathKind::Directory => ("is a directory", "name each script"),
        PathKind::Missing | PathKind::File { .. } => (
            "is neither in the current directory, where Packer looks for it, nor beside the template",
            "name the directory in which you run Packer: --base DIR",
        ),
    };
    let key = if what == "script" { "scripts" } else { what };
    notes.not_converted(place, key, format!("the {what} `{path}` {reason}"), help);
}

/// Reports all options that are not among the known ones.
pub(super) fn report_other_options(block: &Block, known: &[&str], notes: &mut Notes) {
    for option in &block.options {
        let name = option.name.as_str();
        if known.contains(&name) || SELECTION.contains(&name) {
            continue;
        }
        if name == "expect_disconnect" {
            if option.value.flag() != Some(false) {
                let message = "the script may restart the machine, and a bake cannot continue after that";
                notes.adapted(option.place, name, message);
            }
        } else if NOT_NEEDED.contains(&name) {
            let message = format!("`{name}` is not needed: the droplet runs its scripts itself, as root, once");
            notes.not_needed(option.place, name, message);
        } else {
            let message = format!("`{name}` has no counterpart in mkimg, and was left out");
            notes.not_converted(option.place, name, message, "do the same in the script itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, expected) in [("10s", 10), ("1m30s", 90), ("1h", 3600), ("500ms", 1), ("0s", 0), ("5000000000", 5)] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in ["s", "10x", "10", "99999h"] {
            assert_ne!(seconds(text), Some(10), "{text}");
        }
    }
}
