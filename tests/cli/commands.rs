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
        (1, expected.to_owned(), "note: 2 changed\n".to_owned())
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
    assert_eq!(stderr, "note: 1 changed\nhelp: `mkimg diff --update` accepts the documents rendered now as expected\n");
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

/// A Git repository with a project that is committed.
fn committed() -> tempfile::TempDir {
    let project = project();
    git(project.path(), &["init", "--quiet"]);
    commit(project.path());
    project
}

fn commit(directory: &Path) {
    git(directory, &["add", "--all"]);
    let who = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    git(directory, &[&who[..], &["commit", "--quiet", "--message", "x"]].concat());
}

fn git(directory: &Path, arguments: &[&str]) {
    let output = Command::new("git").args(arguments).current_dir(directory).output().expect("git is installed");
    assert!(output.status.success(), "{output:?}");
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// A change of each kind that a reviewer sees: base image, mode, file, packages, steps, on-boot script.
fn change_everything(root: &Path) {
    let template = root.join("templates/image.yaml");
    replace(&template, "image: debian-12-x64", "image: debian-13-x64");
    replace(&template, "packages: [nginx, ufw]", "packages: [nginx, jq]");
    replace(&template, "mode: \"0640\"", "mode: \"0600\"");
    let on_boot = root.join("files/var/lib/cloud/scripts/per-instance");
    fs::rename(on_boot.join("001_onboot"), on_boot.join("002_onboot")).unwrap();
    fs::copy(root.join("scripts/01-hello.sh"), root.join("scripts/03-new.sh")).unwrap();
}

const CHANGES: &str = "\
droplet: changed
@@ -1,3 +1,3 @@
-image: \"debian-12-x64\"
+image: \"debian-13-x64\"
 region: \"nyc3\"
 size: \"s-1vcpu-1gb\"
/etc/hello.conf: changed
@@ -1,3 +1,3 @@
 owner: \"hello:hello\"
-permissions: \"0640\"
+permissions: \"0600\"
 defer: true
packages: changed
@@ -1,2 +1,2 @@
 nginx
-ufw
+jq
steps: changed
@@ -2,5 +2,6 @@
 install packages
 script 01-hello.sh
 script 02-firewall.sh
+script 03-new.sh
 cleanup 90-cleanup.sh
 check 99-check.sh
/var/lib/cloud/scripts/per-instance/002_onboot: renamed from /var/lib/cloud/scripts/per-instance/001_onboot
script 03-new.sh: added
@@ -0,0 +1,5 @@
+#!/bin/sh
";

#[test]
fn revisions_are_compared_by_what_they_render() {
    let project = committed();
    let diff = |revisions: &[&str]| mkimg(project.path()).args(["diff", "--git"]).args(revisions).run();
    assert_eq!(
        diff(&["HEAD"]).into_parts(),
        (0, String::new(), "note: HEAD and the files on disk render the same\n".to_owned())
    );
    change_everything(project.path());
    let (exit, stdout, stderr) = diff(&["HEAD"]).into_parts();
    assert_eq!((exit, stderr.as_str()), (1, "note: 4 changed, 1 added, 1 renamed\n"), "{stdout}");
    let head = "--- HEAD (default)\n+++ the files on disk (default)\n";
    assert!(stdout.starts_with(&format!("{head}{CHANGES}")), "{stdout}");

    commit(project.path());
    let (exit, stdout, _) = diff(&["HEAD~1", "HEAD"]).into_parts();
    assert!(stdout.starts_with(&format!("--- HEAD~1 (default)\n+++ HEAD (default)\n{CHANGES}")), "{stdout}");
    assert_eq!((exit, diff(&["HEAD"]).exit), (1, 0));

    // A case of one of them; then none, and the template's own values are used.
    fs::create_dir(project.path().join("fixtures/other")).unwrap();
    fs::write(project.path().join("fixtures/other/variables.yaml"), "{}\n").unwrap();
    let expected = "--- HEAD\n+++ the files on disk\ncase other: added\n";
    assert_eq!(diff(&["HEAD"]).into_parts(), (1, expected.to_owned(), "note: 1 added\n".to_owned()));
    fs::remove_dir_all(project.path().join("fixtures")).unwrap();
    commit(project.path());
    fs::write(project.path().join("files/etc/hello.conf"), "x\n").unwrap();
    let (exit, stdout, _) = diff(&["HEAD"]).into_parts();
    assert!(stdout.starts_with("--- HEAD\n+++ the files on disk\n/etc/hello.conf: changed\n"), "{stdout}");
    assert_eq!(exit, 1);
}

/// The repository stays as it is, and a project may be in a directory of it.
#[test]
fn comparing_revisions_leaves_the_repository_alone() {
    let repository = tempfile::tempdir().unwrap();
    mkimg(repository.path()).args(["init", "images/hello"]).run().success();
    git(repository.path(), &["init", "--quiet"]);
    commit(repository.path());
    let root = repository.path().join("images/hello");
    change_everything(&root);
    git(repository.path(), &["add", "images/hello/scripts"]);
    let state = || {
        let status =
            Command::new("git").args(["status", "--porcelain"]).current_dir(repository.path()).output().unwrap();
        String::from_utf8(status.stdout).unwrap()
    };
    let before = state();
    for arguments in [
        &["-C", "images/hello", "diff", "--git", "HEAD"][..],
        &["diff", "images/hello/templates/image.yaml", "--git", "HEAD"],
    ] {
        let (exit, stdout, stderr) = mkimg(repository.path()).args(arguments).run().into_parts();
        assert!(exit == 1 && stdout.contains(CHANGES), "{arguments:?}: {stdout}{stderr}");
    }
    assert_eq!(state(), before);
}

#[test]
fn revisions_that_cannot_be_compared_are_refused() {
    let project = committed();
    let outside = self::project();
    let refused = |directory: &Path, arguments: &[&str]| mkimg(directory).arg("diff").args(arguments).run().refused();
    let text = refused(project.path(), &["--git", "nowhere"]);
    assert!(text.starts_with("error: `nowhere` is not a revision of this repository\nhelp: name a commit"), "{text}");
    // Never an option of Git.
    let text = refused(project.path(), &["--git=--output=x"]);
    assert!(text.starts_with("error: `--output=x` is not a revision"), "{text}");
    let text =
        mkimg(outside.path()).args(["diff", "--git", "HEAD"]).env("GIT_CEILING_DIRECTORIES", "/").run().refused();
    assert!(text.starts_with("error: git: not a git repository"), "{text}");
    let text = mkimg(project.path()).args(["diff", "--git", "HEAD"]).env("PATH", "/nowhere").run().refused();
    assert!(text.starts_with("error: cannot run git: ") && text.contains("help: install git"), "{text}");
    let text = refused(project.path(), &["a", "b", "--git", "HEAD"]);
    assert!(text.starts_with("error: --git compares revisions of one project"), "{text}");
    let text = refused(project.path(), &["--git", "HEAD", "--update"]);
    assert!(text.contains("cannot be used with"), "{text}");

    // The revision has a mistake, or not the project.
    let template = project.path().join("templates/image.yaml");
    replace(&template, "packages:", "pakages:");
    commit(project.path());
    replace(&template, "pakages:", "packages:");
    let text = refused(project.path(), &["--git", "HEAD"]);
    assert!(text.contains("pakages") && text.ends_with("error: HEAD cannot be rendered\n"), "{text}");
    fs::create_dir(project.path().join("later")).unwrap();
    let later = project.path().join("later");
    mkimg(&later).arg("init").run().success();
    let text = refused(&later, &["--git", "HEAD"]);
    assert!(text.starts_with("error: the project is not in revision `HEAD`\nhelp: "), "{text}");
}

/// What a case says of the bake itself; a change that is in several cases is shown once.
#[test]
fn cases_say_what_a_bake_uses_beside_the_document() {
    let project = project();
    let root = project.path();
    let settings = root.join("fixtures/default/bake.yaml");
    assert!(fs::read_to_string(&settings).unwrap().contains("  name: hello-1.0.0-20000101-000000\n"));
    let second = root.join("fixtures/second");
    fs::create_dir(&second).unwrap();
    fs::write(second.join("variables.yaml"), "region: fra1\n").unwrap();
    let wrote = "note: wrote fixtures/second/user-data.yaml\nnote: wrote fixtures/second/bake.yaml\n";
    assert_eq!(mkimg(root).args(["diff", "--update"]).run().into_parts(), (0, String::new(), wrote.to_owned()));
    mkimg(root).arg("diff").run().success().stderr_has("note: 2 cases are as expected\n");

    replace(&root.join("templates/image.yaml"), "services: [nginx.service]", "services: [ufw.service]");
    fs::write(root.join("files/etc/hello.conf"), "x\n").unwrap();
    let (exit, stdout, stderr) = mkimg(root).arg("diff").run().into_parts();
    let both = |file: &str| format!("--- fixtures/default/{file}\n--- fixtures/second/{file}\n+++ rendered\n");
    assert!(stdout.starts_with(&format!("{}/etc/hello.conf: changed\n", both("user-data.yaml"))), "{stdout}");
    let verify = format!(
        "{}verify: changed\n@@ -1,5 +1,5 @@\n services:\n-  - \"nginx.service\"\n+  - \"ufw.service\"\n",
        both("bake.yaml")
    );
    assert!(stdout.contains(&verify) && stdout.matches("changed").count() == 2, "{stdout}");
    assert!(exit == 1 && stderr.starts_with("note: 2 changed\n"), "{stderr}");

    // Without the file, a case expects nothing of the bake, which is said.
    mkimg(root).args(["diff", "--update"]).run().success();
    for case in ["default", "second"] {
        fs::remove_file(root.join("fixtures").join(case).join("bake.yaml")).unwrap();
    }
    replace(&root.join("templates/image.yaml"), "debian-12-x64", "debian-13-x64");
    let (exit, stdout, stderr) = mkimg(root).arg("diff").run().into_parts();
    assert_eq!((exit, stdout.as_str()), (0, ""), "{stderr}");
    assert!(
        stderr.starts_with(
            "note: no bake.yaml in fixtures/default and 1 more: `mkimg diff` does not notice a new base image"
        ),
        "{stderr}"
    );
}

/// What has no room in the document is in bake.yaml, with its sum.
#[test]
fn an_uploaded_file_that_changes_is_a_difference() {
    let project = project();
    let large = project.path().join("files/etc/large");
    fs::write(&large, vec![7; 11 << 20]).unwrap();
    mkimg(project.path()).args(["diff", "--update"]).run().success();
    mkimg(project.path()).arg("diff").run().success();
    let mut changed = vec![7; 11 << 20];
    changed[5 << 20] = 8;
    fs::write(&large, changed).unwrap();
    let (exit, stdout, _) = mkimg(project.path()).arg("diff").run().into_parts();
    assert!(
        exit == 1 && stdout.starts_with("--- fixtures/default/bake.yaml\n+++ rendered\nuploads: changed\n"),
        "{stdout}"
    );
}

/// Artifacts are in both files of a case; a new pin is one change.
#[test]
fn a_changed_artifact_is_shown_once() {
    let project = project();
    let template = project.path().join("templates/image.yaml");
    let artifact = |version: &str| {
        format!(
            "artifacts:\n  - {{url: \"https://example.com/app-{version}\", to: /usr/local/bin/app}}\nupgrade: true\n"
        )
    };
    replace(&template, "upgrade: true\n", &artifact("1"));
    mkimg(project.path()).args(["diff", "--update"]).run().success();
    replace(&template, "app-1", "app-2");
    let (exit, stdout, stderr) = mkimg(project.path()).arg("diff").run().into_parts();
    assert!(exit == 1 && stdout.matches("artifacts: changed").count() == 1, "{stdout}");
    assert!(stdout.contains("+  url: \"https://example.com/app-2\"\n"), "{stdout}{stderr}");
}

/// A file of the bundle is shown with all that its entry would say.
#[test]
fn a_bundled_file_has_owner_mode_and_defer() {
    let project = project();
    let template = project.path().join("templates/image.yaml");
    replace(&template, "mode: \"0640\"}", "mode: \"0640\", bundle: true}");
    let document = mkimg(project.path()).arg("render").run().success().stdout;
    assert!(!document.contains("greeting = hello"), "{document}");
    fs::write(project.path().join("x.yaml"), document).unwrap();
    let shown = mkimg(project.path()).args(["show", "x.yaml"]).run().success().stdout;
    let head = "=== /etc/hello.conf (owner: \"hello:hello\", permissions: \"0640\", defer: true)\n";
    assert!(shown.contains(head), "{shown}");
}

#[test]
fn differences_are_printed_in_each_format() {
    let project = committed();
    change_everything(project.path());
    let diff = |format: &str| mkimg(project.path()).args(["diff", "--format", format]).run();
    let (exit, stdout, _) = diff("json").into_parts();
    let value: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((exit, &value["summary"]), (1, &serde_json::json!({"added": 1, "changed": 4, "renamed": 1})));
    let (_, stdout, _) = diff("markdown").into_parts();
    assert!(
        stdout.starts_with(
            "**`mkimg diff`: 4 changed, 1 added, 1 renamed**\n\n<details><summary><code>/etc/hello.conf</code>"
        ),
        "{stdout}"
    );
    let (_, stdout, _) = diff("github").into_parts();
    let first = "::error file=fixtures/default/user-data.yaml,title=mkimg diff::/etc/hello.conf: changed%0A@@";
    assert!(stdout.starts_with(first) && stdout.lines().count() == 6, "{stdout}");
    let (_, stdout, _) = mkimg(project.path()).args(["diff", "--git", "HEAD", "--format", "github"]).run().into_parts();
    assert!(stdout.starts_with("::error title=mkimg diff::droplet: changed%0A@@"), "{stdout}");
    mkimg(project.path()).args(["diff", "--update"]).run().success();
    for (format, expected) in [
        ("json", "{\"version\":1,\"differences\":[],\"summary\":{}}\n"),
        ("markdown", "**`mkimg diff`: no difference**\n"),
        ("github", ""),
    ] {
        assert_eq!(diff(format).success().stdout, expected);
    }
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
