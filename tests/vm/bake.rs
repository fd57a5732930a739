//! `mkimg bake --local --stand-ins` of this repository's image in virtual machines, and a check of the snapshot's
//! disk. It takes minutes: `make vm` runs it. With `MKIMG_VM_BAKED=DIR` it leaves the state of the bake in that folder,
//! for the tests that need an image (`make test-long`).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::droplets::{SLUG, kept_bake};
use crate::harness::{MKIMG, TOKEN, repository};
use rustix::fs::SeekFrom;
use serde_json::Value;

/// Runs a program, passes its standard error on, and returns its standard output.
fn run<I: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = I>) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(repository()).stderr(Stdio::inherit());
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Processes that name this folder on their command line or work in it.
fn processes_of(folder: &Path) -> Vec<PathBuf> {
    let name = folder.to_str().expect("UTF-8");
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    let uses = |process: &PathBuf| {
        let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(name)
            || std::fs::read_link(process.join("cwd")).is_ok_and(|place| place.starts_with(folder))
    };
    processes.filter(uses).collect()
}

/// Checks the environment and the arguments of the programs that a bake runs. Returns how many
/// there were.
fn without_the_token(bake: u32) -> usize {
    let all = std::fs::read_dir(format!("/proc/{bake}/task")).into_iter().flatten().flatten();
    let listed = all.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<String> =
        listed.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    let read = |process: &str, part: &str| std::fs::read(format!("/proc/{process}/{part}")).unwrap_or_default();
    let own = read(&bake.to_string(), "cmdline");
    let mut seen = 0;
    for child in &children {
        // Between fork and exec, a child still has the arguments and the environment of the bake
        // itself. This order of reads ensures that a checked environment is the one after exec. A
        // program that has ended has neither.
        let arguments = read(child, "cmdline");
        if arguments.is_empty() || arguments == own {
            continue;
        }
        assert!(!holds(&arguments, TOKEN), "the token is among the arguments of {child}");
        assert!(!holds(&read(child, "environ"), TOKEN), "the token is in the environment of {child}");
        seen += 1;
    }
    seen
}

/// Bakes, with every event shown as it comes, and returns the events.
fn bake(state: &Path, report: &Path) -> Vec<Value> {
    let mut command = Command::new(MKIMG);
    command.args(["bake", "--local", "--stand-ins", "--var", &format!("image={SLUG}"), "--format", "json", "--report"]);
    command.arg(report).env("XDG_STATE_HOME", state).current_dir(repository());
    // This bake does not need the token, and no program that it starts may see it.
    command.env("DIGITALOCEAN_API_TOKEN", TOKEN);
    let mut process = command.stdout(Stdio::piped()).spawn().expect("mkimg runs");
    let mut children = 0;
    let mut events = Vec::new();
    for line in BufReader::new(process.stdout.take().expect("a pipe")).lines() {
        let event: Value = serde_json::from_str(&line.expect("a line")).expect("one JSON object a line");
        eprintln!("{event}");
        children += without_the_token(process.id());
        events.push(event);
    }
    let status = process.wait().expect("it ends");
    assert!(status.success(), "{status}");
    assert!(children > 0, "the virtual machine was looked at");
    events
}

/// The data of a raw image in overlapping chunks, without holes.
fn for_each_piece(image: &Path, mut look: impl FnMut(&[u8])) {
    const PIECE: usize = 4 << 20;
    let mut file = File::open(image).expect("the raw image");
    let (mut at, mut bytes) = (0, vec![0; PIECE]);
    while let Ok(start) = rustix::fs::seek(&file, SeekFrom::Data(at)) {
        let end = rustix::fs::seek(&file, SeekFrom::Hole(start)).expect("a hole follows");
        at = start;
        while at < end {
            let wanted = usize::try_from(end - at).map_or(PIECE, |left| left.min(PIECE));
            file.seek(std::io::SeekFrom::Start(at)).expect("a place in the file");
            file.read_exact(&mut bytes[..wanted]).expect("data");
            look(&bytes[..wanted]);
            // The search terms are shorter than this overlap.
            at = if at + wanted as u64 == end { end } else { at + wanted as u64 - 256 };
        }
    }
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    let needle = needle.as_bytes();
    let first = needle[0];
    let mut rest: &[u8] = bytes;
    while let Some(place) = rest.iter().position(|byte| *byte == first) {
        rest = &rest[place..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

#[test]
#[ignore = "boots virtual machines: make vm"]
fn this_repository_is_baked_and_verified_and_nothing_is_left() {
    run("fixtures/stand-ins/build", ["target/stand-ins"]);
    let bases = run(MKIMG, ["base", "list", "--format", "json"]);
    if !bases.contains(&format!("\"{SLUG}\"")) {
        run(MKIMG, ["base", "build", SLUG]);
    }
    // The default temporary folder may be in memory, which is too small.
    let folder = tempfile::Builder::new().prefix("mkimg-vm-bake-").tempdir_in("/var/tmp").expect("a folder");
    let report = folder.path().join("report.html");
    let state = kept_bake().unwrap_or_else(|| folder.path().join("state"));
    // An earlier run may have left an older image.
    let _ = std::fs::remove_dir_all(&state);
    let events = bake(&state, &report);

    let done = events.last().expect("events");
    assert_eq!(done["event"], "done");
    assert_eq!((&done["verified"], &done["stand_ins"]), (&true.into(), &true.into()), "{done}");
    assert_eq!((&done["check"]["failed"], &done["check"]["warnings"]), (&0.into(), &0.into()), "{done}");
    assert!(std::fs::read_to_string(&report).expect("a report").to_lowercase().contains("stand-ins"));

    // A flat disk, with its kernel next to it.
    let snapshot = PathBuf::from(done["snapshot"]["path"].as_str().expect("a path"));
    for name in ["vmlinuz", "initrd", "snapshot.json"] {
        assert!(snapshot.join(name).is_file(), "{name}");
    }
    let disk = snapshot.join("disk.qcow2");
    let disk = disk.to_str().expect("UTF-8");
    let info: Value = serde_json::from_str(&run("qemu-img", ["info", "--output=json", disk])).expect("JSON");
    assert_eq!(info["format"], "qcow2");
    assert_eq!(info.get("backing-filename"), None, "{info}");

    // The disk, including its deleted blocks, holds nothing of the bake. A text of the image itself
    // shows that the search works.
    let raw = folder.path().join("disk.raw");
    run("qemu-img", ["convert", "-O", "raw", disk, raw.to_str().expect("UTF-8")]);
    let bake = done["bake"].as_str().expect("an id");
    let traces = [
        bake, "\"power_off_after\"", "\"certificate\":\"MI", "\"certificate\": \"MI", "/run/mkimg/runner.py",
        "mkimg-first-boot",
    ];
    let (mut found, mut searches) = (Vec::<&str>::new(), false);
    for_each_piece(&raw, |piece| {
        found.extend(traces.iter().copied().filter(|trace| holds(piece, trace)));
        searches |= holds(piece, "Description=CockroachDB, the database of Nakama");
    });
    assert!(searches, "the image's own unit was not found on the raw disk");
    assert!(found.is_empty(), "traces of the bake on the raw disk: {found:?}");

    for place in [folder.path(), &state] {
        assert_eq!(processes_of(place), Vec::<PathBuf>::new(), "still running");
    }
}
