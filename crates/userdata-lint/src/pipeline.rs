//! The passes between the checks and the report.
//!
//! Checks only add findings. Whatever happens to a finding afterwards happens in one of these
//! passes, in the order of the lists [`DOCUMENT`], [`FILE`] and [`TEMPLATE`].

use super::checks::{self, Checked};
use super::header::{self, Kind};
use super::places::finding;
use super::{Options, boot, document, rules, secrets, suppress};
use diagnostics::source::Source;
use diagnostics::{Diagnostic, Findings, LintedDocument, Origin, Severity, Verdict, quoted};

/// A document between the checks and the report.
pub(super) struct Draft {
    pub source: Source,
    pub kind: Kind,
    /// How many bytes are sent to the provider; `None` if there is no limit to compare with.
    pub sent_bytes: Option<usize>,
    pub checked: Checked,
    /// Findings about the entries of [`Options::allow`].
    pub allow: Vec<Diagnostic>,
}

/// Changes what the checks found: a description and the function.
type Pass = (&'static str, fn(&mut Draft, &Options));

/// The passes for a user-data document.
pub(super) const DOCUMENT: &[Pass] = &[
    ("skip files that are not documents", skip_unmarked),
    ("give the verdict of `cloud-init schema`", schema_command),
    ("compare the size with the limits", size),
    ("apply comments that allow findings", comments),
    ("apply the allow list", allow_list),
    // After the allow list: an entry for a finding that is reported elsewhere is in use.
    ("drop findings that are reported elsewhere", drop_reported_elsewhere),
    ("sort by place", sort),
    ("drop duplicates", drop_duplicates),
    ("drop secrets without a path that are also found with one", merge_secrets),
    ("hide detected secrets", hide_secrets),
    ("redact known secrets", redact),
];

/// The passes for a file that is checked on its own.
pub(super) const FILE: &[Pass] =
    &[("apply comments that allow findings", file_comments), ("apply the allow list", file_allow_list)];

/// The passes for an image template, whose findings come from the caller.
pub(super) const TEMPLATE: &[Pass] = &[
    ("redact known secrets", redact),
    ("apply comments that allow findings", template_comments),
    ("sort by place", |draft, _| draft.checked.diagnostics.sort_by_key(|found| found.span)),
];

impl Draft {
    pub(super) fn new(source: &Source, kind: Kind, sent_bytes: Option<usize>, checked: Checked) -> Self {
        Self { source: source.clone(), kind, sent_bytes, checked, allow: Vec::new() }
    }

    pub(super) fn run(mut self, passes: &[Pass], options: &Options) -> Self {
        for (_, pass) in passes {
            pass(&mut self, options);
        }
        self
    }

    /// The document as it is reported, under the name of its kind.
    pub(super) fn into_document(self, kind: &'static str) -> LintedDocument {
        let Checked { verdict, diagnostics, parts, suppressed, .. } = self.checked;
        LintedDocument { kind, verdict, findings: Findings { source: self.source, diagnostics }, parts, suppressed }
    }
}

fn skip_unmarked(draft: &mut Draft, options: &Options) {
    if options.skip_unmarked && draft.kind == Kind::Unknown {
        draft.checked = Checked::new(Verdict::Skipped, Vec::new());
        draft.sent_bytes = None;
    }
}

/// `cloud-init schema` refuses some kinds of user-data that cloud-init reads at boot. What was found
/// in them stays, as findings of mkimg. `docs/design/validate.md` has the table.
fn schema_command(draft: &mut Draft, options: &Options) {
    let Draft { source, kind, checked, .. } = draft;
    let version = options.cloud_init;
    let old = version < header::LENIENT;
    let verdict = match kind {
        Kind::CloudConfig | Kind::Unknown | Kind::Gzip => return,
        // Version 22.4 only compares the first letters with `#cloud-config`, and goes on to the
        // schema.
        Kind::CloudConfigArchive | Kind::Jsonp if old => checks::cloud_config(source, options, &mut Vec::new()).0,
        // No version reads multi-part documents, so the refusal says nothing about this one.
        Kind::Mime => Verdict::Skipped,
        _ if old => Verdict::Invalid,
        _ => return,
    };
    checked.verdict = verdict;
    for found in &mut checked.diagnostics {
        found.origin = Origin::Mkimg;
    }
    let message = match kind {
        Kind::Mime => "`cloud-init schema` rejects every multi-part document; cloud-init reads it at boot".to_owned(),
        Kind::Empty => format!("`cloud-init schema` {version} calls an empty document {}", verdict.name()),
        _ => format!("`cloud-init schema` {version} calls this {} {}", kind_text(*kind), verdict.name()),
    };
    let help = match kind {
        Kind::Mime => "if you run the command, write a `#cloud-config-archive` with the same parts instead",
        _ => {
            "cloud-init still reads it at boot, and the findings inside it are reported separately; if you do not run the \
             command, add a line `# mkimg: allow-file MK008 reason`"
        }
    };
    let span = document::beginning(source);
    let mut refused = finding(&rules::REFUSED_BY_SCHEMA_COMMAND, String::new(), span, message, Some(help.into()));
    match (&kind, verdict) {
        (Kind::Mime, _) => {}
        (_, Verdict::Invalid) => (refused.origin, refused.severity) = (Origin::CloudInit, Severity::Error),
        _ => (refused.origin, refused.severity) = (Origin::CloudInit, Severity::Warning),
    }
    checked.diagnostics.push(refused);
}

fn kind_text(kind: Kind) -> &'static str {
    match kind {
        Kind::JinjaTemplate => "template",
        Kind::CloudConfigArchive => "archive",
        Kind::Jsonp => "JSON patch",
        Kind::Include => "list of URLs",
        Kind::Script => "script",
        Kind::Boothook => "boothook",
        Kind::PartHandler => "part handler",
        Kind::Mime | Kind::Empty | Kind::CloudConfig | Kind::Unknown | Kind::Gzip => "document",
    }
}

fn size(draft: &mut Draft, options: &Options) {
    let Some(bytes) = draft.sent_bytes else { return };
    let mut files: Vec<_> = draft.checked.files.iter().map(|file| (file.bytes, quoted(&file.path))).collect();
    files.sort_unstable_by(|one, two| two.cmp(one));
    let largest: Vec<_> = files.iter().take(3).map(|(bytes, path)| format!("{path} ({bytes} bytes)")).collect();
    document::size(bytes, &largest, options, &mut draft.checked.diagnostics);
}

fn comments(draft: &mut Draft, options: &Options) {
    let Checked { diagnostics, parts, suppressed, .. } = &mut draft.checked;
    suppress::in_document(&draft.source, options, parts, diagnostics, suppressed);
}

fn file_comments(draft: &mut Draft, _: &Options) {
    suppress::in_file(&draft.source, &mut draft.checked.diagnostics, &mut draft.checked.suppressed);
}

fn template_comments(draft: &mut Draft, _: &Options) {
    suppress::in_template(&draft.source, &mut draft.checked.diagnostics, &mut draft.checked.suppressed);
}

fn allow_list(draft: &mut Draft, options: &Options) {
    let Checked { diagnostics, suppressed, files, .. } = &mut draft.checked;
    draft.allow = suppress::by_allow_list(&options.allow, files, diagnostics, suppressed);
}

/// Unused entries are reported for the rendered document only.
fn file_allow_list(draft: &mut Draft, options: &Options) {
    let Checked { diagnostics, suppressed, files, .. } = &mut draft.checked;
    let destination = files.first().map(|file| file.path.as_str()).unwrap_or_default();
    suppress::in_file_by_allow_list(&options.allow, destination, diagnostics, suppressed);
}

/// Drops what the caller reports itself: findings in files that are checked on their own, and rules
/// that it has reported of the template.
fn drop_reported_elsewhere(draft: &mut Draft, options: &Options) {
    let Checked { diagnostics, files, .. } = &mut draft.checked;
    let in_separate_file = |found: &Diagnostic| {
        let index = found.path.strip_prefix("write_files.").and_then(|path| path.strip_suffix(".content"));
        let index: Option<usize> = index.and_then(|index| index.parse().ok());
        let of_file = |path: &str| {
            ("MK300".."MK350").contains(&found.rule.code)
                || [rules::INVALID_SSH_KEY.code, rules::IGNORED_FILE_NAME.code, rules::COCKROACH_WITHOUT_JOIN.code]
                    .contains(&found.rule.code)
                || boot::is_of_script(found, path)
        };
        files
            .iter()
            .any(|file| Some(file.index) == index && options.is_separate_file(&file.path) && of_file(&file.path))
    };
    diagnostics.retain(|found| !options.reported_rules.contains(&found.rule.code) && !in_separate_file(found));
}

/// Where a finding begins; a finding without a place comes first.
fn start(found: &Diagnostic) -> usize {
    found.span.unwrap_or_default().start
}

fn sort(draft: &mut Draft, _: &Options) {
    draft.checked.diagnostics.sort_by(|one, two| {
        (start(one), one.severity, one.rule.code, &one.path).cmp(&(start(two), two.severity, two.rule.code, &two.path))
    });
    draft.checked.suppressed.sort_by_key(|allowed| (start(&allowed.diagnostic), allowed.diagnostic.rule.code));
}

fn drop_duplicates(draft: &mut Draft, _: &Options) {
    draft.checked.diagnostics.dedup_by(|one, two| {
        one.rule.code == two.rule.code && one.path == two.path && one.message == two.message && one.span == two.span
    });
    draft.checked.suppressed.dedup();
}

fn merge_secrets(draft: &mut Draft, _: &Options) {
    secrets::drop_duplicates(&mut draft.checked.diagnostics);
}

fn hide_secrets(draft: &mut Draft, _: &Options) {
    let Checked { diagnostics, suppressed, .. } = &mut draft.checked;
    // An allowed secret is still hidden.
    let count = diagnostics.len();
    diagnostics.extend(suppressed.iter().map(|allowed| allowed.diagnostic.clone()));
    draft.source = secrets::redact(&draft.source, diagnostics);
    for (allowed, hidden) in suppressed.iter_mut().zip(diagnostics.drain(count..)) {
        allowed.diagnostic = hidden;
    }
}

fn redact(draft: &mut Draft, options: &Options) {
    if options.secrets.is_empty() {
        return;
    }
    let checked = std::mem::replace(&mut draft.checked, Checked::new(Verdict::Skipped, Vec::new()));
    let files = checked.files;
    let findings = Findings { source: draft.source.clone(), diagnostics: checked.diagnostics };
    let Checked { verdict, parts, suppressed, .. } = Checked { diagnostics: Vec::new(), files: Vec::new(), ..checked };
    let mut document = LintedDocument { kind: draft.kind.name(), verdict, findings, parts, suppressed };
    diagnostics::redact(&mut document, &options.secrets);
    let LintedDocument { findings, verdict, parts, suppressed, .. } = document;
    draft.source = findings.source;
    draft.checked = Checked { verdict, diagnostics: findings.diagnostics, parts, suppressed, files };
}
