//! The kind of a user-data document, which cloud-init decides by its first characters.

use super::version::Version;

/// The kind of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    CloudConfig,
    JinjaTemplate,
    Mime,
    CloudConfigArchive,
    Jsonp,
    Include,
    Script,
    Boothook,
    PartHandler,
    Gzip,
    Empty,
    Unknown,
}

impl Kind {
    /// The name in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CloudConfig => "cloud-config",
            Self::JinjaTemplate => "jinja-template",
            Self::Mime => "mime",
            Self::CloudConfigArchive => "cloud-config-archive",
            Self::Jsonp => "jsonp",
            Self::Include => "include",
            Self::Script => "script",
            Self::Boothook => "boothook",
            Self::PartHandler => "part-handler",
            Self::Gzip => "gzip",
            Self::Empty => "empty",
            Self::Unknown => "unknown",
        }
    }
}

/// The headers that cloud-init knows; the first match wins, so longer ones come first.
const HEADERS: &[(&str, Kind)] = &[
    ("#cloud-config-archive", Kind::CloudConfigArchive),
    ("#cloud-config-jsonp", Kind::Jsonp),
    ("## template: jinja", Kind::JinjaTemplate),
    ("#cloud-boothook", Kind::Boothook),
    ("#cloud-config", Kind::CloudConfig),
    ("#include-once", Kind::Include),
    ("#part-handler", Kind::PartHandler),
    ("#include", Kind::Include),
    ("#!", Kind::Script),
    // cloud-init also accepts these MIME types as headers.
    ("text/x-shellscript-per-instance", Kind::Script),
    ("text/x-shellscript-per-boot", Kind::Script),
    ("text/x-shellscript-per-once", Kind::Script),
];

/// Since this version, white space may come before the header, and case does not matter (25.1, but
/// not 22.4).
pub(super) const LENIENT: Version = Version::new(25, 1);

/// White space as defined by Python's `str.lstrip`.
pub(super) fn is_blank(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// The kind of a text, according to a version of cloud-init.
pub(super) fn kind(text: &str, version: Version) -> Kind {
    if text.is_empty() {
        return Kind::Empty;
    }
    let start = if version >= LENIENT { text.trim_start_matches(is_blank) } else { text };
    let starts_with = |header: &str| {
        let mut characters = start.chars().flat_map(char::to_lowercase);
        let lenient = version >= LENIENT;
        if lenient {
            header.chars().all(|expected| characters.next() == Some(expected))
        } else {
            start.starts_with(header)
        }
    };
    if let Some((_, kind)) = HEADERS.iter().find(|(header, _)| starts_with(header)) {
        return *kind;
    }
    let lower = start.chars().take(14).flat_map(char::to_lowercase).collect::<String>();
    if lower.starts_with("content-type:") || lower.starts_with("mime-version:") { Kind::Mime } else { Kind::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_parsed_like_cloud_init() {
        let kind = |text| kind(text, Version::LATEST);
        assert_eq!(kind("#cloud-config\n"), Kind::CloudConfig);
        assert_eq!(kind("\n \t#CLOUD-Config please\n"), Kind::CloudConfig);
        assert_eq!(kind("#cloud-config-archive\n"), Kind::CloudConfigArchive);
        assert_eq!(kind("#include-once\nhttps://downloads.example"), Kind::Include);
        assert_eq!(kind("## template: jinja\n"), Kind::JinjaTemplate);
        assert_eq!(kind("#!/bin/sh\n"), Kind::Script);
        assert_eq!(kind("Content-Type: multipart/mixed\n"), Kind::Mime);
        for unknown in [
            "\u{feff}#cloud-config\n", "# cloud-config\n", "---\n#cloud-config\n", "#cloud-confi", "# x\n#cloud-config",
        ] {
            assert_eq!(kind(unknown), Kind::Unknown, "{unknown:?}");
        }
        assert_eq!(kind(""), Kind::Empty);
    }

    #[test]
    fn a_wrong_header_is_explained() {
        for (text, help) in [
            ("\u{feff}#cloud-config\n", "without a byte order mark"),
            ("## template:jinja\n#cloud-config\n", "`## template: jinja`"),
            ("# cloud-config\n", "without the space"),
            ("#!cloud-config\n", "write `#cloud-config`"),
            ("#! cloud-config \npackages: [a]\n", "write `#cloud-config`"),
            ("#!/usr/bin/cloud-config\n", "write `#cloud-config`"),
            ("#!/usr/bin/env cloud-config\n", "write `#cloud-config`"),
            ("#!#cloud-config\n", "write `#cloud-config`"),
            ("#!cloud_config\n", "write `#cloud-config`"),
            ("#!cloud-config-archive\n", "write `#cloud-config-archive`"),
            ("#!cloud-boothook\n#!/bin/sh\n", "write `#cloud-boothook`"),
            ("#!include\nhttps://a.example\n", "write `#include`"),
            ("##cloud-config\n", "write `#cloud-config` in the first line"),
            ("#cloud_config\n", "write `#cloud-config` in the first line"),
            ("#cloudconfig\n", "write `#cloud-config` in the first line"),
            ("//cloud-config\n", "write `#cloud-config` in the first line"),
        ] {
            let report = crate::lint_bytes("t", text.as_bytes(), &crate::Options::default());
            let found = &report.documents[0].findings.diagnostics;
            let (code, message) = (found[0].rule.code, found[0].help.clone().unwrap_or_default());
            assert!(code == "MK001" && message.contains(help) && found.len() == 1, "{text}: {found:?}");
        }
        for text in ["#!/bin/sh\n", "#!/usr/bin/env python3\n", "#!/usr/bin/cloud-init-per\n", "#!/opt/include.sh\n"] {
            let report = crate::lint_bytes("t", text.as_bytes(), &crate::Options::default());
            let found = &report.documents[0].findings.diagnostics;
            assert!(found.iter().all(|found| found.rule.code != "MK001"), "{text}: {found:?}");
        }
    }

    #[test]
    fn old_versions_are_strict() {
        assert_eq!(kind("\n#cloud-config\n", Version::OLDEST), Kind::Unknown);
        assert_eq!(kind("#Cloud-config\n", Version::OLDEST), Kind::Unknown);
        assert_eq!(kind("#cloud-config\n", Version::OLDEST), Kind::CloudConfig);
    }
}
