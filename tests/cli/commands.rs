//! `diff`, `init`, `schema`, `man` and `completions` as a user sees them, and inputs that are too large for any command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{bless, mkimg, repository, run_python};

/// A new project, as `init` makes it.
fn project() -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    mkimg(project.path()).arg("init").run().success();
    project
}

// --- validate

/// A finding in a file of the project is reported once, at that file, and not again in the rendered document.
#[test]
fn contents_of_a_project_are_checked_where_they_are() {
    let project = project();
    let script = project.path().join("scripts/01-hello.sh");
    let text = fs::read_to_string(&script).unwrap();
    fs::write(&script, format!("{text}if true; then\n")).unwrap();
    let units = project.path().join("files/etc/systemd/system");
    fs::create_dir_all(&units).unwrap();
    fs::write(units.join("app.service"), "[Service]\nExecStart=/usr/bin/app\nRestart=allways\n").unwrap();
    let (exit, stdout, stderr) = mkimg(project.path()).args(["validate", "--format", "github"]).run().into_parts();
    assert_eq!(exit, 1, "{stderr}");
    let line = text.lines().count() + 1;
    let found: Vec<&str> = stdout.lines().collect();
    assert_eq!(found.len(), 2, "{stdout}");
    assert!(found[0].starts_with("::warning file=files/etc/systemd/system/app.service,line=3,col=9,"), "{stdout}");
    assert!(found[1].starts_with(&format!("::error file=scripts/01-hello.sh,line={line},col=1,")), "{stdout}");
}

// --- diff

/// The golden documents of this repository and of its examples. `make bless` rewrites them.
#[test]
fn golden_documents_are_as_expected() {
    let examples = fs::read_dir(repository().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let projects: Vec<PathBuf> = examples.filter(|path| path.is_dir()).collect();
    assert!(projects.len() >= 3, "{projects:?}");
    for project in projects.iter().map(PathBuf::as_path).chain([repository()]) {
        if bless() {
            mkimg(project).args(["diff", "--update"]).run().success();
        }
        let diff = mkimg(project).arg("diff").run();
        assert_eq!(diff.exit, 0, "`make bless` accepts the rendered documents: {diff:#?}");
        let cases = if project == repository() { "2 cases are" } else { "1 case is" };
        diff.stdout_is("").stderr_has(&format!("note: {cases} as expected\n"));
    }
}

#[test]
fn examples_have_no_finding() {
    for entry in fs::read_dir(repository().join("examples")).unwrap() {
        let project = entry.unwrap().path();
        if project.is_dir() {
            mkimg(&project).arg("render").run().success();
            mkimg(&project).args(["validate", "--deny", "warnings"]).run().success();
        }
    }
}

#[test]
fn two_documents_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("a", "#cloud-config\npackages: [curl]\nwrite_files:\n- {path: /etc/x, content: 'a\n\n    b'}\n");
    write("b", "#cloud-config\npackages: [wget]\nwrite_files:\n- {path: /etc/x, encoding: b64, content: YQpj}\n");
    assert_eq!(mkimg(folder.path()).args(["diff", "a", "a"]).run().into_parts(), (0, String::new(), String::new()));
    let expected = concat!(
        "--- a\n+++ b\n",
        "packages: changed\n@@ -1 +1 @@\n-- \"curl\"\n+- \"wget\"\n",
        "/etc/x: changed\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n",
    );
    assert_eq!(
        mkimg(folder.path()).args(["diff", "a", "b"]).run().into_parts(),
        (1, expected.to_owned(), String::new())
    );
    write("latin", "");
    fs::write(folder.path().join("latin"), b"caf\xe9").unwrap();
    let wrong = [
        (&["diff", "a", "nowhere"][..], "error: cannot read nowhere: it does not exist\n"),
        (&["diff", "a", "latin"], "error: cannot read latin: byte 3 is not UTF-8\n"),
        (&["diff", "a", "/dev/zero"], "error: cannot read /dev/zero: it is larger than 16 MiB\n"),
        (&["diff", "--update", "a", "b"], "error: --update rewrites fixtures, and two documents were given\n"),
        (&["diff", "a", "b", "a"], "error: unexpected value 'a'"),
    ];
    for (arguments, printed) in wrong {
        let (exit, stdout, stderr) = mkimg(folder.path()).args(arguments).run().into_parts();
        assert_eq!((exit, stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(stderr.starts_with(printed), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_project_is_compared_with_its_fixtures() {
    let project = project();
    let expected = project.path().join("fixtures/default/user-data.yaml");
    let before = fs::read(&expected).unwrap();
    let case_is_fine = (0, String::new(), "note: 1 case is as expected\n".to_owned());
    assert_eq!(mkimg(project.path()).arg("diff").run().into_parts(), case_is_fine);

    fs::write(project.path().join("files/etc/hello.conf"), "changed\n").unwrap();
    let (exit, stdout, stderr) = mkimg(project.path()).arg("diff").run().into_parts();
    assert_eq!(exit, 1);
    let head = "--- fixtures/default/user-data.yaml\n+++ rendered\n/etc/hello.conf: changed\n@@ -1,2 +1 @@\n";
    assert!(stdout.starts_with(head) && stdout.ends_with("\n+changed\n"), "{stdout}");
    assert_eq!(stderr, "help: `mkimg diff --update` accepts the documents rendered now as expected\n");
    assert_eq!(fs::read(&expected).unwrap(), before, "looking changes nothing");

    let wrote = "note: rewrote fixtures/default/user-data.yaml\n".to_owned();
    assert_eq!(mkimg(project.path()).args(["diff", "--update"]).run().into_parts(), (0, String::new(), wrote));
    assert_eq!(mkimg(project.path()).arg("diff").run().into_parts(), case_is_fine);

    // A case with its own variables, and a case without a document yet.
    let case = project.path().join("fixtures/newer");
    fs::create_dir(&case).unwrap();
    fs::write(case.join("variables.yaml"), "version: 2.0.0\n").unwrap();
    mkimg(project.path())
        .arg("diff")
        .run()
        .exits(1)
        .stderr_starts("error: fixtures/newer/user-data.yaml does not exist\n");
    mkimg(project.path()).args(["diff", "--update"]).run().success();
    assert!(fs::read_to_string(case.join("user-data.yaml")).unwrap().contains("2.0.0"));
    fs::write(case.join("variables.yaml"), "verison: 2.0.0\n").unwrap();
    mkimg(project.path()).arg("diff").run().exits(2).stderr_has("verison").stderr_has("did you mean `version`?");

    fs::remove_dir_all(project.path().join("fixtures")).unwrap();
    mkimg(project.path())
        .arg("diff")
        .run()
        .exits(2)
        .stderr_starts("error: fixtures has no case\nhelp: create a directory fixtures/default/");
}

// --- init

#[test]
fn a_new_project_passes_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (exit, stdout, stderr) = mkimg(folder.path()).args(["init", "images/hello"]).run().into_parts();
    assert_eq!((exit, stdout.as_str()), (0, ""), "{stderr}");
    assert!(
        stderr.starts_with("note: wrote an example project to images/hello; start with templates/image.yaml\n"),
        "{stderr}"
    );
    let project = folder.path().join("images/hello");
    let document = mkimg(&project).arg("render").run().success().stdout;
    assert!(document.starts_with("#cloud-config\n# Rendered by mkimg from templates/image.yaml: "), "{document}");
    for arguments in [&["validate", "--deny", "warnings"][..], &["diff"], &["render", "--locked"], &["lock"]] {
        mkimg(&project).args(arguments).run().success();
    }
    assert_eq!(mkimg(folder.path()).args(["-C", "images/hello", "diff"]).run().exit, 0);
    // Existing files are not overwritten.
    let template = project.join("templates/image.yaml");
    fs::write(&template, "mine").unwrap();
    let (exit, _, stderr) = mkimg(&project).arg("init").run().into_parts();
    assert_eq!((exit, fs::read_to_string(&template).unwrap().as_str()), (2, "mine"));
    assert!(stderr.contains("templates already exists\nhelp: "), "{stderr}");
}

// --- render: the comment at the top, and inputs that are too large

#[test]
fn a_document_says_what_it_was_rendered_from_wherever_that_is() {
    let project = project();
    let root = project.path();
    let document = mkimg(root).arg("render").run().success().stdout;
    let absolute = root.join("templates/image.yaml");
    for arguments in [
        &["render", "templates/image.yaml"][..],
        &["render", "./templates/image.yaml"],
        &["render", "templates/../templates/image.yaml"],
        &["-C", ".", "render"],
        &["-C", root.to_str().unwrap(), "render", "templates/image.yaml"],
        &["render", absolute.to_str().unwrap()],
    ] {
        assert_eq!(mkimg(root).args(arguments).run().success().stdout, document, "{arguments:?}");
    }
    // Outside the project only the file name is printed, and no character of it can end the comment.
    let elsewhere = tempfile::tempdir().unwrap();
    let odd = elsewhere.path().join("a\nb: é.yaml");
    fs::copy(&absolute, &odd).unwrap();
    let other = mkimg(root).args(["-C", ".", "render", odd.to_str().unwrap()]).run().success().stdout;
    assert!(other.starts_with("#cloud-config\n# Rendered by mkimg from a?b: ?.yaml: "), "{other}");
}

#[test]
fn oversized_inputs_are_not_read() {
    let project = project();
    let large = fs::File::create(project.path().join("files/etc/large")).unwrap();
    // A hole: reading it would take a tebibyte of memory.
    large.set_len(1 << 40).unwrap();
    mkimg(project.path())
        .arg("render")
        .run()
        .exits(2)
        .stdout_is("")
        .stderr_has("files/etc/large brings the files to more than 64 GiB in all");
    let (exit, _, stderr) = mkimg(project.path()).args(["render", "/dev/zero"]).run().into_parts();
    let printed = "error: cannot read /dev/zero: it is larger than 16 MiB\nhelp: ";
    assert!(exit == 2 && stderr.starts_with(printed), "{stderr}");
    mkimg(project.path()).args(["render", "--var-file", "/dev/zero"]).run().exits(2).stderr_starts(printed);
}

#[test]
fn a_template_that_multiplies_itself_is_refused() {
    let project = project();
    let template = project.path().join("templates/image.yaml");
    let mut text = fs::read_to_string(&template).unwrap();
    text.push_str("cloud_config:\n  l0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n");
    for level in 1..12 {
        let parts = vec![format!("*l{}", level - 1); 10].join(", ");
        text.push_str(&format!("  l{level}: &l{level} [{parts}]\n"));
    }
    fs::write(&template, text).unwrap();
    for command in ["render", "diff", "lock", "validate"] {
        let (exit, _, stderr) = mkimg(project.path()).arg(command).run().into_parts();
        let expected = if command == "validate" { 1 } else { 2 };
        assert_eq!(exit, expected, "{command}: {stderr}");
    }
    mkimg(project.path()).arg("render").run().stderr_has("MK919").stderr_has("the limit is 100000");
}

// --- schema, man, completions

/// The schema is valid. It accepts these templates, and refuses them with an unknown key or a value of the wrong type.
const CONFORMS: &str = r#"
import copy, json, sys, jsonschema, yaml
schema = json.load(open(sys.argv[1]))
validator = jsonschema.Draft202012Validator
validator.check_schema(schema)
assert schema["$schema"] == validator.META_SCHEMA["$id"]
for path in sys.argv[2:]:
    template = yaml.safe_load(open(path))
    validator(schema).validate(template)
    for key, value in (("scirpts", []), ("snapshot", [1]), ("packages", {"a": 1})):
        wrong = dict(copy.deepcopy(template), **{key: value})
        assert not validator(schema).is_valid(wrong), (path, key)
"#;

#[test]
fn the_schema_is_one_and_the_templates_conform() {
    let project = project();
    let schema = project.path().join("schema.json");
    fs::write(&schema, mkimg(project.path()).arg("schema").run().success().stdout).unwrap();
    let ours = repository().join("templates/marketplace-image.yaml");
    run_python(CONFORMS, [&schema, &ours, &project.path().join("templates/image.yaml")]);
}

/// The commands that `mkimg --help` lists.
fn commands(folder: &Path) -> Vec<String> {
    let help = mkimg(folder).arg("--help").run().success().stdout;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Continuation lines are indented further.
    let names = listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    mkimg(folder.path()).args(["man", "share/man1"]).run().success();
    let commands = commands(folder.path());
    assert!(commands.len() >= 14, "{commands:?}");
    for command in &commands {
        let page = fs::read_to_string(folder.path().join(format!("share/man1/mkimg-{command}.1"))).unwrap();
        assert!(page.contains(".TH") && page.contains(".SH OPTIONS"), "{command}");
    }
    assert!(fs::read_to_string(folder.path().join("share/man1/mkimg.1")).unwrap().contains("Exit status: 0 done"));
    mkimg(folder.path()).args(["man", "share/man1"]).run().success();
    fs::write(folder.path().join("file"), "").unwrap();
    mkimg(folder.path()).args(["man", "file"]).run().exits(2).stderr_starts("error: cannot write man pages to file: ");
}

#[test]
fn completions_complete() {
    let folder = tempfile::tempdir().unwrap();
    let bash = mkimg(folder.path()).args(["completions", "bash"]).run().success().stdout;
    fs::write(folder.path().join("mkimg.bash"), bash).unwrap();
    let script = ". ./mkimg.bash; COMP_WORDS=(mkimg re); COMP_CWORD=1; _mkimg mkimg re mkimg; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", script]).current_dir(folder.path()).output().unwrap();
    let offered = String::from_utf8(output.stdout).unwrap();
    assert!(offered.split_whitespace().any(|word| word == "render"), "{offered}");
    for (shell, head) in
        [("zsh", "#compdef mkimg"), ("fish", "# Print an optspec"), ("elvish", "\nuse "), ("powershell", "\nusing ")]
    {
        let script = mkimg(folder.path()).args(["completions", shell]).run().success().stdout;
        assert!(script.starts_with(head), "{shell}: {}", script.lines().take(3).collect::<String>());
        assert!(commands(folder.path()).iter().all(|command| script.contains(command.as_str())), "{shell}");
    }
    mkimg(folder.path())
        .args(["completions", "csh"])
        .run()
        .exits(2)
        .stdout_is("")
        .stderr_has("bash, elvish, fish, powershell, zsh");
}
