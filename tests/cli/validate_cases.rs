//! Complete outputs of `mkimg validate`, carets included. Each directory under `tests/cases/validate/` holds documents, the
//! arguments (`args`, one a line; without it, every document there), and the expected `stdout`, `stderr` and `status`.
//! `make bless` rewrites them.

use std::path::Path;

use crate::harness::{compare_with_file, mkimg, tests};

fn run(case: &Path) -> [(&'static str, String); 3] {
    let arguments: Vec<String> = if let Ok(arguments) = std::fs::read_to_string(case.join("args")) {
        arguments.lines().map(str::to_owned).collect()
    } else {
        let mut names: Vec<_> = std::fs::read_dir(case)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !["args", "stdout", "stderr", "status"].contains(&name.as_str()))
            .collect();
        names.sort();
        names
    };
    let run = mkimg(case).arg("validate").args(arguments).run();
    [("stdout", run.stdout), ("stderr", run.stderr), ("status", format!("{}\n", run.exit))]
}

#[test]
fn every_case_prints_what_it_says() {
    let cases = tests("cases/validate");
    let mut count = 0;
    let mut wrong = Vec::new();
    for case in std::fs::read_dir(&cases).unwrap() {
        let case = case.unwrap().path();
        count += 1;
        for (name, text) in run(&case) {
            wrong.extend(compare_with_file(&case.join(name), &text));
        }
    }
    assert!(count >= 10, "only {count} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
