//! Any bytes and options: there is a report, every span is inside the text, every format can be read back.
//!
//! The last two bytes choose the options, so that a seed is a document as in a file.

#![no_main]

use diagnostics::Format;
use libfuzzer_sys::fuzz_target;
use userdata_lint::{Options, Version, lint_bytes, rules};

fuzz_target!(|input: &[u8]| {
    let (choices, bytes) = match input.split_last_chunk::<2>() {
        Some((bytes, choices)) => (*choices, bytes),
        None => ([0, 0], input),
    };
    let versions = Version::PROVEN;
    let options = Options {
        cloud_init: versions[usize::from(choices[0]) % versions.len()],
        limit: [Some(65_536), None, Some(0), Some(100)][usize::from(choices[1] & 3)],
        ..Options::default()
    };
    let report = lint_bytes("user-data.yaml", bytes, &options);
    for document in &report.documents {
        let text = document.findings.source.text();
        for found in &document.findings.diagnostics {
            for span in found.span.iter().chain(found.related.iter().map(|(span, _)| span)) {
                assert!(text.get(span.start..span.end).is_some(), "span outside the text: {found:?}");
            }
        }
        for part in &document.parts {
            assert!(text.get(part.span.start..part.span.end).is_some(), "span outside the text: {part:?}");
        }
    }
    for format in [Format::Human, Format::Json, Format::Github, Format::Sarif] {
        let shown = report.render(format, choices[1] & 4 == 0);
        if matches!(format, Format::Json | Format::Sarif) {
            serde_json::from_str::<serde_json::Value>(&shown).expect("valid JSON");
        }
    }
});
