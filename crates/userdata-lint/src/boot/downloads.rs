//! Downloads that are run as they come, and sources of packages whose key nothing brings.

use super::{Boot, Stage, Step};
use crate::places::finding;
use crate::rules;
use crate::shell::{self, Input, Interpreter, SimpleCommand};
use crate::value;
use diagnostics::source::Source;
use diagnostics::{Diagnostic, quoted};

/// Where mkimg puts an image's scripts.
const SCRIPTS: &str = "/run/mkimg/scripts/";

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    for step in &boot.steps {
        commands(boot.source(), step, out);
    }
    for file in boot.document.files() {
        let Some(content) = file.content.as_ref().filter(|_| file.destination.starts_with(SCRIPTS)) else { continue };
        let Some((text, interpreter)) = content.text().and_then(|text| Some((text, Interpreter::from_script(text)?)))
        else {
            continue;
        };
        let step = Step {
            stage: Stage::Script,
            path: format!("write_files.{}.content", file.index),
            node: Some(content.node),
            commands: shell::commands(text, interpreter),
        };
        commands(boot.source(), &step, out);
    }
    signing_keys(boot, out);
}

pub(super) fn commands(source: &Source, step: &Step<'_>, out: &mut Vec<Diagnostic>) {
    let mut before: Option<&SimpleCommand<'_>> = None;
    for command in &step.commands {
        let program = command.program();
        let is_shell = matches!(program, "sh" | "bash" | "dash" | "zsh");
        let is_download = |one: &SimpleCommand<'_>| matches!(one.program(), "curl" | "wget");
        let piped = is_shell && command.input == Input::Pipe && before.is_some_and(is_download);
        let substituted = is_shell
            && command.arguments().iter().any(|word| word.starts_with("$(curl ") || word.starts_with("$(wget "));
        if piped || substituted {
            let message = format!(
                "what is downloaded is given to {} unseen: it may be half of it, or another one tomorrow",
                quoted(program)
            );
            let help = "download it to a file, compare its sha256, then run it; or install a package";
            out.push(step.finding(source, &rules::DOWNLOAD_PIPED_TO_SHELL, command, message, help));
        }
        if program == "apt-key" && command.has(&["add", "adv"]) {
            let message = "apt-key is gone from Debian 13 and from Ubuntu since 25.04".to_string();
            let help =
                "put the key into /etc/apt/keyrings and name it in the source: `signed-by=`; or use `apt: sources:`";
            out.push(step.finding(source, &rules::APT_KEY_REMOVED, command, message, help));
        }
        before = Some(command);
    }
}

/// Sources of `apt` that are signed by a key which stands nowhere. No distribution puts anything into /etc/apt/keyrings.
fn signing_keys(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    let Some(sources) = document.get("apt").and_then(|apt| value::get(document.tree, apt, "sources")) else { return };
    for (name, source) in sources.entries().into_iter().flatten() {
        let Some(node) = value::get(document.tree, source, "source") else { continue };
        let Some(text) = node.as_str() else { continue };
        let path =
            text.split("signed-by=").nth(1).and_then(|rest| rest.split([']', ' ', ',']).next()).unwrap_or_default();
        let is_known = || {
            // Once where it is asked for: whatever else in the document names the file may write it.
            boot.source().text().matches(path).count() > text.matches(path).count() || boot.paths.contains_key(path)
        };
        if !path.starts_with("/etc/apt/keyrings/") || path.contains(['$', '{']) || is_known() {
            continue;
        }
        let message =
            format!("nothing in this document writes the key {}: apt does not trust the source", quoted(path));
        let help = if ["key", "keyid"].iter().any(|key| value::get(document.tree, source, key).is_some()) {
            "write `signed-by=$KEY_FILE`: cloud-init puts the path of the key that it writes there"
        } else {
            "give the key with `key` or `keyid`, and write `signed-by=$KEY_FILE`; or write the file with `write_files`"
        };
        let path = format!("apt.sources.{}.source", value::key_text(name));
        out.push(finding(&rules::MISSING_SIGNING_KEY, path, node.used_at(), message, Some(help.into())));
    }
}
