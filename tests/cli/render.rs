//! `mkimg render` as a user sees it: whole outputs, exit statuses, sameness, and what cloud-init makes of the document.
//!
//! A case is a directory of `tests/cases/render/`: `args` (one a line), `in/` (laid over `tests/cases/render/base/`), `links` and
//! `pipes` (made before the run, for what version control cannot hold), `status` and `stderr`. `MKIMG_BLESS=1` rewrites
//! the last two.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use proptest::prelude::*;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/render")
}

fn mkimg(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mkimg"));
    command.current_dir(directory).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

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
    copy(&cases().join("base"), project.path());
    project
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn document(project: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = mkimg(project).arg("render").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn wrong_input_is_explained() {
    let mut ran = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(cases()).unwrap() {
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
        let output = mkimg(project.path()).args(lines(&case.join("args"))).output().unwrap();
        let status = format!("{}\n", output.status.code().unwrap());
        let stderr = String::from_utf8(output.stderr).unwrap();
        if std::env::var_os("MKIMG_BLESS").is_some() {
            fs::write(case.join("status"), &status).unwrap();
            fs::write(case.join("stderr"), &stderr).unwrap();
        }
        let expected = |name: &str| fs::read_to_string(case.join(name)).unwrap_or_default();
        if expected("status") != status || expected("stderr") != stderr {
            wrong.push(format!("{}: exit {status}{stderr}", case.display()));
        }
        // Nothing half: a failed render prints no document.
        assert!(status == "0\n" || output.stdout.is_empty(), "{}", case.display());
        ran += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran >= 20, "only {ran} cases were found");
}

#[test]
fn where_nothing_else_makes_room_the_runner_carries_the_scripts() {
    let project = base();
    let render = |limit: usize| {
        let limit = limit.to_string();
        let output = mkimg(project.path()).args(["render", "--stats=json", "--limit", &limit]).output().unwrap();
        let stats: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap_or_default();
        (String::from_utf8(output.stdout).unwrap(), stats)
    };
    // The smallest limit under which every file has an entry, and one byte less.
    let (mut enough, mut short) = (40_000, 10_000);
    while enough - short > 1 {
        let limit = usize::midpoint(enough, short);
        if render(limit).0.contains("path: /run/mkimg/scripts/") { enough = limit } else { short = limit }
    }
    let ((_, roomy), (_, tight)) = (render(enough), render(short));
    assert_eq!(roomy["carried"], serde_json::json!([]));
    let carried = tight["carried"].as_array().unwrap();
    assert!(!carried.is_empty());
    assert!(carried.iter().all(|path| path.as_str().unwrap().starts_with("/run/mkimg/")), "{carried:?}");
    assert!(tight["bytes"].as_u64().unwrap() + 500 < roomy["bytes"].as_u64().unwrap(), "{tight} {roomy}");
    let entries = tight["entries"].as_array().unwrap();
    assert!(entries.iter().all(|entry| !carried.contains(&entry["path"])), "{tight}");
}

#[test]
fn a_document_over_its_limit_says_which_entries_are_how_large() {
    let project = base();
    let output = mkimg(project.path()).args(["render", "--limit", "5000"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = said(&output);
    assert!(said.contains("more than the limit of 5000"), "{said}");
    // Largest first.
    let runner = said.find("/run/mkimg/runner.py").unwrap();
    assert!(runner < said.find("/etc/hello.conf").unwrap(), "{said}");
}

#[test]
fn two_renders_are_byte_identical_anywhere() {
    let project = base();
    let first = document(project.path(), &[]);
    let elsewhere = tempfile::tempdir().unwrap();
    copy(project.path(), elsewhere.path());
    // Another umask when the tree was checked out, another place, time zone, locale and working directory.
    for entry in walkdir::WalkDir::new(elsewhere.path()) {
        let entry = entry.unwrap();
        let executable = entry.metadata().unwrap().permissions().mode() & 0o100 != 0;
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(if executable { 0o777 } else { 0o666 })).unwrap();
    }
    let script = format!("umask 0077; exec {} -C {} render", env!("CARGO_BIN_EXE_mkimg"), elsewhere.path().display());
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
    assert_eq!(output.stdout, first);
}

#[test]
fn output_is_written_whole_and_stats_have_their_keys() {
    let project = base();
    let output =
        mkimg(project.path()).args(["render", "-o", "out.yaml", "--stats=json", "--limit", "none"]).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    let stats: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    let text = fs::read(project.path().join("out.yaml")).unwrap();
    assert_eq!(stats["bytes"], text.len());
    assert_eq!(stats["limit"], serde_json::Value::Null);
    assert!(stats["digest"].as_str().unwrap().starts_with("sha256:"));
    let entries = stats["entries"].as_array().unwrap();
    let hello = entries.iter().find(|entry| entry["path"] == "/etc/hello.conf").unwrap();
    assert_eq!(hello["raw_bytes"], fs::metadata(project.path().join("files/etc/hello.conf")).unwrap().len());
    assert_eq!(hello["encoding"], "text/plain");
    let failed = mkimg(project.path()).args(["render", "-o", "no/such/out.yaml"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(2));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = base();
    let script = format!("{} render 2>err; echo $? >status", env!("CARGO_BIN_EXE_mkimg"));
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
    let output = mkimg(project.path()).arg("render").env("MKIMG_VAR_TOKEN", "hunter2").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("hunter2"), "{}", said(&output));
    fs::write(project.path().join("v.yaml"), "token: from-a-file\n").unwrap();
    let output = mkimg(project.path())
        .args(["render", "--var-file", "v.yaml"])
        .env("MKIMG_VAR_TOKEN", "hunter2")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("from-a-file"), "{}", said(&output));
    fs::write(&template, with.replace("packages: [nginx]", "packages: [\"{{ token }}\"]")).unwrap();
    let output = mkimg(project.path()).arg("render").env("MKIMG_VAR_TOKEN", "hunter 2!").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!said(&output).contains("hunter"), "{}", said(&output));
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn cloud_init_accepts_the_document_without_a_warning() {
    let project = base();
    fs::write(project.path().join("out.yaml"), document(project.path(), &[])).unwrap();
    let judged = Command::new("cloud-init")
        .args(["schema", "--config-file", "out.yaml"])
        .current_dir(project.path())
        .output()
        .expect("this test needs Debian's package cloud-init");
    let said = format!("{}{}", String::from_utf8_lossy(&judged.stdout), said(&judged));
    assert!(judged.status.success(), "{said}");
    assert_eq!(said.trim(), "Valid cloud-config: out.yaml");
}

/// Decodes every entry as cloud-init does and compares it with the files that were rendered.
const DECODE: &str = r#"
import base64, gzip, os, sys, yaml
root, document = sys.argv[1:]
config = yaml.safe_load(open(document, "rb").read())
files = {entry["path"]: entry for entry in config["write_files"]}
for name in os.listdir(os.path.join(root, "files/etc")):
    path = os.path.join(root, "files/etc", name)
    entry = files["/etc/" + name]
    content, encoding = entry["content"], entry.get("encoding", "")
    assert isinstance(content, str), (name, type(content))
    data = content.encode() if encoding == "" else base64.b64decode(content, validate=True)
    if encoding == "gz+b64":
        data = gzip.decompress(data)
    assert data == open(path, "rb").read(), name
"#;

fn contents() -> impl Strategy<Value = Vec<u8>> {
    let tricky = prop::sample::select(vec![
        "\n",
        " ",
        "\t",
        "#",
        ": ",
        "- ",
        "---\n",
        "...\n",
        "{{ x }}",
        "'",
        "\"",
        "\\",
        "%",
        "!!binary ",
        "&a ",
        "*a",
        "|",
        ">",
        "\r\n",
        "\0",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "é",
        "🦀",
        "0644",
        "yes",
        "~",
        "<<",
        "MIME-Version: 1.0",
        "\u{7f}",
        "a",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(tricky, 0..40).prop_map(|parts| parts.concat().into_bytes()),
        any::<String>().prop_map(String::into_bytes),
    ]
}

proptest! {
    // One run holds twelve files: starting Python costs more than reading.
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_content_survives(files in prop::collection::vec(contents(), 12), tight in any::<bool>()) {
        let project = base();
        for (index, content) in files.iter().enumerate() {
            fs::write(project.path().join(format!("files/etc/file-{index}")), content).unwrap();
        }
        // Compressing the large plain file first makes room; a tight limit compresses others too.
        fs::write(project.path().join("files/etc/large"), "all work and no play\n".repeat(1500)).unwrap();
        let limit = if tight { "42000" } else { "none" };
        fs::write(project.path().join("out.yaml"), document(project.path(), &["--limit", limit])).unwrap();
        let decoded = Command::new("python3")
            .args(["-c", DECODE]).arg(project.path()).arg(project.path().join("out.yaml"))
            .output().expect("this test needs Debian's package python3");
        prop_assert!(decoded.status.success(), "{}", said(&decoded));
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
    let output =
        mkimg(project.path()).args(arguments).env("MKIMG_VAR_S", "env").env("MKIMG_VAR_T", "env").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let document = String::from_utf8(output.stdout).unwrap();
    assert!(document.contains("\nfinal_message: template first second var env first\n"), "{document}");
}
