//! The checks of file contents, compared with the programs that read such files. Every shell script that bash or dash accepts
//! must have no finding, and most of those that they refuse must have one. Every setting that systemd knows must be known.
//! Every unit, crontab and the like from a package must have no finding.
//!
//! Programs and files are those of Debian packages of fixed versions. `MKIMG_CONTENTS=5000` sets how many changed scripts are
//! compared (100 by default).

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use diagnostics::source::Source;
use userdata_lint::{Options, lint_file};

use crate::packages::{skip, unpacked};

/// How many scripts are compared at most.
const MAX_SCRIPTS: usize = 200;
/// Larger files are not compared.
const MAX_FILE_BYTES: u64 = 100_000;

/// The shells that decide. bash is the static one, which needs no libraries.
const SHELLS: [&str; 2] = ["bash-static=5.2", "dash=0.5"];
/// What servers and desktops have installed: shell scripts, units, crontabs, profile scripts and other settings.
const CORPUS: [&str; 40] = [
    "apache2=2.4", "apt=2.6", "bash-completion=2.11", "ca-certificates=20230311", "certbot=2.1",
    "cloud-guest-utils=0.33", "cloud-init=22.4", "cron=3.0pl1", "debianutils=5.7", "dpkg=1.21", "e2fsprogs=1.47",
    "exim4-base=4.96", "fail2ban=1.0", "flatpak=1.14", "gdm3=43", "grub-common=2.06", "grub2-common=2.06",
    "ifupdown=0.8", "initramfs-tools=0.142", "initramfs-tools-core=0.142", "isc-dhcp-client=4.4",
    "libvte-2.91-common=0.70", "logrotate=3.21", "lvm2=2.03", "man-db=2.11", "mdadm=4.2", "network-manager=1.42",
    "nftables=1.0", "nginx-common=1.22", "openssh-server=9.2p1", "postgresql-common=248", "procps=4.0",
    "pulseaudio=16.1", "rsyslog=8.2302", "sudo=1.9", "sysstat=12.6", "systemd=252", "ufw=0.36",
    "unattended-upgrades=2.9", "xdg-utils=1.1",
];

fn is_long_run() -> bool {
    std::env::var_os("MKIMG_CONTENTS").is_some()
}

fn corpus() -> Option<PathBuf> {
    unpacked("contents", &CORPUS, is_long_run())
}

fn findings(name: &str, text: &str, destination: &str, mode: u32) -> Vec<String> {
    let source = Source::new(name, text);
    let found = lint_file(&source, destination, mode, &Options::default()).findings.diagnostics;
    let place = |found: &diagnostics::Diagnostic| source.position(found.span.unwrap_or_default().start);
    found.iter().map(|found| format!("{name}:{}: {} {}", place(found).line, found.rule.code, found.message)).collect()
}

/// The shells by name; `None` where they cannot be had or do not run.
fn shells() -> Option<[(&'static str, PathBuf); 2]> {
    let folder = unpacked("shells", &SHELLS, is_long_run())?;
    let shells = [("bash", folder.join("bin/bash-static")), ("sh", folder.join("bin/dash"))];
    for (_, program) in &shells {
        if !Command::new(program).args(["-c", ":"]).status().is_ok_and(|status| status.success()) {
            skip(&format!("{} does not run on this machine", program.display()));
            return None;
        }
    }
    Some(shells)
}

/// Whether a shell reads a script, without running it.
fn reads(shell: &Path, text: &str) -> bool {
    let mut child = Command::new(shell)
        .arg("-n")
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A shell that stops early closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    let output = child.wait_with_output().unwrap();
    // bash reports some errors in conditions and then succeeds.
    output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("syntax error")
}

/// The files below a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && entry.metadata().is_ok_and(|data| data.len() <= MAX_FILE_BYTES))
        .map(walkdir::DirEntry::into_path)
        .collect();
    out.sort();
    out
}

/// A sample of the scripts that name a shell, each with the shell and its text.
fn scripts(folder: &Path) -> Vec<(PathBuf, &'static str, String)> {
    let mut out = Vec::new();
    for path in files(folder) {
        let Some(text) = std::fs::read_to_string(&path).ok().filter(|text| text.starts_with("#!")) else { continue };
        let first = text.lines().next().unwrap_or_default();
        let shell = match first.split_whitespace().next().unwrap_or_default().rsplit('/').next().unwrap_or_default() {
            "sh" | "#!sh" => "sh",
            "bash" => "bash",
            _ => continue,
        };
        out.push((path, shell, text));
    }
    let step = out.len().div_ceil(MAX_SCRIPTS).max(1);
    out.into_iter().step_by(step).collect()
}

/// Pseudo-random numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }
}

/// The script with one word or line removed, or one word inserted.
fn changed(text: &str, numbers: &mut Numbers) -> String {
    const WORDS: &[&str] =
        &["fi", "done", "then", "do", "esac", ";;", "(", ")", "{", "}", "\"", "'", "$(", "|", "&&", ">", ";"];
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let line = 1 + numbers.below(lines.len().saturating_sub(1));
    let Some(chosen) = lines.get(line) else { return text.to_string() };
    let mut words: Vec<&str> = chosen.split(' ').collect();
    match numbers.below(3) {
        0 => words.clear(),
        1 => {
            words.remove(numbers.below(words.len()));
        }
        _ => words.insert(numbers.below(words.len()), WORDS[numbers.below(WORDS.len())]),
    }
    let mut out: String = lines[..line].concat();
    out.push_str(&words.join(" "));
    out.push_str(&lines[line + 1..].concat());
    out
}

#[test]
fn the_linter_and_the_shells_accept_the_same_scripts() {
    let wanted: usize = std::env::var("MKIMG_CONTENTS").ok().map_or(100, |count| count.parse().unwrap());
    let (Some(shells), Some(corpus)) = (shells(), corpus()) else { return };
    let reads = |name: &str, text: &str| {
        let (_, program) = shells.iter().find(|(shell, _)| *shell == name).unwrap();
        reads(program, text)
    };
    let is_found = |path: &Path, text: &str| {
        let all = findings(&path.display().to_string(), text, "/usr/local/bin/script", 0o755);
        all.into_iter().find(|found| found.contains("MK300"))
    };
    let scripts = scripts(&corpus);
    assert!(scripts.len() > MAX_SCRIPTS / 2, "only {} scripts", scripts.len());
    let mut alarms = Vec::new();
    for (path, shell, text) in &scripts {
        if let Some(found) = is_found(path, text).filter(|_| reads(shell, text)) {
            alarms.push(found);
        }
    }
    let mut numbers = Numbers(22);
    let (mut refused, mut missed) = (0, Vec::new());
    for _ in 0..wanted {
        let (path, shell, text) = &scripts[numbers.below(scripts.len())];
        let text = changed(text, &mut numbers);
        match (is_found(path, &text), reads(shell, &text)) {
            (Some(found), true) => alarms.push(format!("changed: {found}")),
            (None, false) => {
                refused += 1;
                missed.push(path.display().to_string());
            }
            (Some(_), false) => refused += 1,
            (None, true) => {}
        }
    }
    println!("{} scripts, {wanted} changed ones: {refused} refused, {} of them missed", scripts.len(), missed.len());
    assert!(alarms.is_empty(), "false alarms:\n{}", alarms.join("\n"));
    assert!(missed.len() * 10 <= refused + 10, "missed: {missed:?}");
}

#[test]
fn every_setting_of_systemd_is_known() {
    let Some(corpus) = corpus() else { return };
    let libraries = [corpus.join("usr/lib/x86_64-linux-gnu/systemd"), corpus.join("lib/x86_64-linux-gnu/systemd")];
    let mut systemd = Command::new(corpus.join("lib/systemd/systemd"));
    systemd.arg("--dump-configuration-items").env_clear();
    systemd.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap());
    let output = match systemd.output() {
        Ok(output) if output.status.success() => output,
        other => return skip(&format!("systemd 252 does not run on this machine: {other:?}")),
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let mut section = String::new();
    let mut unknown = BTreeSet::new();
    let mut count = 0;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            section = name.to_string();
        } else if let Some((name, _)) = line.split_once('=') {
            let kind = match section.as_str() {
                "Unit" | "Install" => "service".to_string(),
                own => own.to_ascii_lowercase(),
            };
            let unit = format!("[{section}]\n{name}=\n");
            let path = format!("/etc/systemd/system/some.{kind}.d/x.conf");
            count += 1;
            if findings("x", &unit, &path, 0o644).iter().any(|found| found.contains("MK31")) {
                unknown.insert(format!("[{section}] {name}"));
            }
        }
    }
    println!("{count} settings");
    assert!(count > 500, "only {count} settings");
    assert!(unknown.is_empty(), "not known: {unknown:?}");
}

#[test]
fn files_of_packages_have_no_finding() {
    let Some(corpus) = corpus() else { return };
    let roots = ["etc", "lib/systemd", "usr/lib/systemd", "usr/lib/sysctl.d", "lib/udev", "usr/share/doc/cron"];
    let mut alarms = Vec::new();
    let mut count = 0;
    for path in roots.iter().flat_map(|root| files(&corpus.join(root))) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let name = format!("/{}", path.strip_prefix(&corpus).unwrap().display());
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions()) & 0o7777;
        count += 1;
        alarms.extend(findings(&name, &text, &name, mode));
    }
    assert!(count > 300, "only {count} files");
    println!("{count} files");
    assert!(alarms.is_empty(), "{}", alarms.join("\n"));
}
