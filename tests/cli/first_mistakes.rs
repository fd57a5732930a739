//! What people do wrong on their first day with mkimg, and the messages that they get.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::mkimg;

fn project() -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    assert_eq!(mkimg(project.path()).arg("init").run().exit, 0);
    project
}

/// Replaces a part of the template, which must be there.
fn edit(project: &Path, from: &str, to: &str) {
    let template = project.join("templates/image.yaml");
    let text = fs::read_to_string(&template).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(&template, text.replace(from, to)).unwrap();
}

// --- the wrong place

#[test]
fn in_the_wrong_directory_the_right_one_is_named() {
    let project = project();
    let printed = mkimg(project.path().join("files/etc")).arg("render").run().refused();
    assert_eq!(
        printed,
        "error: there is no template: templates does not exist\n\
         help: the project is in ../..: run mkimg there, or with -C ../..\n"
    );
    assert_eq!(mkimg(project.path().join("files/etc")).args(["-C", "../..", "diff"]).run().exit, 0);
    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(
        mkimg(elsewhere.path()).arg("render").run().refused(),
        "error: there is no template: templates does not exist\n\
         help: `mkimg init` writes an example project; -C DIR works on one elsewhere\n"
    );
    fs::create_dir(elsewhere.path().join("templates")).unwrap();
    assert!(
        mkimg(elsewhere.path())
            .arg("render")
            .run()
            .refused()
            .starts_with("error: there is no template: templates contains no .yaml")
    );
    for (directory, wrong) in [("nowhere", "does not exist"), ("/etc/passwd", "is not a directory")] {
        let printed = mkimg(elsewhere.path()).args(["-C", directory, "render"]).run().refused();
        assert!(printed.starts_with(&format!("error: {directory} {wrong}\nhelp: -C takes ")), "{printed}");
    }
}

/// The template need not be named while it is the only one.
#[test]
fn only_yaml_files_that_are_not_hidden_are_templates() {
    let project = project();
    let templates = project.path().join("templates");
    for other in [".image.yaml.swp", ".backup.yaml", "image.yaml.bak", "README.md", "yaml"] {
        fs::write(templates.join(other), "droplet: {").unwrap();
        mkimg(project.path()).arg("render").run().success();
    }
    for second in ["second.yml", "a.yaml"] {
        fs::write(templates.join(second), "snapshot: {name: second}\n").unwrap();
        let printed = mkimg(project.path()).arg("render").run().refused();
        let names = if second < "image" { [second, "image.yaml"] } else { ["image.yaml", second] };
        let names = names.map(|name| format!("templates/{name}")).join(", ");
        assert_eq!(printed, format!("error: there are several templates: {names}\nhelp: name one of them\n"));
        mkimg(project.path()).args(["render", &format!("templates/{second}")]).run().success();
        fs::remove_file(templates.join(second)).unwrap();
    }
    // The only one may have either ending.
    fs::rename(templates.join("image.yaml"), templates.join("image.yml")).unwrap();
    mkimg(project.path()).arg("render").run().success().stdout_has("Rendered by mkimg from templates/image.yml: ");
}

#[test]
fn a_path_with_one_wrong_letter_is_guessed() {
    for (from, to, printed) in [
        ("source: files/etc", "source: file/etc", "file/etc does not exist|did you mean files/etc?"),
        ("source: files/var", "source: files/vra", "files/vra does not exist|did you mean files/var?"),
        ("[scripts/*.sh]", "[script/*.sh]", "script does not exist|did you mean scripts?"),
        (
            "scripts/90-cleanup",
            "scripts/91-cleanup",
            "91-cleanup.sh does not exist|did you mean scripts/90-cleanup.sh?",
        ),
        // Nothing is close to it.
        ("source: files/etc", "source: conf/etc", "conf/etc does not exist|add it to the project"),
    ] {
        let project = project();
        edit(project.path(), from, to);
        let (error, help) = printed.split_once('|').unwrap();
        let stderr = mkimg(project.path()).arg("render").run().refused();
        assert!(stderr.contains(error) && stderr.contains(&format!("= help: {help}")), "{stderr}");
        let there = mkimg(Path::new("/")).args(["-C", project.path().to_str().unwrap(), "render"]).run().refused();
        assert_eq!(there, stderr, "seen from elsewhere");
    }
}

/// Common YAML mistakes. The help shows the correct form.
#[test]
fn yaml_that_breaks_has_help() {
    for (from, to, place, help) in [
        ("image: \"{{ image }}\"", "image: {{ image }}", "9:19", "put quotes around it: \"{{ … }}\""),
        ("upgrade: true", "upgrade true", "15:1", "write `key: value`, with a space after the colon"),
        ("  version: ", "\tversion: ", "4:1", "indent with spaces"),
        ("[nginx, ufw]", "nginx", "15:11", "write `[one, two]`, or a line `- one` for each"),
    ] {
        let project = project();
        edit(project.path(), from, to);
        let printed = mkimg(project.path()).arg("render").run().refused();
        assert!(printed.contains(&format!("--> templates/image.yaml:{place}\n")), "{printed}");
        assert!(printed.contains(&format!(" = help: {help}\n")), "{printed}");
    }
}

// --- writing

#[test]
fn failed_writes_say_why_and_leave_nothing() {
    let project = project();
    let printed = mkimg(project.path()).args(["render", "-o", "nowhere/user-data.yaml"]).run().refused();
    assert!(
        printed.starts_with("error: cannot write nowhere/user-data.yaml: its directory does not exist\nhelp: "),
        "{printed}"
    );
    let printed = mkimg(project.path()).args(["render", "-o", "/dev/full"]).run().refused();
    assert!(printed.starts_with("error: cannot write /dev/full: no space left on device\n"), "{printed}");
    // There is a file where `init` needs a directory.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "mine").unwrap();
    let printed = mkimg(folder.path()).args(["init", "file/project"]).run().refused();
    assert!(
        printed.contains("cannot write file/project: a part of its path is not a directory\nhelp: nothing was written"),
        "{printed}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn help_that_cannot_be_written_fails() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut help = mkimg("/").arg("--help").into_command();
    assert_eq!(help.stdout(full).status().unwrap().code(), Some(2));
}

#[test]
fn a_dash_is_standard_output_and_standard_input() {
    let project = project();
    let document = mkimg(project.path()).arg("render").run().stdout;
    assert_eq!(
        mkimg(project.path()).args(["render", "-o", "-"]).run().into_parts(),
        (0, document.clone(), String::new())
    );
    assert!(!project.path().join("-").exists());
    let expected = "fixtures/default/user-data.yaml";
    for arguments in [["diff", expected, "-"], ["diff", "-", expected]] {
        mkimg(project.path()).args(arguments).stdin(document.as_str()).run().success().stdout_is("");
    }
    assert!(mkimg(project.path()).args(["diff", "-", "-"]).run().refused().contains("only one of the two documents"));
    assert!(
        mkimg(project.path()).args(["validate", "-", "-"]).run().refused().starts_with("error: `-` is given twice")
    );
}

#[test]
fn stats_want_an_equals_sign() {
    let project = project();
    let printed = mkimg(project.path()).args(["render", "--stats", "json"]).run().refused();
    assert!(printed.ends_with("help: write --stats=json, in one word\n"), "{printed}");
}

// --- variables and secrets

#[test]
fn a_file_of_values_is_wrong_at_a_line_and_column() {
    let project = project();
    let values = project.path().join("values.yaml");
    for (text, printed) in [
        (
            "# mine\nregoin: fra1\n",
            "values.yaml:2:1: the template has no variable `regoin`\nhelp: did you mean `region`?\n",
        ),
        (
            "region: [fra1]\n",
            "values.yaml:1:9: expected a text, a number or true or false for `region`, found a list\n",
        ),
        ("\tregion: fra1\n", "values.yaml:1:1: expected spaces before a key or a value, found a tab\n"),
    ] {
        fs::write(&values, text).unwrap();
        let stderr = mkimg(project.path()).args(["render", "--var-file", "values.yaml"]).run().refused();
        assert!(stderr.starts_with(&format!("error: {printed}")), "{stderr}");
    }
}

#[test]
fn only_sensitive_variables_come_from_the_environment() {
    let project = project();
    let render = mkimg(project.path()).args(["render", "-o", "user-data.yaml"]).env("MKIMG_VAR_REGION", "fra1");
    let printed = "warning: MKIMG_VAR_REGION has no effect: the variable `region` is not sensitive\n\
                help: use --var region=VALUE, or write `sensitive: true` in the template\n";
    render.run().success().stdout_is("").stderr_is(printed);
}

const SECRET: &str = "hunter2-and-more";

/// A project with a secret in its environment.
fn secretive() -> tempfile::TempDir {
    let project = project();
    edit(project.path(), "variables:", "variables:\n  token: {sensitive: true}\n ");
    edit(project.path(), "environment: {", "environment: {TOKEN: \"{{ token }}\", ");
    project
}

#[test]
fn a_document_with_a_secret_is_its_owners_alone() {
    let project = secretive();
    let document = project.path().join("user-data.yaml");
    let outside = tempfile::tempdir().unwrap();
    let other = outside.path().join("user-data.yaml");
    for readable in [None, Some(0o644), Some(0o640)] {
        for document in [&document, &other] {
            if let Some(mode) = readable {
                fs::set_permissions(document, fs::Permissions::from_mode(mode)).unwrap();
            }
            let render = mkimg(project.path()).args(["render", "-o"]).arg(document).env("MKIMG_VAR_TOKEN", SECRET);
            render.run().success();
            assert!(fs::read_to_string(document).unwrap().contains(SECRET));
            assert_eq!(fs::metadata(document).unwrap().permissions().mode() & 0o777, 0o600, "{readable:?}");
        }
    }
}

#[test]
fn fixtures_never_get_a_real_secret() {
    let project = secretive();
    let fixture = project.path().join("fixtures/default/user-data.yaml");
    let before = fs::read(&fixture).unwrap();
    let (exit, stdout, _) = mkimg(project.path()).arg("diff").env("MKIMG_VAR_TOKEN", SECRET).run().into_parts();
    assert_eq!(exit, 1);
    assert!(!stdout.contains(SECRET) && stdout.contains("+TOKEN: \"[redacted]\""), "{stdout}");
    mkimg(project.path())
        .args(["diff", "--update"])
        .env("MKIMG_VAR_TOKEN", SECRET)
        .run()
        .exits(2)
        .stderr_has("user-data.yaml would contain the value of the sensitive variable `token`\nhelp: ");
    assert_eq!(fs::read(&fixture).unwrap(), before);
    // A value in the file of the case takes precedence over the environment.
    fs::write(project.path().join("fixtures/default/variables.yaml"), "token: made-up\n").unwrap();
    mkimg(project.path()).args(["diff", "--update"]).env("MKIMG_VAR_TOKEN", SECRET).run().success();
    let text = fs::read_to_string(&fixture).unwrap();
    assert!(text.contains("made-up") && !text.contains(SECRET), "{text}");
}

/// Both with cases and without, in what changed between two revisions.
#[test]
fn compared_revisions_never_show_a_real_secret() {
    let project = secretive();
    let git = |arguments: &[&str]| {
        let status = std::process::Command::new("git").args(arguments).current_dir(project.path()).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", "x"]);
    edit(project.path(), "TOKEN:", "OTHER_TOKEN:");
    for cases in [true, false] {
        if !cases {
            fs::remove_dir_all(project.path().join("fixtures")).unwrap();
            git(&["rm", "-r", "--quiet", "--cached", "fixtures"]);
            git(&["-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", "y"]);
        }
        for format in ["human", "json", "markdown", "github"] {
            let arguments = ["diff", "--git", "HEAD", "--format", format];
            let run = mkimg(project.path()).args(arguments).env("MKIMG_VAR_TOKEN", SECRET).run();
            let (exit, stdout, stderr) = run.into_parts();
            assert!(exit == 1 && stdout.contains("OTHER_TOKEN"), "{cases} {format}: {stdout}{stderr}");
            assert!(!stdout.contains(SECRET) && stdout.contains("[redacted]"), "{cases} {format}: {stdout}");
        }
    }
}

#[test]
fn messages_about_a_path_redact_a_secret_in_it() {
    let project = secretive();
    edit(project.path(), "source: files/etc", "source: \"files/{{ token }}\"");
    for arguments in [&["render"][..], &["diff"], &["validate"], &["validate", "--format", "json"]] {
        let (exit, stdout, stderr) =
            mkimg(project.path()).args(arguments).env("MKIMG_VAR_TOKEN", SECRET).run().into_parts();
        assert_ne!(exit, 0);
        assert!(format!("{stdout}{stderr}").contains(" does not exist"), "{arguments:?}: {stdout}{stderr}");
        assert!(!format!("{stdout}{stderr}").contains(SECRET), "{arguments:?}: {stdout}{stderr}");
    }
}

// --- validate

/// A program that reads the report gets a report, whatever is wrong with the project.
#[test]
fn a_project_that_does_not_render_is_a_finding() {
    let most = "the document has ";
    for (to, code, printed) in [
        (
            "cloud_config: {write_files: [{path: /etc/hello.conf, content: x}]}",
            "MK912",
            "`cloud_config.write_files` writes",
        ),
        (
            "artifacts: [{url: \"https://x.example/a\", to: /etc/hello.conf}]",
            "MK912",
            "two sources for /etc/hello.conf",
        ),
        ("packages: []", "MK202", most),
    ] {
        let project = project();
        if code == "MK202" {
            // Random bytes, which cannot be compressed.
            let mut state = 1_u32;
            let noise = (0..70_000).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            });
            fs::write(project.path().join("files/etc/noise"), noise.collect::<Vec<u8>>()).unwrap();
        } else {
            edit(project.path(), "verify:", &format!("{to}\nverify:"));
        }
        // Without a provider, what has no room would be uploaded.
        let arguments = ["validate", "--format", "json", "--provider", "digitalocean"];
        let (exit, stdout, stderr) = mkimg(project.path()).args(arguments).run().into_parts();
        assert_eq!(exit, 1, "{stderr}");
        let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let found = &report["documents"][0]["diagnostics"][0];
        assert_eq!(found["code"], code, "{stdout}");
        assert!(found["message"].as_str().unwrap().contains(printed), "{stdout}");
    }
}

/// `validate` applies the same limit as `render`, so a valid project can be baked.
#[test]
fn a_project_has_one_limit() {
    let project = project();
    let bytes = mkimg(project.path()).args(["render", "--stats=json", "-o", "user-data.yaml"]).run().stderr;
    let bytes = serde_json::from_str::<serde_json::Value>(&bytes).unwrap()["bytes"].as_u64().unwrap();
    assert!(bytes < 16_384);
    let tight = (bytes / 3).to_string();
    assert_eq!(mkimg(project.path()).args(["render", "--limit", &tight]).run().exit, 1);
    assert_eq!(mkimg(project.path()).args(["validate", "--limit", &tight]).run().exit, 1);
    assert_eq!(mkimg(project.path()).arg("validate").run().exit, 0);
}

#[test]
fn a_missing_file_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        mkimg(folder.path()).args(["validate", "user-data.yaml"]).run().refused(),
        "error: cannot read user-data.yaml: it does not exist\n"
    );
}

// --- lock

#[test]
fn a_lock_is_checked_without_downloads() {
    let project = project();
    let (exit, _, stderr) = mkimg(project.path()).args(["lock", "--locked"]).run().into_parts();
    assert_eq!((exit, stderr.as_str()), (0, "note: mkimg.lock pins every artifact\n"));
    edit(project.path(), "verify:", "artifacts: [{url: \"https://x.invalid/a\", to: /usr/local/bin/a}]\nverify:");
    mkimg(project.path())
        .args(["lock", "--locked"])
        .run()
        .exits(1)
        .stderr_is("error: mkimg.lock does not pin https://x.invalid/a\nhelp: run `mkimg lock` and commit the file\n");
    assert!(!project.path().join("mkimg.lock").exists());
}
