//! Debian packages of fixed versions, unpacked below the build's folder, where they stay.
//!
//! Nothing is compared with what is installed: another version, or a package that an installed program uses when it finds it,
//! gives other answers. A machine that cannot get the packages skips the comparison and prints why, unless the comparison was
//! asked for with one of the variables for long runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::tests;

/// The exit status of `fetch-packages` on a machine that cannot get packages.
const UNAVAILABLE: i32 = 3;
/// What cloud-init's `schema` command imports, from Debian 12. Not among them: rfc3987, with which jsonschema checks
/// `format: uri`. mkimg answers as cloud-init does without it.
const LIBRARIES: [&str; 16] = [
    "python3-attr=22", "python3-certifi=2022", "python3-chardet=5.1", "python3-configobj=5.0", "python3-idna=3.3",
    "python3-jinja2=3.1", "python3-json-pointer=2.3", "python3-jsonpatch=1.32", "python3-jsonschema=4.10",
    "python3-markupsafe=2.1", "python3-pyrsistent=0.18", "python3-requests=2.28", "python3-rfc3987=1.3",
    "python3-six=1.16", "python3-urllib3=1.26", "python3-yaml=6.0",
];

/// The folder with these packages. On a machine that cannot get them, prints why and returns `None`, or fails if `required`.
pub(crate) fn unpacked(name: &str, packages: &[&str], required: bool) -> Option<PathBuf> {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    // Tests may be processes of their own. Each of them unpacks for itself, and the first to finish gives the folder its
    // name, which tells one list of packages from another.
    let list = packages.join(" ");
    let digest = &crate::harness::sha256(list.as_bytes())[..12];
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{digest}"));
    if !kept.is_dir() {
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let folder = scratch.path().join("packages");
        let fetch = tests("differential/fetch-packages");
        let output = match Command::new(fetch).arg(&folder).args(packages).output() {
            Ok(output) => output,
            Err(error) => return unavailable(name, &error.to_string(), required),
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(UNAVAILABLE) {
            return unavailable(name, &stderr, required);
        }
        assert!(output.status.success(), "{stderr}");
        if let Err(error) = std::fs::rename(&folder, &kept) {
            assert!(kept.is_dir(), "{}: {error}", kept.display());
        }
    }
    Some(kept)
}

fn unavailable(name: &str, reason: &str, required: bool) -> Option<PathBuf> {
    assert!(!required, "{name}: {reason}");
    skip(&format!("{name} cannot be fetched: {reason}"));
    None
}

/// Prints why a test compares nothing. `.config/nextest.toml` shows the output of these tests when they pass, too.
pub(crate) fn skip(reason: &str) {
    eprintln!("SKIPPED: {}", reason.trim());
}

/// The Python modules of a cloud-init with all that its `schema` command needs.
pub(crate) fn cloud_init(version: &str, required: bool) -> Option<PathBuf> {
    let package = format!("cloud-init={version}");
    let packages: Vec<&str> = LIBRARIES.into_iter().chain([package.as_str()]).collect();
    Some(modules(&unpacked(&format!("cloud-init-{version}"), &packages, required)?))
}

/// PyYAML's Python modules.
pub(crate) fn pyyaml(required: bool) -> Option<PathBuf> {
    Some(modules(&unpacked("pyyaml", &["python3-yaml=6.0"], required)?))
}

fn modules(folder: &Path) -> PathBuf {
    folder.join("usr/lib/python3/dist-packages")
}

/// Python with these modules and its standard library. Installed modules are not found.
pub(crate) fn python(modules: &Path) -> Command {
    let mut command = crate::harness::python();
    command.args(["-B", "-S", "-s"]).env_remove("PYTHONHOME").env("PYTHONPATH", modules);
    command
}
