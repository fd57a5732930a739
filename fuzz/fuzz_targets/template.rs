//! Any template is rejected with spans inside it, or renders to the same document twice.

#![no_main]

use diagnostics::source::Source;
use libfuzzer_sys::fuzz_target;
use mkimg::model::{FileTree, Inputs, Lock, Plan, ResolveError, Template};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let source = Source::new("templates/image.yaml", text);
    let Ok(tree) = yaml11::parse(source.text()) else { return };
    let inputs = Inputs { timestamp: "20270131-120000".into(), ..Inputs::default() };
    let resolved = match Template::new(source, tree).resolve(&inputs) {
        Ok(resolved) => resolved,
        Err(ResolveError::Template(findings)) => {
            assert!(!findings.is_empty());
            for finding in findings {
                let span = finding.span.unwrap_or_default();
                assert!(text.get(span.start..span.end).is_some(), "span outside the text: {finding:?}");
            }
            return;
        }
        Err(ResolveError::Assignment(_)) => return,
    };
    let Ok(plan) = Plan::new("templates/image.yaml", resolved.spec, FileTree::default(), &Lock::default()) else { return };
    let Ok(document) = mkimg::render::render(&plan, None) else { return };
    assert_eq!(mkimg::render::render(&plan, None).map(|again| again.text).ok().as_deref(), Some(document.text.as_str()));
});
