//! Any template: it is refused with places in it, or it becomes a plan and a document.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mkimg::model::{FileTree, Inputs, Lock, Plan, ResolveError, Template};
use mkimg::source::Source;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let source = Source::new("templates/image.yaml", text);
    let Ok(tree) = mkimg::yaml::parse(source.text()) else { return };
    let inputs = Inputs { timestamp: "20270131-120000".into(), ..Inputs::default() };
    let resolved = match Template::new(source, tree).resolve(&inputs) {
        Ok(resolved) => resolved,
        Err(ResolveError::Template(faults)) => {
            assert!(!faults.is_empty());
            for fault in faults {
                let span = fault.span.unwrap_or_default();
                assert!(text.get(span.start..span.end).is_some(), "no such place in the text: {fault:?}");
            }
            return;
        }
        Err(ResolveError::Assignment(_)) => return,
    };
    let Ok(plan) = Plan::new("templates/image.yaml", resolved.spec, FileTree::default(), &Lock::default()) else { return };
    let Ok(document) = mkimg::render::render(&plan, None) else { return };
    assert_eq!(mkimg::render::render(&plan, None).map(|again| again.text).ok().as_deref(), Some(document.text.as_str()));
});
