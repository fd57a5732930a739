//! One text judged as user-data of its kind, alone or as a part of another document: what [`super::validate`] puts in order,
//! and `parts/` calls for what is inside.

use std::cell::OnceCell;

use super::header::{self, Kind};
use super::write_files::{self, FileEntry};
use super::{
    Options, artifacts, boot, check, command, content, document, image, message, modules, parts, places, secrets,
    template, value,
};
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Origin, Part, Severity, Suppressed, Verdict};
use yaml11::{Node, Tree};

/// A cloud-config that has been read: what the checks of our own look at.
pub(crate) struct Document<'t> {
    pub source: &'t Source,
    pub tree: &'t Tree,
    pub root: Node<'t>,
    files: OnceCell<Vec<FileEntry<'t>>>,
}

impl<'t> Document<'t> {
    fn new(source: &'t Source, tree: &'t Tree, root: Node<'t>) -> Self {
        Self { source, tree, root, files: OnceCell::new() }
    }

    /// The entries of `write_files`, their contents decoded.
    pub(crate) fn files(&self) -> &[FileEntry<'t>] {
        self.files.get_or_init(|| write_files::entries(self.tree, self.root))
    }

    /// The value under a top-level key.
    pub(crate) fn get(&self, key: &str) -> Option<Node<'t>> {
        value::get(self.tree, self.root, key)
    }
}

/// What came out for a document or for a part of one.
pub(super) struct Judged {
    pub verdict: Verdict,
    pub diagnostics: Vec<Diagnostic>,
    pub parts: Vec<Part>,
    /// What is allowed by comments in parts.
    pub suppressed: Vec<Suppressed>,
}

/// Judges a text as user-data of a kind; parts of it are `depth` + 1 deep.
pub(super) fn judge_as(source: &Source, kind: Kind, options: &Options, depth: usize) -> Judged {
    let mut diagnostics = Vec::new();
    let mut inner = Vec::new();
    let mut suppressed = Vec::new();
    if !matches!(kind, Kind::CloudConfig | Kind::CloudConfigArchive | Kind::Mime) {
        secrets::text(source, &mut diagnostics);
        artifacts::check_text(source, &mut diagnostics);
    }
    let verdict = match kind {
        Kind::CloudConfig => cloud_config(source, options, &mut diagnostics),
        Kind::JinjaTemplate => {
            let mut judged = jinja(source, options, depth);
            judged.diagnostics.extend(diagnostics);
            return judged;
        }
        Kind::CloudConfigArchive | Kind::Mime => {
            let pieces = parts::split(source, kind, options, &mut diagnostics);
            inner = parts::judge(source, pieces, options, depth, &mut diagnostics, &mut suppressed);
            for found in &mut diagnostics {
                found.origin = Origin::Mkimg;
            }
            Verdict::Skipped
        }
        Kind::Unknown => {
            let decoded = parts::decoded(source.text(), options);
            diagnostics.push(document::unknown_header(source, decoded.is_some()));
            if let Some((text, kind)) = decoded {
                let whole = Span::new(0, source.text().trim_end().len());
                let places = places::Places::whole(text.len(), whole);
                let piece = parts::Piece { text, places, kind: Some(kind), span: whole };
                inner = parts::judge(source, vec![piece], options, depth, &mut diagnostics, &mut suppressed);
            }
            Verdict::Invalid
        }
        Kind::Empty => {
            diagnostics.push(document::not_judged(source, "the document is empty: there is nothing to judge"));
            Verdict::Skipped
        }
        Kind::Script => {
            document::script(source, &mut diagnostics);
            boot::script(source, &mut diagnostics);
            Verdict::Skipped
        }
        Kind::Boothook => {
            document::boothook(source, &mut diagnostics);
            boot::script(source, &mut diagnostics);
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
            diagnostics.push(document::not_judged(source, "a packed document is not looked into here"));
            Verdict::Skipped
        }
    };
    Judged { verdict, diagnostics, parts: inner, suppressed }
}

/// A template: what it is rendered to has the verdict, and its findings are shown in the template.
fn jinja(source: &Source, options: &Options, depth: usize) -> Judged {
    let skipped =
        |diagnostics| Judged { verdict: Verdict::Skipped, diagnostics, parts: Vec::new(), suppressed: Vec::new() };
    let (text, places, warnings) = match template::render(source.text()) {
        template::Rendered::Text { text, places, warnings } => (text, places, warnings),
        template::Rendered::Broken(finding) => {
            return Judged {
                verdict: Verdict::Invalid,
                diagnostics: vec![finding],
                parts: Vec::new(),
                suppressed: Vec::new(),
            };
        }
        template::Rendered::Unknown(why) => return skipped(vec![document::not_judged(source, &why)]),
    };
    let rendered = Source::new(source.name(), text);
    // Only what has a header of cloud-init's own is read after it was rendered.
    let kind = match header::kind(rendered.text(), options.cloud_init) {
        Kind::Mime => Kind::Unknown,
        kind => kind,
    };
    // cloud-init renders once.
    if kind == Kind::JinjaTemplate {
        return skipped(warnings);
    }
    let mut judged = judge_as(&rendered, kind, options, depth);
    for finding in &mut judged.diagnostics {
        places.translate(finding);
    }
    for part in &mut judged.parts {
        part.span = places.span(part.span);
    }
    judged.suppressed.iter_mut().for_each(|allowed| places.translate_suppressed(allowed));
    judged.diagnostics.extend(warnings);
    judged
}

/// A cloud-config, its text read as YAML.
pub(super) fn cloud_config(source: &Source, options: &Options, diagnostics: &mut Vec<Diagnostic>) -> Verdict {
    let tree = match yaml11::parse_replacing_surrogates(source.text()) {
        Ok((tree, half)) => {
            diagnostics.extend(half.as_ref().map(document::half_a_character));
            tree
        }
        Err(error) => {
            diagnostics.push(document::invalid_yaml(source, &error));
            secrets::text(source, diagnostics);
            artifacts::check_text(source, diagnostics);
            command::ignored_parts(source, options, diagnostics);
            return Verdict::Invalid;
        }
    };
    let Some(root) = tree.root().filter(|root| root.entries().is_some()) else {
        diagnostics.push(document::not_a_mapping(source, &tree));
        secrets::text(source, diagnostics);
        artifacts::check_text(source, diagnostics);
        return Verdict::Invalid;
    };
    let context = message::Context { source, tree: &tree, root, version: options.cloud_init };
    let mut unknown = Vec::new();
    for (key, value) in value::entries(&tree, root) {
        let known =
            key.as_str().and_then(modules::top_level).filter(|shape| check::is_known(*shape, options.cloud_init));
        let Some(shape) = known else {
            unknown.push(key);
            continue;
        };
        let outcome = check::check(&tree, key, value, shape, options.cloud_init);
        for fault in outcome.faults.iter().filter(|fault| !fault.is_said_better(&outcome.faults)) {
            diagnostics.extend(message::findings(&context, fault));
        }
        if outcome.exhausted {
            diagnostics.push(document::too_complex(key));
        }
    }
    document::unknown_keys(&context, &unknown, diagnostics);
    drop(unknown);
    command::ignored_parts(source, options, diagnostics);
    let document = Document::new(source, &tree, root);
    document::collections(&document, diagnostics);
    content::bootcmd(&document, diagnostics);
    content::runcmd(&document, diagnostics);
    content::users(&document, diagnostics);
    write_files::check(&document, diagnostics);
    boot::check(&document, diagnostics);
    image::check(&document, options, diagnostics);
    secrets::document(&document, diagnostics);
    artifacts::check_document(&document, diagnostics);
    verdict(diagnostics)
}

/// What cloud-init's own findings amount to.
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
