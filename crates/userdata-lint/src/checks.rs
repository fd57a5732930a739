//! Checks one text as user-data of its kind, on its own or as a part of another document.
//!
//! The result goes through the passes of `pipeline.rs` before it is reported.

use super::cloud_config::{CloudConfig, FileEntry};
use super::header::{self, Kind};
use super::modules;
use super::parts::{self, RawPart};
use super::places::{Places, finding};
use super::suppress::WrittenFile;
use super::{
    Options, artifacts, boot, causes, content, document, image, messages, rules, schema, secrets, suppress, template,
    value, write_files,
};
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Origin, Part, Severity, Suppressed, Verdict};

/// What the checks found in a document or in a part of one.
pub(super) struct Checked {
    pub verdict: Verdict,
    pub diagnostics: Vec<Diagnostic>,
    pub parts: Vec<Part>,
    /// Findings that comments in parts allow.
    pub suppressed: Vec<Suppressed>,
    /// The files that a cloud-config writes.
    pub files: Vec<WrittenFile>,
}

impl Checked {
    pub(super) fn new(verdict: Verdict, diagnostics: Vec<Diagnostic>) -> Self {
        Self { verdict, diagnostics, parts: Vec::new(), suppressed: Vec::new(), files: Vec::new() }
    }
}

/// Checks a text as user-data of a kind. `depth` is 0 for a whole document, 1 for its parts.
pub(super) fn check_text(source: &Source, kind: Kind, options: &Options, depth: usize) -> Checked {
    let mut diagnostics = Vec::new();
    let mut inner = Vec::new();
    let mut suppressed = Vec::new();
    let mut files = Vec::new();
    if !matches!(kind, Kind::CloudConfig | Kind::CloudConfigArchive | Kind::Mime) {
        secrets::check_text(source, &mut diagnostics);
        artifacts::check_text(source, &mut diagnostics);
    }
    let verdict = match kind {
        Kind::CloudConfig => {
            let (verdict, written) = cloud_config(source, options, &mut diagnostics);
            files = written;
            verdict
        }
        Kind::JinjaTemplate => {
            let mut checked = jinja(source, options, depth);
            checked.diagnostics.extend(diagnostics);
            return checked;
        }
        Kind::CloudConfigArchive | Kind::Mime => {
            let parts = parts::split(source, kind, options, &mut diagnostics);
            inner = check_parts(source, parts, options, depth, &mut diagnostics, &mut suppressed);
            for found in &mut diagnostics {
                found.origin = Origin::Mkimg;
            }
            Verdict::Skipped
        }
        Kind::Unknown => {
            let decoded = parts::decoded(source.text(), options);
            diagnostics.push(document::unknown_header(source, decoded.is_some()));
            if let Some((text, kind)) = decoded {
                let text_span = Span::new(0, source.text().trim_end().len());
                let places = Places::of_one_span(text.len(), text_span);
                let part = RawPart {
                    text,
                    places,
                    kind: Some(kind),
                    span: text_span,
                    has_merge_type: false,
                    is_conditional: false,
                };
                inner = check_parts(source, vec![part], options, depth, &mut diagnostics, &mut suppressed);
            }
            Verdict::Invalid
        }
        Kind::Empty => {
            diagnostics.push(document::not_checked(source, "the document is empty"));
            Verdict::Skipped
        }
        Kind::Script => {
            if let Some(found) = document::header_after_shebang(source) {
                diagnostics.push(found);
                return Checked { verdict: Verdict::Skipped, diagnostics, parts: inner, suppressed, files };
            }
            document::script(source, &mut diagnostics);
            boot::script(source, options.assumes_yes, &mut diagnostics);
            boot::user_data_script(source, &mut diagnostics);
            Verdict::Skipped
        }
        Kind::Boothook => {
            document::boothook(source, &mut diagnostics);
            boot::script(source, options.assumes_yes, &mut diagnostics);
            boot::user_data_script(source, &mut diagnostics);
            Verdict::Skipped
        }
        Kind::PartHandler => {
            parts::part_handler(source, &mut diagnostics);
            Verdict::Skipped
        }
        Kind::Include => {
            parts::include(source, &mut diagnostics);
            Verdict::Skipped
        }
        Kind::Jsonp => {
            parts::patch(source, &mut diagnostics);
            Verdict::Skipped
        }
        Kind::Gzip => {
            diagnostics.push(document::not_checked(source, "a compressed part is not checked"));
            Verdict::Skipped
        }
    };
    Checked { verdict, diagnostics, parts: inner, suppressed, files }
}

/// Checks the parts of a document, each like a document of its own, and adds their findings to
/// `diagnostics`.
///
/// `cloud-init schema` does not look into parts, so these findings have the origin `mkimg` and do
/// not change the verdict of the document. Each part has its own verdict.
fn check_parts(
    source: &Source,
    raw: Vec<RawPart>,
    options: &Options,
    depth: usize,
    diagnostics: &mut Vec<Diagnostic>,
    suppressed: &mut Vec<Suppressed>,
) -> Vec<Part> {
    let mut out = Vec::new();
    let count = raw.len();
    let replaced = if depth == 0 { parts::check_merging(&raw) } else { Vec::new() };
    for (index, raw_part) in raw.into_iter().enumerate() {
        let Some(kind) = raw_part.kind else {
            out.push(Part { kind: Kind::Unknown.name(), verdict: Verdict::Skipped, span: raw_part.span });
            continue;
        };
        if depth >= parts::MAX_DEPTH || index >= parts::MAX_PARTS {
            let message = format!("only {} parts, nested {} deep, are checked", parts::MAX_PARTS, parts::MAX_DEPTH);
            diagnostics.push(finding(&rules::NOT_CHECKED, String::new(), raw_part.span, message, None));
            break;
        }
        let text = Source::new(source.name(), raw_part.text);
        let Checked { verdict, diagnostics: mut found, parts: inner, suppressed: mut allowed, .. } =
            check_text(&text, kind, options, depth + 1);
        let replaced = || replaced.iter().filter(|replaced| replaced.part == index);
        found.extend(replaced().map(|replaced| replaced.finding.clone()));
        suppress::in_document(&text, options, &inner, &mut found, &mut allowed);
        out.push(Part { kind: kind.name(), verdict, span: raw_part.span });
        out.extend(inner.into_iter().map(|part| Part { span: raw_part.places.span(part.span), ..part }));
        let name = |message: &mut String| {
            if count > 1 && depth == 0 {
                *message = format!("in part {}: {message}", index + 1);
            }
        };
        for mut allowed in allowed {
            raw_part.places.translate_suppressed(&mut allowed);
            let finding = &mut allowed.diagnostic;
            (finding.origin, finding.span) = (Origin::Mkimg, finding.span.or(Some(raw_part.span)));
            name(&mut finding.message);
            suppressed.push(allowed);
        }
        // That scripts have no verdict is reported for whole documents only.
        let has_no_verdict = matches!(kind, Kind::Script | Kind::Empty);
        let holds = |found: &Diagnostic| {
            !(has_no_verdict && found.rule.code == rules::NOT_CHECKED.code)
                && (count == 1 || boot::applies_to_part(found))
        };
        for mut finding in found.into_iter().filter(holds) {
            raw_part.places.translate(&mut finding);
            let of_finding =
                replaced().find(|one| one.finding.rule.code == finding.rule.code && one.finding.path == finding.path);
            finding.related.extend(of_finding.map(|one| one.related.clone()));
            finding.origin = Origin::Mkimg;
            // A finding without a place is about the part.
            finding.span = finding.span.or(Some(raw_part.span));
            name(&mut finding.message);
            diagnostics.push(finding);
        }
    }
    out
}

/// Checks what a template renders to. Findings are shown at their place in the template.
fn jinja(source: &Source, options: &Options, depth: usize) -> Checked {
    let skipped = |diagnostics| Checked::new(Verdict::Skipped, diagnostics);
    let (text, places, warnings) = match template::render(source.text()) {
        template::Rendered::Text { text, places, warnings } => (text, places, warnings),
        template::Rendered::Invalid(finding) => return Checked::new(Verdict::Invalid, vec![finding]),
        template::Rendered::Ignored(finding) => return skipped(vec![finding]),
        template::Rendered::Unsupported(why) => return skipped(vec![document::not_checked(source, &why)]),
    };
    let rendered = Source::new(source.name(), text);
    // After rendering, cloud-init only reads text that begins with one of its own headers.
    let kind = match header::kind(rendered.text(), options.cloud_init) {
        Kind::Mime => Kind::Unknown,
        kind => kind,
    };
    // cloud-init renders only once.
    if kind == Kind::JinjaTemplate {
        return skipped(warnings);
    }
    let mut checked = check_text(&rendered, kind, options, depth);
    for finding in &mut checked.diagnostics {
        places.translate(finding);
    }
    for part in &mut checked.parts {
        part.span = places.span(part.span);
    }
    if kind == Kind::CloudConfig {
        drop_unknown_values(source.text(), &mut checked);
    }
    checked.suppressed.iter_mut().for_each(|allowed| places.translate_suppressed(allowed));
    checked.diagnostics.extend(warnings);
    checked
}

/// Drops errors about values that are nothing only because the value of an expression is not known here.
fn drop_unknown_values(template: &str, checked: &mut Checked) {
    let count = checked.diagnostics.len();
    checked.diagnostics.retain(|found| {
        let is_nothing = found.origin == Origin::CloudInit && found.message.ends_with("found nothing (null)");
        let rest = found.span.and_then(|span| template.get(span.end..)).unwrap_or_default();
        !(is_nothing && rest.trim_start_matches([':', '-', ' ', '\r', '\n']).starts_with("{{"))
    });
    if checked.diagnostics.len() < count {
        checked.verdict = verdict(&checked.diagnostics);
    }
}

/// Checks a cloud-config; also returns the files that it writes.
pub(super) fn cloud_config(
    source: &Source,
    options: &Options,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Verdict, Vec<WrittenFile>) {
    let tree = match yaml11::parse_replacing_surrogates(source.text()) {
        Ok((tree, half)) => {
            diagnostics.extend(half.as_ref().map(document::lone_surrogate));
            tree
        }
        Err(error) => {
            diagnostics.push(document::invalid_yaml(source, &error));
            secrets::check_text(source, diagnostics);
            artifacts::check_text(source, diagnostics);
            document::ignored_parts(source, options, diagnostics);
            return (Verdict::Invalid, Vec::new());
        }
    };
    let Some(root) = tree.root().filter(|root| root.entries().is_some()) else {
        diagnostics.push(document::not_a_mapping(source, &tree));
        secrets::check_text(source, diagnostics);
        artifacts::check_text(source, diagnostics);
        return (Verdict::Invalid, Vec::new());
    };
    let context = messages::Context { source, tree: &tree, root, version: options.cloud_init };
    let mut unknown = Vec::new();
    for (key, value) in value::entries(&tree, root) {
        let known =
            key.as_str().and_then(modules::top_level).filter(|shape| schema::is_known(*shape, options.cloud_init));
        let Some(shape) = known else {
            unknown.push(key);
            continue;
        };
        let outcome = schema::check(&tree, key, value, shape, options.cloud_init);
        for error in outcome.errors.iter().filter(|error| !error.is_explained_better(&outcome.errors)) {
            diagnostics.extend(messages::findings(&context, error));
        }
        if outcome.exhausted {
            diagnostics.push(document::too_complex(key));
        }
    }
    document::unknown_keys(&context, &unknown, diagnostics);
    drop(unknown);
    document::ignored_parts(source, options, diagnostics);
    let document = CloudConfig::new(source, &tree, root);
    document::collections(&document, diagnostics);
    content::check_bootcmd(&document, diagnostics);
    content::check_runcmd(&document, diagnostics);
    content::check_sudo_of_users(&document, diagnostics);
    content::check_ssh_keys(&document, diagnostics);
    write_files::check(&document, diagnostics);
    boot::check(&document, diagnostics);
    image::check(&document, options, diagnostics);
    secrets::check_cloud_config(&document, diagnostics);
    artifacts::check_document(&document, diagnostics);
    causes::merge(&document, diagnostics);
    let written = |file: &FileEntry<'_>| WrittenFile {
        index: file.index,
        path: file.path.map_or_else(String::new, |(path, _)| path.to_owned()),
        bytes: file.node.span().end - file.node.span().start,
    };
    (verdict(diagnostics), document.files().iter().map(written).collect())
}

/// The verdict that cloud-init's own findings add up to.
fn verdict(diagnostics: &[Diagnostic]) -> Verdict {
    let says =
        |severity| diagnostics.iter().any(|found| found.origin == Origin::CloudInit && found.severity == severity);
    if says(Severity::Error) {
        Verdict::Invalid
    } else if says(Severity::Deprecated) {
        Verdict::Deprecated
    } else {
        Verdict::Valid
    }
}
