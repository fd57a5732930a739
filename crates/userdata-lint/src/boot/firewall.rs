//! A firewall that is closed behind the last one out: `ufw enable` without a rule that lets SSH in.

use super::{Boot, Stage};
use crate::rules;
use diagnostics::Diagnostic;

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let enables = |program: &str, verb: Option<&str>| program == "ufw" && verb == Some("enable");
    let found = boot
        .commands(Stage::Runcmd)
        .find(|(_, command)| !command.conditional && enables(command.program(), command.operands().next()));
    let Some((step, command)) = found else { return };
    // Contents that are packed hide their lines from the first look.
    let mut contents = boot.document.files().iter().filter_map(|file| file.content.as_ref()?.text());
    if lets_in(boot.source().text())
        || contents.any(lets_in)
        || boot.paths.keys().any(|path| path.starts_with("/etc/ufw/"))
    {
        return;
    }
    let message = "the firewall is closed, and no rule lets SSH in: nobody can log in any more".to_string();
    let help = "add `ufw allow OpenSSH` (or `ufw limit 22/tcp`) before it";
    out.push(step.finding(boot.source(), &rules::FIREWALL_WITHOUT_SSH, command, message, help));
}

/// Whether any line, in whatever script, could open the port of SSH: by its name or number, from an address or an interface, or by
/// something that is not known here. Where SSH has another port, no number is looked at.
fn lets_in(text: &str) -> bool {
    let another_port = text.lines().any(|line| {
        let words =
            line.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).split(|c: char| !c.is_ascii_alphanumeric());
        let mut words = words.filter(|word| !word.is_empty());
        words.any(|word| word == "Port")
    });
    another_port
        || text.lines().filter(|line| line.contains("ufw")).any(|line| {
            let rule = line.split_once("ufw").map_or("", |(_, rule)| rule).replace(['\'', '"', ',', '[', ']'], " ");
            let opens = ["allow", "limit"].iter().any(|verb| rule.contains(verb));
            let of_ssh = rule.to_ascii_lowercase().contains("ssh")
                || rule.contains("22")
                || rule.contains(['$', '{', '%', '<', '*', ':'])
                || [" from ", " in ", " on ", "incoming", " any"].iter().any(|word| rule.contains(word));
            opens && of_ssh
        })
}
