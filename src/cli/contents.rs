//! The files and scripts of a project, judged where they stand on disk: a finding points into the file that a person edits, not into the
//! document that was made from it.

use crate::diag::{Diagnostic, Document, Suppressed};
use crate::model::{Plan, Script};
use crate::source::Source;
use crate::validate;
use crate::yaml;

/// Scripts and files held back are staged here; the document's own copy of each says nothing new.
const STAGED: &str = "/run/mkimg/";

/// The files and scripts with findings, each as a document of its own.
pub(super) fn judge(plan: &Plan) -> Vec<Document> {
    let files = plan.files.iter().map(|file| (&file.source, file.path.clone(), file.mode.0, &file.content));
    let scripts = plan.scripts.iter().chain(&plan.cleanup).chain(&plan.check);
    let staged = |script: &Script| format!("{STAGED}scripts/{}", script.name);
    let scripts = scripts.map(|script| (&script.source, staged(script), 0o755, &script.content));
    let mut out = Vec::new();
    for (name, destination, mode, content) in files.chain(scripts) {
        let Ok(text) = std::str::from_utf8(content) else { continue };
        let mut document = validate::validate_file(&Source::new(name.as_str(), text), &destination, mode);
        allow(plan, &destination, &mut document);
        if !document.findings.diagnostics.is_empty() || !document.suppressed.is_empty() {
            out.push(document);
        }
    }
    out
}

/// Applies the template's `allow:` to a file. Whether each of its lines is of use, the rendered document says.
fn allow(plan: &Plan, destination: &str, document: &mut Document) {
    for allowed in &plan.allow {
        if allowed.path.as_deref().is_some_and(|path| path != destination) {
            continue;
        }
        let code = validate::rules::find(&allowed.code).map(|rule| rule.code);
        let found = document.findings.diagnostics.extract_if(.., |found| Some(found.code) == code);
        let suppressed =
            found.map(|diagnostic| Suppressed { diagnostic, reason: allowed.reason.clone(), allowed_at: None });
        document.suppressed.extend(suppressed);
    }
}

/// Takes findings about contents out of the judgement of the rendered document where the project's own file has them.
pub(super) fn remove_repeated(plan: &Plan, rendered: &Source, document: &mut Document) {
    let entry = |found: &Diagnostic| {
        let index = found.path.strip_prefix("write_files.")?.strip_suffix(".content")?;
        ("MK300".."MK350").contains(&found.code).then(|| index.parse::<usize>().ok()).flatten()
    };
    let any = document.findings.diagnostics.iter().any(|found| entry(found).is_some());
    let Some(tree) = any.then(|| yaml::parse(rendered.text()).ok()).flatten() else { return };
    let files = tree.root().and_then(yaml::Node::entries).into_iter().flatten();
    let files = files.filter(|(key, _)| key.as_str() == Some("write_files")).find_map(|(_, value)| value.items());
    let known: Vec<bool> = files
        .into_iter()
        .flatten()
        .map(|file| {
            let paths = file.entries().into_iter().flatten().filter(|(key, _)| key.as_str() == Some("path"));
            let path = paths.filter_map(|(_, path)| path.as_str()).last().unwrap_or_default();
            path.starts_with(STAGED) || plan.files.iter().any(|file| file.path == path)
        })
        .collect();
    document
        .findings
        .diagnostics
        .retain(|found| entry(found).is_none_or(|index| !known.get(index).copied().unwrap_or_default()));
}
