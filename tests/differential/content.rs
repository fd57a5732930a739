//! Holds the checks of contents to the programs that read such files, with what this machine has: every shell script that `bash` or `sh`
//! accept must be without a finding, most of those that they refuse must have one; every setting that the installed systemd knows must be
//! known; every unit, table of cron and the like that a package brought must be without a finding.
//!
//! `MKIMG_CONTENTS=5000` asks for so many changed scripts (default: 100). What is not installed is left out.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mkimg::source::Source;
use mkimg::validate::validate_file;

/// So many scripts of the machine are read.
const MOST_SCRIPTS: usize = 200;
/// Longer ones are left to longer runs.
const LONGEST: u64 = 100_000;

fn findings(name: &str, text: &str, destination: &str, mode: u32) -> Vec<String> {
    let source = Source::new(name, text);
    let found = validate_file(&source, destination, mode).findings.diagnostics;
    let place = |found: &mkimg::diag::Diagnostic| source.position(found.span.unwrap_or_default().start);
    found.iter().map(|found| format!("{name}:{}: {} {}", place(found).line, found.code, found.message)).collect()
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("-c").arg(":").status().is_ok_and(|status| status.success())
}

/// Whether a shell reads a script, without running it.
fn reads(shell: &str, text: &str) -> bool {
    let mut child = Command::new(shell)
        .arg("-n")
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A shell that stops early closes its end.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    let output = child.wait_with_output().unwrap();
    // bash says some errors of conditions, and then succeeds.
    output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("syntax error")
}

fn files(roots: &[&str]) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = roots
        .iter()
        .flat_map(|root| walkdir::WalkDir::new(root).max_depth(6))
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && entry.metadata().is_ok_and(|data| data.len() <= LONGEST))
        .map(walkdir::DirEntry::into_path)
        .collect();
    out.sort();
    out
}

/// The scripts of the machine that name a shell, with the program that reads them.
fn scripts() -> Vec<(PathBuf, &'static str, String)> {
    let roots = ["/etc", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/share", "/var/lib/dpkg/info"];
    let mut out = Vec::new();
    for path in files(&roots) {
        let mut head = [0; 2];
        let is_script = std::fs::File::open(&path)
            .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut head))
            .is_ok_and(|()| head == *b"#!");
        let Some(text) = is_script.then(|| std::fs::read_to_string(&path).ok()).flatten() else { continue };
        let first = text.lines().next().unwrap_or_default().to_string();
        let shell = match first.split_whitespace().next().unwrap_or_default().rsplit('/').next().unwrap_or_default() {
            "sh" | "#!sh" => "sh",
            "bash" => "bash",
            _ => continue,
        };
        out.push((path, shell, text));
        if out.len() >= MOST_SCRIPTS {
            break;
        }
    }
    out
}

/// Small numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }
}

/// One word or line is taken out, or one is put in.
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
fn shells_and_we_read_the_same_scripts() {
    let wanted: usize = std::env::var("MKIMG_CONTENTS").ok().map_or(100, |count| count.parse().unwrap());
    if !is_there("bash") || !is_there("sh") {
        return;
    }
    let is_found = |path: &Path, text: &str| {
        let all = findings(&path.display().to_string(), text, "/usr/local/bin/script", 0o755);
        all.into_iter().find(|found| found.contains("MK300"))
    };
    let scripts = scripts();
    let mut alarms = Vec::new();
    for (path, shell, text) in &scripts {
        if let Some(found) = is_found(path, text).filter(|_| reads(shell, text)) {
            alarms.push(found);
        }
    }
    let mut numbers = Numbers(22);
    let (mut refused, mut missed) = (0, Vec::new());
    for _ in 0..if scripts.is_empty() { 0 } else { wanted } {
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
fn every_setting_of_the_installed_systemd_is_known() {
    let Ok(output) = Command::new("/usr/lib/systemd/systemd").arg("--dump-configuration-items").env_clear().output()
    else {
        return;
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
    assert!(unknown.is_empty(), "not known: {unknown:?}");
}

#[test]
fn what_packages_brought_has_no_finding() {
    let roots = ["/etc", "/usr/lib/systemd", "/usr/share/netplan", "/usr/lib/sysctl.d", "/usr/share/doc/cron/examples"];
    let mut alarms = Vec::new();
    let mut count = 0;
    for path in files(&roots) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let name = path.display().to_string();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions()) & 0o7777;
        count += 1;
        alarms.extend(findings(&name, &text, &name, mode));
    }
    println!("{count} files");
    assert!(alarms.is_empty(), "{}", alarms.join("\n"));
}
