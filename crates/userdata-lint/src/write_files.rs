//! Checks of the entries of `write_files` that the tables in `modules/` cannot express.

use std::collections::HashMap;

use crate::cloud_config::{CloudConfig, FileEntry};
use crate::rules;
use crate::{boot, content, value};
use diagnostics::{Diagnostic, quoted};
use yaml11::{Node, Scalar};

/// How many files that are written twice are reported.
const MAX_DUPLICATES: usize = 1_000;

/// Checks all entries.
pub(crate) fn check(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<&str, &FileEntry<'_>> = HashMap::new();
    let mut twice = 0;
    for entry in document.files() {
        let mode = check_mode(document, entry, out);
        check_content(document, entry, mode, out);
        let Some((path, place)) = entry.path else { continue };
        check_destination(entry, path, place, file_mode(document, entry), out);
        match seen.get(&*entry.destination) {
            Some(first) if !entry.appends && !first.appends && twice < MAX_DUPLICATES => {
                twice += 1;
                let message = format!("{} is written twice", quoted(path));
                let help = Some("keep one of the two entries, or add `append: true` to the later one".into());
                let mut found = entry.finding(&rules::DUPLICATE_DESTINATION, "path", place.used_at(), message, help);
                found.related.extend(first.path.map(|(_, place)| (place.used_at(), "first here".to_string())));
                out.push(found);
                seen.insert(&entry.destination, entry);
            }
            Some(_) => {}
            None => {
                seen.insert(&entry.destination, entry);
            }
        }
    }
}

/// The mode that an entry requests; `None` if [`mode`] reports a problem with it.
pub(crate) fn file_mode(document: &CloudConfig<'_>, entry: &FileEntry<'_>) -> Option<u32> {
    let mut faults = Vec::new();
    let mode = check_mode(document, entry, &mut faults);
    let written = value::get(document.tree, entry.node, "permissions").and_then(Node::as_str);
    (faults.is_empty() && !written.is_some_and(is_replaced_later)).then_some(mode)
}

/// The mode that cloud-init would give the file.
fn check_mode(document: &CloudConfig<'_>, entry: &FileEntry<'_>, out: &mut Vec<Diagnostic>) -> u32 {
    const DEFAULT: u32 = 0o644;
    let Some(node) = value::get(document.tree, entry.node, "permissions") else { return DEFAULT };
    match node.scalar() {
        Some(Scalar::Int(digits)) => {
            let Ok(mode) = digits.parse::<u32>() else { return DEFAULT };
            let written = value::written(document.source, node);
            if written == digits && mode != 0 {
                let message =
                    format!("the mode {} is read as a decimal number: it is {mode:04o} in octal", quoted(written));
                let help = Some(format!("write octal digits in quotes: `'{written:0>4}'`"));
                out.push(entry.finding(&rules::DECIMAL_MODE, "permissions", node.used_at(), message, help));
            }
            mode
        }
        Some(Scalar::Str(text)) if is_replaced_later(text) => DEFAULT,
        Some(Scalar::Str(text)) => {
            // Python's `int(text, 8)`.
            let digits = text.trim().replace('_', "");
            let digits = digits.strip_prefix("0o").or_else(|| digits.strip_prefix("0O")).unwrap_or(&digits);
            u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777).unwrap_or_else(|| {
                let message = format!("expected a mode of octal digits up to 7777, found {}", quoted(text));
                let help = Some("write it like `'0644'`; otherwise cloud-init uses its default".into());
                out.push(entry.finding(&rules::INVALID_MODE, "permissions", node.used_at(), message, help));
                DEFAULT
            })
        }
        _ => DEFAULT,
    }
}

fn check_destination(entry: &FileEntry<'_>, path: &str, place: Node<'_>, mode: Option<u32>, out: &mut Vec<Diagnostic>) {
    if !path.starts_with('/') {
        let message = format!("expected an absolute path, found {}", quoted(path));
        let rest = diagnostics::escape_control(path.trim_start_matches(['~', '.', '/']));
        let help = Some(match path.strip_prefix('~') {
            // The user is not known: `~` may mean root's home or that of another user.
            Some(below) if below.starts_with('/') => {
                format!("`~` is not expanded: write the full path, `/root/{rest}` or `/home/NAME/{rest}`")
            }
            _ => format!("write the full path: `/{rest}`"),
        });
        out.push(entry.finding(&rules::RELATIVE_DESTINATION, "path", place.used_at(), message, help));
    }
    // cloud-init skips files without an executable bit.
    if entry.is_run_at_boot() && mode.is_none_or(|mode| mode & 0o111 != 0) {
        let message = "this script runs at the end of the boot that writes it, also on the build machine".to_string();
        let help = Some("write it to another directory, and move it when the image is finished".into());
        out.push(entry.finding(&rules::RUNS_DURING_BAKE, "path", place.used_at(), message, help));
    }
}

/// Endings of files that nobody runs.
const DATA_ENDINGS: &[&str] = &[
    "cfg", "cnf", "conf", "config", "crt", "css", "csv", "env", "gpg", "hcl", "htm", "html", "ini", "j2", "js", "json",
    "key", "list", "md", "mount", "network", "pem", "properties", "repo", "rules", "service", "socket", "sources",
    "sql", "target", "template", "tf", "timer", "tmpl", "toml", "tpl", "txt", "xml", "yaml", "yml",
];

/// Whether a file is a configuration or other data, by its name.
fn is_data(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(_, ending)| DATA_ENDINGS.contains(&ending))
}

/// Checks the content: its encoding, and the decoded file.
fn check_content(document: &CloudConfig<'_>, entry: &FileEntry<'_>, mode: u32, out: &mut Vec<Diagnostic>) {
    let Some(content) = &entry.content else { return };
    let node = content.node;
    if node.as_str().is_some_and(is_replaced_later) {
        return;
    }
    if let Err(problem) = &content.bytes {
        let message = format!("the content is not {}: {problem}", quoted(content.encoding));
        let help = Some("encode it again, or correct `encoding`".into());
        out.push(entry.finding(&rules::UNDECODABLE_CONTENT, "content", node.used_at(), message, help));
        return;
    }
    let encoded = !content.is_plain();
    let Some(text) = content.text() else { return };
    let first = text.split('\n').next().unwrap_or_default();
    let span = node.used_at();
    if first.starts_with("#!") && first.ends_with('\r') {
        let message = "the script has Windows line ends: its interpreter is not found".to_string();
        let help = Some("save the script with Unix line ends".into());
        out.push(entry.finding(&rules::CRLF_SCRIPT, "content", span, message, help));
    }
    // A file that is appended to another one need not begin like a script.
    if (mode & 0o111 != 0 || entry.is_run_at_boot())
        && !entry.appends
        && !is_data(&entry.destination)
        && !first.starts_with("#!")
        && !text.trim().is_empty()
    {
        let message = "an executable text file without `#!` in its first line cannot be executed".to_string();
        let help = Some(
            "add `#!/bin/sh` or another interpreter as the first line, or remove the executable permission".into(),
        );
        out.push(entry.finding(&rules::MISSING_INTERPRETER, "content", span, message, help));
    }
    // A command may make the file executable.
    let name = entry.destination.rsplit('/').next().unwrap_or_default();
    let mut lines = document.source.text().lines().filter(|line| line.contains("chmod"));
    let is_changed = entry.index < MAX_DUPLICATES
        && mode & 0o111 == 0
        && entry.destination.starts_with("/etc/cron.")
        && lines.any(|line| line.contains(name) || line.contains("/cron."));
    let mode = if is_changed { mode | 0o111 } else { mode };
    let inside = content::Content { text, path: &entry.destination, mode, appends: entry.appends };
    let place = format!("write_files.{}.content", entry.index);
    let mut faults = content::check(&inside);
    if let Some(delimiter) = text.starts_with("#!").then(|| boot::folded_here_document(document.source, node)).flatten()
    {
        faults.retain(|fault| fault.rule.code != rules::UNTERMINATED_HERE_DOCUMENT.code);
        let message = format!("YAML joins the lines of the here-document: it has no line {}", quoted(&delimiter));
        let help = Some("use `|`, which keeps the lines".into());
        out.push(entry.finding(&rules::HERE_DOCUMENT_IN_FOLDED_TEXT, "content", span, message, help));
    }
    content::report_in_scalar(document.source, node, encoded, &place, text, faults, out);
}

/// Whether another program (Terraform, Helm, ERB) will replace this text before cloud-init reads
/// it.
fn is_replaced_later(text: &str) -> bool {
    let text = text.trim();
    ["${", "%{", "{{", "<%"].iter().any(|mark| text.starts_with(mark)) && text.ends_with(['}', '>'])
}

#[cfg(test)]
mod tests {
    use crate::{Options, lint_bytes};

    /// Each branch of each check: the code, the keys of an entry for `/a`, and whether the code is reported.
    #[test]
    fn read_entries() {
        for (code, entry, is_found) in [
            ("MK203", "permissions: 644", true),
            ("MK203", "permissions: 0644", false),
            ("MK203", "permissions: 0o644", false),
            ("MK203", "permissions: 0", false),
            ("MK203", "permissions: '644'", false),
            ("MK204", "permissions: '0888'", true),
            ("MK204", "permissions: 'rw'", true),
            ("MK204", "permissions: '7777'", false),
            ("MK204", "permissions: '10000'", true),
            ("MK204", "permissions: '0o755'", false),
            ("MK204", "permissions: '${mode}'", false),
            ("MK207", "encoding: b64, content: 'a*'", true),
            ("MK207", "encoding: b64, content: 'aGk='", false),
            ("MK207", "encoding: b64, content: 'aGk'", true),
            ("MK207", "encoding: gzip, content: 'a'", true),
            ("MK207", "encoding: b64, content: '${a}'", false),
            ("MK208", "permissions: '0755', content: 'echo'", true),
            ("MK208", "permissions: '0755', content: '#!/bin/sh'", false),
            ("MK208", "permissions: '0644', content: 'echo'", false),
            ("MK208", "permissions: '0755', append: true, content: 'echo'", false),
            ("MK208", "permissions: '0755', content: ' '", false),
            ("MK208", "content: a}, {path: /var/lib/cloud/scripts/per-once/b, content: echo", true),
            ("MK204", "permissions: '<%= mode %>'", false),
            ("MK204", "permissions: '%{mode}'", false),
            ("MK204", "permissions: '<mode'", true),
            ("MK209", "content: \"#!/bin/sh\\r\\n\"", true),
            ("MK209", "content: \"a\\r\\n\"", false),
            ("MK206", "content: a}, {path: //a/., content: b", true),
            ("MK206", "content: a}, {path: /a, content: b, append: true", false),
            ("MK206", "content: a}, {path: /b, content: b", false),
            ("MK206", "append: true, content: a}, {path: /a, content: b", false),
            (
                "MK210",
                "content: a}, {path: /var/lib/cloud/scripts/per-boot/b, permissions: '0755', content: '#!/bin/sh'",
                true,
            ),
            (
                "MK210",
                "content: a}, {path: /var/lib/cloud/scripts/per-boot/b, permissions: '${a}', content: '#!/bin/sh'",
                true,
            ),
            ("MK210", "content: a}, {path: /var/lib/cloud/scripts/per-boot/b, content: '#!/bin/sh'", false),
            ("MK210", "content: a}, {path: /var/lib/cloud/b, content: '#!/bin/sh'", false),
            ("MK211", "content: a}, {path: b, content: c", true),
            ("MK211", "content: a}, {path: ~/b, content: c", true),
            (
                "MK210",
                "content: a}, {path: /var/lib/cloud/scripts/per-once/b, permissions: '0700', content: '#!/bin/sh'",
                true,
            ),
            (
                "MK210",
                "content: a}, {path: /var/lib/cloud/scripts/per-instance/b, permissions: '0744', content: '#!/bin/sh'",
                true,
            ),
            ("MK210", "content: a}, {path: /var/lib/cloud/scripts/vendor/b, content: '#!/bin/sh'", false),
            ("MK208", "permissions: '0001', content: echo", true),
            ("MK208", "permissions: '0010', content: echo", true),
            ("MK208", "permissions: '0100', content: echo", true),
            ("MK208", "permissions: '0755', content: \"a\\0b\"", false),
            ("MK204", "permissions: ' 0755 '", false),
            ("MK204", "permissions: '0_755'", false),
            ("MK204", "permissions: '0O755'", false),
            ("MK204", "permissions: ' ${mode} '", false),
            ("MK204", "permissions: '${mode} x'", true),
        ] {
            let text = format!("#cloud-config\nwrite_files: [{{path: /a, {entry}}}]\n");
            let report = lint_bytes("t.yaml", text.as_bytes(), &Options::default());
            let found = report.documents[0].findings.diagnostics.iter().any(|found| found.rule.code == code);
            assert_eq!(found, is_found, "{code} {entry}");
        }
    }
}
