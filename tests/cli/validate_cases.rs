//! Whole outputs of `mkimg validate`, carets included: each directory under `tests/cases/validate/` holds documents, the
//! arguments (`args`, one a line; without it, every document there), and the expected `stdout`, `stderr` and `status`.
//! `SNAPSHOTS=overwrite` writes them anew.

use std::path::Path;
use std::process::Command;

fn run(case: &Path) -> (String, String, String) {
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
    let output = Command::new(env!("CARGO_BIN_EXE_mkimg"))
        .arg("validate")
        .args(arguments)
        .current_dir(case)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), format!("{}\n", output.status.code().unwrap()))
}

#[test]
fn every_case_prints_what_it_says() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/validate");
    let overwrite = std::env::var_os("SNAPSHOTS").is_some_and(|value| value == "overwrite");
    let mut count = 0;
    let mut wrong = Vec::new();
    for case in std::fs::read_dir(&cases).unwrap() {
        let case = case.unwrap().path();
        count += 1;
        let (stdout, stderr, status) = run(&case);
        for (name, text) in [("stdout", stdout), ("stderr", stderr), ("status", status)] {
            let file = case.join(name);
            if overwrite {
                std::fs::write(&file, &text).unwrap();
            }
            let expected = std::fs::read_to_string(&file).unwrap_or_default();
            if expected != text {
                wrong.push(format!("{}: expected\n{expected}\nfound\n{text}", file.display()));
            }
        }
    }
    assert!(count >= 10, "only {count} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
