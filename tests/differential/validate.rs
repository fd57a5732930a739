//! mkimg's tables, verdicts, key paths and lines of YAML errors against those of cloud-init itself.
//!
//! By itself the test takes the cloud-init that is installed (Debian's package) and some hundred documents. With
//! `MKIMG_DIFFERENTIAL=20000` it takes so many documents for each version that mkimg offers, whose packages
//! `tests/differential/fetch-cloud-init` gets from Debian; `MKIMG_DIFFERENTIAL_SEED` makes others, and
//! `MKIMG_DIFFERENTIAL_VERSIONS="25.1 26.2"` chooses the versions. A machine without cloud-init has nothing to compare
//! with: the test says so and passes, unless it was asked for.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mkimg::validate::{Version, tables};
use serde_json::Value;

const DOCUMENTS: usize = 500;
/// Documents of one run of Python and of mkimg.
const BATCH: usize = 2_000;
/// So many differences are shown.
const SHOWN: usize = 10;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cloud-inits to compare with, each a value of PYTHONPATH; `None` for the one that is installed.
fn cloud_inits() -> Vec<Option<PathBuf>> {
    let chosen = std::env::var("MKIMG_DIFFERENTIAL_VERSIONS").ok();
    let versions = match (&chosen, std::env::var_os("MKIMG_DIFFERENTIAL")) {
        (None, None) => return vec![None],
        (Some(chosen), _) => chosen.split_whitespace().map(str::to_owned).collect(),
        (None, Some(_)) => Version::PROVEN.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    versions.iter().map(|version| Some(fetched(version))).collect()
}

/// A version's package, unpacked below the build's folder, where it stays.
fn fetched(version: &str) -> PathBuf {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    // The two tests may be two processes: each unpacks for itself, and the first one to be done gives it its name.
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cloud-init-{version}"));
    let python = Path::new("usr/lib/python3/dist-packages");
    if !kept.join(python).is_dir() {
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let folder = scratch.path().join("package");
        let script = root().join("tests/differential/fetch-cloud-init");
        let output = Command::new(script).arg(version).arg(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        if let Err(error) = std::fs::rename(&folder, &kept) {
            assert!(kept.join(python).is_dir(), "{}: {error}", kept.display());
        }
    }
    kept.join(python)
}

fn python(script: &str, cloud_init: Option<&Path>) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(root().join("tests/differential").join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(path) = cloud_init {
        command.env("PYTHONPATH", path);
    }
    command
}

/// The version that Python finds, as mkimg writes it; what is missing, where there is none.
fn version(cloud_init: Option<&Path>) -> Result<Version, String> {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", "from cloudinit import version; print(version.version_string())"]);
    if let Some(path) = cloud_init {
        command.env("PYTHONPATH", path);
    }
    let output = command.output().map_err(|error| format!("no /usr/bin/python3: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let found = String::from_utf8_lossy(&output.stdout).trim().to_string();
    found.parse().map_err(|error: mkimg::validate::UnknownVersion| error.to_string())
}

/// Each cloud-init with its version. Without one, the reason is printed, or the test fails if it was asked for.
fn offered() -> Vec<(Option<PathBuf>, Version)> {
    let asked = std::env::var_os("MKIMG_DIFFERENTIAL").is_some();
    let mut out = Vec::new();
    for cloud_init in cloud_inits() {
        match version(cloud_init.as_deref()) {
            Ok(version) => out.push((cloud_init, version)),
            Err(reason) => {
                assert!(!asked, "{reason}");
                eprintln!("nothing compared: {reason}");
            }
        }
    }
    out
}

#[test]
fn tables_say_what_the_schema_says() {
    for (cloud_init, version) in offered() {
        let mut child = python("compare_tables.py", cloud_init.as_deref())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(tables(version).to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let differences = String::from_utf8_lossy(&output.stdout).trim().to_string();
        assert!(differences.is_empty(), "cloud-init {version}:\n{differences}");
    }
}

#[test]
fn good_documents_are_good_to_cloud_init_too() {
    for (cloud_init, _) in offered().into_iter().filter(|(_, version)| *version == Version::LATEST) {
        let folder = std::fs::read_dir(root().join("tests/cases/good")).unwrap();
        let paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        let output = python("verdict.py", cloud_init.as_deref()).args(&paths).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.lines().count(), paths.len());
        let refused: Vec<_> = said.lines().filter(|line| !line.contains("\"verdict\": \"valid\"")).collect();
        assert!(refused.is_empty(), "{}", refused.join("\n"));
    }
}

#[test]
fn verdicts_and_paths_are_those_of_cloud_init() {
    let asked = std::env::var("MKIMG_DIFFERENTIAL").ok();
    let count: usize = asked.map_or(DOCUMENTS, |count| count.parse().unwrap());
    let seed = std::env::var("MKIMG_DIFFERENTIAL_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut wrong = Vec::new();
    for (cloud_init, version) in offered() {
        let mut totals = Totals::default();
        for (batch, start) in (0..count).step_by(BATCH).enumerate() {
            let size = BATCH.min(count - start);
            compare_batch(cloud_init.as_deref(), version, size, seed * 1_000_000 + batch, &mut totals);
        }
        eprintln!(
            "cloud-init {version}: {count} documents, {:?}; cloud-init dies of {:?}, of which mkimg says {:?}; {} differ",
            totals.verdicts,
            totals.died.values().sum::<usize>(),
            totals.died,
            totals.differences.len()
        );
        let died: usize = totals.died.values().sum();
        assert!(died * 20 <= count, "cloud-init judged only {} of {count}", count - died);
        if !totals.differences.is_empty() {
            let shown = totals.differences[..totals.differences.len().min(SHOWN)].join("\n----\n");
            wrong.push(format!("cloud-init {version}: {} of {count} differ:\n{shown}", totals.differences.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n====\n"));
}

#[derive(Default)]
struct Totals {
    /// cloud-init's verdicts.
    verdicts: BTreeMap<String, usize>,
    /// mkimg's verdicts on what cloud-init dies of.
    died: BTreeMap<String, usize>,
    differences: Vec<String>,
}

fn compare_batch(cloud_init: Option<&Path>, version: Version, count: usize, seed: usize, totals: &mut Totals) {
    let directory = tempfile::tempdir().unwrap();
    let good = |pattern: &str| root().join(pattern).into_os_string();
    let generated = python("generate.py", cloud_init)
        .arg(directory.path())
        .args([count.to_string(), seed.to_string()])
        .args([good("tests/cases/good/*.yaml"), good("fixtures/*/user-data.yaml")])
        .output()
        .unwrap();
    assert!(generated.status.success(), "{}", String::from_utf8_lossy(&generated.stderr));
    let generated: Value = serde_json::from_slice(&generated.stdout).unwrap();
    let judged = Command::new(env!("CARGO_BIN_EXE_mkimg"))
        .args(["validate", "--format", "json", "--limit", "none", "--cloud-init", &version.to_string()])
        .arg(directory.path())
        .output()
        .unwrap();
    let judged: Value = serde_json::from_slice(&judged.stdout).unwrap();
    let documents = judged["documents"].as_array().unwrap();
    let expected = generated["expected"].as_array().unwrap();
    assert_eq!(documents.len(), expected.len());
    for (document, expected) in documents.iter().zip(expected) {
        let verdict = document["verdict"].as_str().unwrap();
        // Where cloud-init dies of a document, there is no verdict to compare with.
        let Some(theirs) = expected["verdict"].as_str() else {
            *totals.died.entry(verdict.into()).or_default() += 1;
            continue;
        };
        *totals.verdicts.entry(theirs.into()).or_default() += 1;
        let found = document["diagnostics"].as_array().unwrap();
        let found: Vec<_> = found.iter().filter(|found| found["origin"] == "cloud-init").collect();
        let paths = |severity: &str| -> Vec<&str> {
            let of = found.iter().filter(|found| found["severity"] == severity);
            let mut paths: Vec<_> = of.map(|found| found["path"].as_str().unwrap()).collect();
            paths.sort_unstable();
            paths.dedup();
            paths
        };
        // A kind that the command refuses: the verdict is all that it says.
        if found.iter().any(|found| found["code"] == "MK008") && verdict == theirs {
            continue;
        }
        let lines: Vec<_> =
            found.iter().filter(|found| found["severity"] == "error").map(|found| &found["line"]).collect();
        let same = verdict == theirs
            && Value::from(paths("error")) == expected["errors"]
            && Value::from(paths("deprecated")) == expected["deprecated"]
            && (expected["line"].is_null() || lines.contains(&&expected["line"]));
        if !same {
            let text = std::fs::read(document["file"].as_str().unwrap()).unwrap();
            totals.differences.push(format!(
                "{}\ncloud-init: {expected}\nmkimg: {verdict} {:?} {:?} lines {lines:?}",
                String::from_utf8_lossy(&text[..text.len().min(600)]).escape_debug().to_string().replace("\\n", "\n"),
                paths("error"),
                paths("deprecated")
            ));
        }
    }
}
