//! The files and scripts of a project, judged where they stand on disk: a finding points into the file that a person edits, not into the
//! document that was made from it.

use crate::diag::{Diagnostic, Document, Findings, Verdict};
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
        let source = Source::new(name.as_str(), text);
        let diagnostics = validate::validate_file(&source, &destination, mode);
        if !diagnostics.is_empty() {
            let findings = Findings { source, diagnostics };
            out.push(Document { kind: "file", verdict: Verdict::Skipped, findings, parts: Vec::new() });
        }
    }
    out
}

/// Takes findings about contents out of the judgement of the rendered document where the project's own file has them.
pub(super) fn remove_repeated(plan: &Plan, rendered: &Source, documents: &mut [Document]) {
    let entry = |found: &Diagnostic| {
        let index = found.path.strip_prefix("write_files.")?.strip_suffix(".content")?;
        ("MK300".."MK350").contains(&found.code).then(|| index.parse::<usize>().ok()).flatten()
    };
    let any = documents.iter().flat_map(|document| &document.findings.diagnostics).any(|found| entry(found).is_some());
    let Some(tree) = any.then(|| yaml::parse(rendered).ok()).flatten() else { return };
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
    for document in documents {
        document
            .findings
            .diagnostics
            .retain(|found| entry(found).is_none_or(|index| !known.get(index).copied().unwrap_or_default()));
    }
}
