//! `mkimg render` as a user sees it: complete outputs, exit statuses, reproducibility, and how the document is decoded.
//!
//! A case is a directory of `tests/cases/render/`: `args` (one a line), `in/` (laid over `tests/cases/render/base/`), `links` and
//! `pipes` (made before the run, since version control cannot store them), `status` and `stderr`. `make bless` rewrites
//! the last two.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use crate::harness::{MKIMG, compare_with_file, mkimg, tests, write_files_below};

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).min_depth(1) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).unwrap();
        } else {
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

fn base() -> tempfile::TempDir {
    let project = tempfile::tempdir().unwrap();
    copy(&tests("cases/render").join("base"), project.path());
    project
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn document(project: &Path, arguments: &[&str]) -> String {
    mkimg(project).arg("render").args(arguments).run().success().stdout
}

#[test]
fn wrong_input_is_explained() {
    let mut ran = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(tests("cases/render")).unwrap() {
        let case = entry.unwrap().path();
        if !case.join("args").is_file() {
            continue;
        }
        let project = base();
        copy(&case.join("in"), project.path());
        for line in lines(&case.join("links")) {
            let (link, target) = line.split_once(" -> ").unwrap();
            symlink(target, project.path().join(link)).unwrap();
        }
        for line in lines(&case.join("pipes")) {
            assert!(Command::new("mkfifo").arg(project.path().join(line)).status().unwrap().success());
        }
        let run = mkimg(project.path()).args(lines(&case.join("args"))).run();
        wrong.extend(compare_with_file(&case.join("status"), &format!("{}\n", run.exit)));
        wrong.extend(compare_with_file(&case.join("stderr"), &run.stderr));
        // A render that fails prints no part of a document.
        assert!(run.exit == 0 || run.stdout.is_empty(), "{}", case.display());
        ran += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran >= 20, "only {ran} cases were found");
}

#[test]
fn files_move_to_the_bundle_if_the_document_is_too_large() {
    let project = base();
    let render = |limit: &str| {
        let run = mkimg(project.path()).args(["render", "--stats=json", "--limit", limit]).run().success();
        let stats: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
        assert_eq!(run.stdout.len() as u64, stats["bytes"].as_u64().unwrap());
        stats
    };
    let all_readable = render("none");
    let bytes = all_readable["bytes"].as_u64().unwrap();
    assert_eq!(all_readable["carried"], serde_json::json!([]));
    assert_eq!(render(&bytes.to_string()), {
        let mut same = all_readable.clone();
        same["limit"] = bytes.into();
        same
    });
    let tight = render(&(bytes - 1).to_string());
    assert!(tight["bytes"].as_u64().unwrap() < bytes, "{tight}");
    let entries = tight["entries"].as_array().unwrap();
    assert_eq!(entries.len(), all_readable["entries"].as_array().unwrap().len());
    let is_bundled = |entry: &&serde_json::Value| entry["encoding"] == "bundle";
    let bundled: Vec<_> = entries.iter().filter(is_bundled).map(|entry| entry["path"].clone()).collect();
    let carried = tight["carried"].as_array().unwrap();
    assert!(!carried.is_empty() && carried.len() + 1 == bundled.len(), "{tight}");
    assert!(bundled.contains(&"/run/mkimg/runner.py".into()) && carried.iter().all(|path| bundled.contains(path)));
}

#[test]
fn show_prints_a_document_the_same_in_any_form() {
    let project = base();
    fs::write(project.path().join("files/etc/none"), "no line break").unwrap();
    fs::write(project.path().join("files/etc/binary"), b"\0\x1b").unwrap();
    let show = |arguments: &[&str]| {
        mkimg(project.path()).arg("render").args(arguments).args(["-o", "document"]).run().success();
        mkimg(project.path()).args(["show", "document"]).run().success().stdout
    };
    let readable = show(&["--limit", "none"]);
    for expected in [
        "=== runcmd\n-\n  - \"systemd-run\"\n",
        "\n=== /etc/none (owner: \"root:root\", permissions: \"0644\")\nno line break\n(no line break at the end)\n\n",
        "\n=== /etc/binary (owner: \"root:root\", permissions: \"0644\")\n00000000  00 1b\n",
        "\n=== /run/mkimg/runner.py (",
    ] {
        assert!(readable.contains(expected), "{expected}\n{readable}");
    }
    let bytes = fs::metadata(project.path().join("document")).unwrap().len();
    assert_eq!(show(&["--limit", &(bytes - 1).to_string()]), readable);
    assert_eq!(show(&["--provider", "ec2"]), readable);
    let piped = mkimg(project.path()).arg("show").stdin(fs::read(project.path().join("document")).unwrap()).run();
    assert_eq!(piped.success().stdout, readable);
    let missing = mkimg(project.path()).args(["show", "nothing"]).run().exits(2);
    missing.stderr_has("cannot read nothing").stderr_has("name a user-data document");
}

#[test]
fn a_document_over_its_limit_says_which_files_are_how_large() {
    let project = base();
    fs::write(project.path().join("files/etc/larger.conf"), "a=1\n".repeat(99)).unwrap();
    let run = mkimg(project.path()).args(["render", "--limit", "5000"]).run();
    let stderr = run.exits(1).stdout_is("").stderr_has("more than the limit of 5000").stderr;
    // Largest first, and nothing that the user cannot change.
    let larger = stderr.find("/etc/larger.conf").unwrap();
    assert!(larger < stderr.find("/etc/hello.conf").unwrap(), "{stderr}");
    assert!(!stderr.contains("runner.py") && !stderr.contains("plan.json"), "{stderr}");
}

/// A limit that equals the size of the smallest document is accepted, and no smaller one.
#[test]
fn a_limit_is_kept_to_the_byte() {
    let project = base();
    let refused = mkimg(project.path()).args(["render", "--limit", "1"]).run().exits(1).stderr;
    let smallest: usize =
        refused.split("the document has ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    for command in ["render", "validate"] {
        let run = |limit: usize| mkimg(project.path()).args([command, "--limit", &limit.to_string()]).run();
        let fits = run(smallest).success();
        assert!(command == "validate" || fits.stdout.len() == smallest, "{}", fits.stdout.len());
        let over = run(smallest - 1).exits(1);
        let printed = format!("the document has {smallest} bytes, 1 more than the limit of {}", smallest - 1);
        assert!(format!("{}{}", over.stdout, over.stderr).contains(&printed), "{over:?}");
    }
}

/// What is wrong with the files and scripts of a project, and what is only suspicious. `validate` says the same as `render`.
#[test]
fn each_problem_of_a_file_has_its_message_and_status() {
    let script = "#!/bin/sh\n";
    let source =
        |source: &str, to: &str| format!("{{source: files/var, to: /var}}\n  - {{source: {source}, to: {to}}}");
    let scripts = |list: &str| format!("scripts: [{list}]");
    for (files, from, to, exit, printed) in [
        // Two of one name.
        (
            &[("more/01-hello.sh", script)][..],
            "scripts: [scripts/*.sh]",
            scripts("scripts/*.sh, more/*.sh"),
            2,
            "error[MK947]: two scripts are named 01-hello.sh: scripts/01-hello.sh and more/01-hello.sh",
        ),
        (&[], "scripts: [scripts/*.sh]", scripts("scripts/*.sh, scripts/01-hello.sh"), 0, ""),
        (&[], "check: scripts/99-check.sh", "check: scripts/90-cleanup.sh".to_owned(), 0, ""),
        (
            &[("files/etc/a", "x"), ("more/b", "x")],
            "{source: files/var, to: /var}",
            source("more", "/etc/a"),
            2,
            "error[MK947]: files/etc/a would be a file at /etc/a, but more/b needs a directory there",
        ),
        (
            &[("files/etc/top", "x"), ("more/b", "x")],
            "{source: files/etc, to: /etc}",
            "{source: files/etc/top, to: /top}\n  - {source: files/etc, to: /etc}\n  - {source: more, to: /top}"
                .to_owned(),
            2,
            "error[MK947]: files/etc/top would be a file at /top, but more/b needs a directory there",
        ),
        (
            &[("more/hello.conf", "x")],
            "{source: files/var, to: /var}",
            source("more", "/etc"),
            2,
            "error[MK947]: two sources for /etc/hello.conf: files/etc/hello.conf and more/hello.conf",
        ),
        // Places and names.
        (
            &[("more/run/a", "x")],
            "{source: files/var, to: /var}",
            source("more", "/"),
            2,
            "error[MK948]: more/run/a cannot be written to /run/a: ",
        ),
        (
            &[("files/etc/a\u{7}b", "x")],
            "",
            String::new(),
            2,
            "has a name that is not UTF-8 or contains control characters",
        ),
        (
            &[("more/d/.mkimg-1.part", "x")],
            "{source: files/var, to: /var}",
            source("more/d", "/srv"),
            2,
            "more/d contains no files",
        ),
        (
            &[],
            "scripts: [scripts/*.sh]",
            scripts("'scripts/[.sh'"),
            2,
            "error[MK942]: `scripts/[.sh` is not a valid glob: ",
        ),
        (&[], "scripts: [scripts/*.sh]", scripts("'scripts/{01,02}*'"), 0, ""),
        // Scripts that cannot run.
        (
            &[("scripts/02-x.sh", "\u{feff}#!/bin/sh\n")],
            "",
            String::new(),
            2,
            "error[MK949]: scripts/02-x.sh:1: there is a byte order mark",
        ),
        (
            &[("scripts/02-x.sh", "#!bash\n")],
            "",
            String::new(),
            2,
            "error[MK949]: scripts/02-x.sh:1: the interpreter after `#!` is not an absolute path: `bash`",
        ),
        // Warnings: the document is rendered.
        (&[("files/etc/.x.swp", "x")], "", String::new(), 0, "warning[MK951]: files/etc/.x.swp looks like a backup"),
        (&[("files/etc/#x#", "x")], "", String::new(), 0, "warning[MK951]: files/etc/#x# looks like a backup"),
        (&[("files/etc/.gitkeep", "")], "", String::new(), 0, "warning[MK951]: files/etc/.gitkeep looks like a backup"),
        (
            &[("files/var/lib/cloud/scripts/per-boot/1", script)],
            "",
            String::new(),
            0,
            "warning[MK952]: files/var/lib/cloud/scripts/per-boot/1 is not executable: cloud-init runs only executable files in /var/lib/cloud/scripts/per-boot",
        ),
        (&[("files/var/lib/cloud/scripts/other/1", script)], "", String::new(), 0, ""),
    ] {
        let project = base();
        for (path, text) in files {
            let path = project.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let template = project.path().join("templates/image.yaml");
        let text = fs::read_to_string(&template).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&template, if from.is_empty() { text } else { text.replacen(from, &to, 1) }).unwrap();
        let rendered = mkimg(project.path()).arg("render").run();
        let case = format!("{files:?} {to}: {}", rendered.stderr);
        assert_eq!((rendered.exit, rendered.stdout.is_empty()), (exit, exit != 0), "{case}");
        assert!(rendered.stderr.contains(printed) && rendered.stderr.is_empty() == printed.is_empty(), "{case}");
        // A warning changes the exit status only where warnings are denied.
        let validated = mkimg(project.path()).arg("validate").run().exits(exit.min(1));
        assert!(validated.stdout.contains(printed), "{case}{}", validated.stdout);
        let is_denied = !printed.is_empty() && exit == 0;
        let denied = mkimg(project.path()).args(["validate", "--deny", "warnings"]).run();
        assert_eq!(denied.exit, i32::from(is_denied || exit != 0), "{case}{}", denied.stdout);
    }
}

#[test]
fn hopeless_input_is_refused_from_an_estimate() {
    let project = base();
    let mut state = 1_u32;
    let mut word = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        format!("{:x} ", state >> 8)
    };
    let text: String = (0..700_000).map(|_| word()).collect();
    fs::write(project.path().join("files/etc/huge"), text).unwrap();
    let run = mkimg(project.path()).arg("render").run();
    run.exits(1).stdout_is("").stderr_has("the document has about ").stderr_has("/etc/huge");
    let run = mkimg(project.path()).args(["validate", "--provider", "digitalocean"]).run();
    run.exits(1).stdout_has("error[MK202]: the document has about ");
    // Within these limits, but not within that of an argument.
    fs::write(project.path().join("files/etc/huge"), (0..40_000).map(|_| word()).collect::<String>()).unwrap();
    for arguments in [["--provider", "gcp"], ["--limit", "250000"]] {
        let run = mkimg(project.path()).args(["render"]).args(arguments).run();
        run.exits(1).stdout_is("").stderr_has("Linux passes at most 131071").stderr_has("/etc/huge");
    }
    let template = project.path().join("templates/image.yaml");
    let text = fs::read_to_string(&template).unwrap();
    fs::write(&template, text.replace("attributes:", "attributes:\n  - {path: /etc/huge, bundle: true}\n #")).unwrap();
    mkimg(project.path()).args(["render", "--limit", "none"]).run().exits(1).stderr_has("Linux passes at most");
}

#[test]
fn any_limit_is_refused_or_kept() {
    let project = base();
    for limit in ["0", "1", "9", "18446744073709551615"] {
        let run = mkimg(project.path()).args(["render", "--limit", limit]).run();
        assert!(matches!((limit.len(), run.exit), (1, 1) | (20, 0)), "{limit}: {}", run.stderr);
    }
}

#[test]
fn parts_with_much_in_common_are_not_refused_from_an_estimate() {
    let project = base();
    let mut state = 7_u32;
    let mut word = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        format!("{:x} ", state >> 8)
    };
    // Each of them takes most of the document, and all of them take little more.
    let text: String = (0..7_000).map(|_| word()).collect();
    for number in 0..60 {
        fs::write(project.path().join(format!("files/etc/copy-{number}")), &text).unwrap();
    }
    mkimg(project.path()).arg("render").run().success();
}

#[test]
fn a_provider_sets_the_limit_and_the_container() {
    let project = base();
    let render = |provider: &str| mkimg(project.path()).args(["render", "--provider", provider, "-o", "out"]).run();
    render("hetzner").success();
    assert_eq!(fs::read_to_string(project.path().join("out")).unwrap(), document(project.path(), &[]));
    render("aws").success();
    let bytes = fs::read(project.path().join("out")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, document(project.path(), &[]));
    assert!(bytes.len() < 16_384, "{}", bytes.len());
    fs::write(project.path().join("files/etc/large"), "0123456789abcdef ".repeat(9_000)).unwrap();
    render("ec2").success();
    assert!(fs::metadata(project.path().join("out")).unwrap().len() <= 16_384);
    render("nobody").exits(2).stderr_has("expected one of azure, digitalocean, ec2");
}

#[test]
fn two_renders_are_byte_identical_anywhere() {
    let project = base();
    let first = document(project.path(), &[]);
    let elsewhere = tempfile::tempdir().unwrap();
    copy(project.path(), elsewhere.path());
    // A checkout with another umask, and another folder, time zone, locale and working directory.
    for entry in walkdir::WalkDir::new(elsewhere.path()) {
        let entry = entry.unwrap();
        let executable = entry.metadata().unwrap().permissions().mode() & 0o100 != 0;
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(if executable { 0o777 } else { 0o666 })).unwrap();
    }
    let script = format!("umask 0077; exec {} -C {} render", MKIMG, elsewhere.path().display());
    let output = Command::new("/bin/sh")
        .args(["-c", &script])
        .current_dir("/")
        .env_clear()
        .envs([
            ("TZ", "Pacific/Kiritimati"),
            ("LC_ALL", "tr_TR.UTF-8"),
            ("SOURCE_DATE_EPOCH", "1"),
            ("HOME", "/nonexistent"),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), first);
}

#[test]
fn output_is_written_completely_and_stats_have_their_keys() {
    let project = base();
    let run = mkimg(project.path()).args(["render", "-o", "out.yaml", "--stats=json", "--limit", "none"]).run();
    let stats: serde_json::Value = serde_json::from_str(&run.success().stdout_is("").stderr).unwrap();
    let text = fs::read(project.path().join("out.yaml")).unwrap();
    assert_eq!(stats["bytes"], text.len());
    assert_eq!(stats["limit"], serde_json::Value::Null);
    assert!(stats["digest"].as_str().unwrap().starts_with("sha256:"));
    let entries = stats["entries"].as_array().unwrap();
    let hello = entries.iter().find(|entry| entry["path"] == "/etc/hello.conf").unwrap();
    assert_eq!(hello["raw_bytes"], fs::metadata(project.path().join("files/etc/hello.conf")).unwrap().len());
    assert_eq!(hello["encoding"], "text/plain");
    mkimg(project.path()).args(["render", "-o", "no/such/out.yaml"]).run().exits(2);
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let project = base();
    let script = format!("{MKIMG} render 2>err; echo $? >status");
    let pipe = format!("({script}) | head -c 1 >/dev/null");
    assert!(Command::new("/bin/sh").args(["-c", &pipe]).current_dir(project.path()).status().unwrap().success());
    assert_eq!(fs::read_to_string(project.path().join("err")).unwrap(), "");
    assert_eq!(fs::read_to_string(project.path().join("status")).unwrap(), "0\n");
}

#[test]
fn a_secret_comes_from_the_environment_or_a_file_and_is_not_shown() {
    let project = base();
    let template = project.path().join("templates/image.yaml");
    let text = fs::read_to_string(&template).unwrap();
    let with = text.replace("variables: ", "variables:\n  token: {sensitive: true}\n#");
    let with = with.replace("environment: {", "environment: {token: \"{{ token }}\", ");
    fs::write(&template, &with).unwrap();
    let render = || mkimg(project.path()).arg("render").env("MKIMG_VAR_TOKEN", "hunter2");
    render().run().stdout_has("hunter2");
    fs::write(project.path().join("v.yaml"), "token: from-a-file\n").unwrap();
    render().args(["--var-file", "v.yaml"]).run().stdout_has("from-a-file");
    fs::write(&template, with.replace("packages: [nginx]", "packages: [\"{{ token }}\"]")).unwrap();
    render().env("MKIMG_VAR_TOKEN", "hunter 2!").run().exits(2).never_prints("hunter");
}

fn contents() -> impl Strategy<Value = Vec<u8>> {
    let tricky = prop::sample::select(vec![
        "\n", " ", "\t", "#", ": ", "- ", "---\n", "...\n", "{{ x }}", "'", "\"", "\\", "%", "!!binary ", "&a ", "*a",
        "|", ">", "\r\n", "\0", "\u{85}", "\u{2028}", "\u{feff}", "é", "🦀", "0644", "yes", "~", "<<",
        "MIME-Version: 1.0", "\u{7f}", "a",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(tricky, 0..40).prop_map(|parts| parts.concat().into_bytes()),
        any::<String>().prop_map(String::into_bytes),
    ]
}

proptest! {
    // One run checks twelve files, since starting Python takes longer than reading them.
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_content_survives(files in prop::collection::vec(contents(), 12), tight in any::<bool>()) {
        let project = base();
        for (index, content) in files.iter().enumerate() {
            fs::write(project.path().join(format!("files/etc/file-{index}")), content).unwrap();
        }
        // With a tight limit, the large file and some others are in the bundle.
        fs::write(project.path().join("files/etc/large"), "all work and no play\n".repeat(1500)).unwrap();
        let limit = if tight { "14000" } else { "none" };
        fs::write(project.path().join("out.yaml"), document(project.path(), &["--limit", limit])).unwrap();
        let root = project.path().join("root");
        write_files_below(&root, &project.path().join("out.yaml"));
        for (index, content) in files.iter().enumerate() {
            let written = fs::read(root.join(format!("etc/file-{index}"))).unwrap();
            prop_assert_eq!(&written, content);
        }
    }
}

#[test]
fn variables_have_their_precedence_on_the_command_line() {
    let project = base();
    let template = "variables: {a: template, b: template, c: template, d: template, s: {sensitive: true}, t: {sensitive: true}}\n\
                    snapshot: {name: image}\n\
                    cloud_config: {final_message: \"{{ a }} {{ b }} {{ c }} {{ d }} {{ s }} {{ t }}\"}\n";
    fs::write(project.path().join("templates/image.yaml"), template).unwrap();
    fs::write(project.path().join("first.yaml"), "b: first\nc: first\nd: first\nt: first\n").unwrap();
    fs::write(project.path().join("second.yaml"), "c: second\nd: second\n").unwrap();
    // The order among files and among --var counts; --var wins over files wherever it is.
    let arguments =
        ["render", "--var", "d=lost", "--var-file", "first.yaml", "--var", "d=var", "--var-file", "second.yaml"];
    mkimg(project.path())
        .args(arguments)
        .env("MKIMG_VAR_S", "env")
        .env("MKIMG_VAR_T", "env")
        .run()
        .success()
        .stdout_has("\nfinal_message: template first second var env first\n");
}
