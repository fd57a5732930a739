//! The tests of the first-boot runner (`tests/runner/*.py`), run on the joined program that droplets get.
//!
//! They need `python3` and `openssl`, use only the loopback network, and write only to a temporary folder.
//! While working on a module, `cd tests/runner && python3 -B -m unittest` runs them against the sources.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use crate::harness::{mkimg, python, tests, write_files_below};
use mkimg::render::runner::{BAKE, INSTALL, Needs, bake_program, install_program};

fn run(arguments: &[&str], program: &Path) -> Output {
    python()
        .args(arguments)
        .current_dir(tests("runner"))
        .env("MKIMG_RUNNER_PROGRAM", program)
        .output()
        .expect("the runner's tests need python3")
}

fn written() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("runner.py");
    let install = install_program(Needs::ALL);
    let start = "import sys\nsys.exit(main())\n";
    let body = install.strip_suffix(start).expect("the program ends with its start");
    std::fs::write(&path, [body, &bake_program(true), start].concat()).expect("the program is written");
    (folder, path)
}

#[test]
fn the_joined_program_passes_the_runners_tests() {
    let (_folder, path) = written();
    let output = run(&["-B", "-m", "unittest", "--buffer", "--verbose"], &path);
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    // Visible with `--no-capture`: what this machine cannot try.
    for line in report.lines().filter(|line| line.contains("skipped")) {
        eprintln!("{line}");
    }
    let ran =
        report.split("\nRan ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|count| count.parse().ok());
    assert!(ran.is_some_and(|count: usize| count >= 150), "fewer tests than there are ran: {report}");
}

/// Runs Python code on both halves, and returns what it prints.
fn check(code: &str) -> String {
    check_halves(&install_program(Needs::ALL), &bake_program(true), code)
}

fn check_halves(install_half: &str, bake_half: &str, code: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (install, bake) = (folder.path().join("install.py"), folder.path().join("bake.py"));
    std::fs::write(&install, install_half).expect("the half is written");
    std::fs::write(&bake, bake_half).expect("the half is written");
    let modules: Vec<&str> = INSTALL.iter().chain(BAKE).map(|(name, _)| *name).collect();
    let output = python()
        .args([
            "-B",
            "-c",
            &format!("import ast, sys\ninstall, bake = (open(path).read() for path in sys.argv[1:3])\n{code}"),
        ])
        .args([install, bake])
        .args(modules)
        .output()
        .expect("the runner's tests need python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn both_halves_are_python_3_8() {
    check("for half in (install, bake): ast.parse(half, feature_version=(3, 8))");
}

#[test]
fn no_module_hides_one_of_pythons_own() {
    assert_eq!(check("print([name for name in sys.argv[3:] if name in sys.stdlib_module_names])"), "[]");
}

#[test]
fn no_name_is_defined_twice_in_the_common_namespace() {
    let twice = "
import collections
names = collections.Counter()
for node in ast.parse(install + bake).body:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        names[node.name] += 1
    elif isinstance(node, ast.Assign):
        names.update(name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))
print([name for name, count in names.items() if count > 1])";
    assert_eq!(check(twice), "[]");
}

#[test]
fn each_half_keeps_its_size() {
    let sizes = "
import lzma
for half in (install, bake):
    filters = [{'id': lzma.FILTER_LZMA1, 'preset': 9 | lzma.PRESET_EXTREME, 'lc': 4, 'lp': 0, 'pb': 0}]
    print(len(lzma.compress(half.encode(), lzma.FORMAT_ALONE, filters=filters)))";
    // Every byte is missing for the user's files. Few images unpack directories or upload.
    for (directories, uploads, install_limit, bake_limit) in [(false, false, 7_400, 9_100), (true, true, 8_000, 9_550)]
    {
        let install = install_program(Needs { directories, ..Needs::ALL });
        let printed = check_halves(&install, &bake_program(uploads), sizes);
        let sizes: Vec<usize> = printed.lines().map(|line| line.parse().expect("a number")).collect();
        assert!(
            sizes[0] <= install_limit && sizes[1] <= bake_limit,
            "installing half and bake half take {sizes:?} bytes"
        );
    }
}

/// Files whose names and contents YAML, shells and Python's text mode change.
const HOSTILE: [(&str, &[u8]); 12] = [
    ("empty", b""),
    ("no newline", b"text"),
    ("it's \"quoted\"", b"'\"'''\"\"\" $(id) `id` \\ %s {{ x }} ${x}\n"),
    ("\u{e9}\u{65e5}", "\u{e9}\u{65e5}\u{1f3ae}\n".as_bytes()),
    ("crlf", b"one\r\ntwo\rthree"),
    ("nul", b"\0\0a\0\n"),
    ("latin-1", b"\xe9\xff\xfe\n"),
    ("bom", b"\xef\xbb\xbfx\n"),
    ("separators", "\u{85}a\u{2028}b\u{2029}\n".as_bytes()),
    ("document", b"---\n...\n%YAML 1.1\n\tx: [\n"),
    ("mail", b"MIME-Version: 1.0\n#cloud-config\n"),
    ("spaces", b"  indented\n \n\n   trailing   \n\n\n"),
];

#[test]
fn readable_and_bundled_files_arrive_unchanged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = folder.path().join("project");
    for directory in ["templates", "files"] {
        std::fs::create_dir_all(project.join(directory)).expect("a folder");
    }
    for (name, content) in HOSTILE {
        std::fs::write(project.join("files").join(name), content).expect("a file");
    }
    // Deferred files come in a second run.
    let template = "snapshot: {name: x}\nusers: [{name: game, system: true}]\n\
        files: [{source: files, to: /etc/a}, {source: files, to: /srv/b/c, owner: game, mode: '0640'}]\n";
    for (case, attributes) in [
        ("readable", ""),
        ("bundled", "attributes: [{path: '/**', bundle: true}]\n"),
        ("mixed", "attributes: [{path: '/etc/a/*a*', bundle: true}, {path: '/srv/**/*o*', bundle: true}]\n"),
    ] {
        std::fs::write(project.join("templates/image.yaml"), format!("{template}{attributes}")).expect("a template");
        let document = folder.path().join(format!("{case}.yaml"));
        let root = folder.path().join(case);
        mkimg(&project).args(["render", "--limit", "none", "-o"]).arg(&document).run().success();
        write_files_below(&root, &document);
        for (name, content) in HOSTILE {
            for (directory, mode) in [("etc/a", 0o644), ("srv/b/c", 0o640)] {
                let path = root.join(directory).join(name);
                assert_eq!(std::fs::read(&path).expect("the file is there"), content, "{case}: {}", path.display());
                let permissions = std::fs::metadata(&path).expect("the file is there").permissions();
                assert_eq!(permissions.mode() & 0o7777, mode, "{case}: {}", path.display());
            }
        }
        let report = std::fs::read_to_string(root.join("run/mkimg/unbundle.json")).expect("the report");
        assert_eq!(report, r#"{"failed": []}"#, "{case}");
    }
}
