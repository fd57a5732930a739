//! `mkimg base build` when it is interrupted. The programs that it calls are stubs: nothing is downloaded.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{MKIMG, until};

/// A folder with stub programs. `mmdebstrap` mounts a file system, writes its process id to a file and waits.
fn programs(folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    let script = format!(
        "#!/bin/sh\nfor root; do case $root in */root) mkdir -p $root/proc; mount -t tmpfs none $root/proc;; esac; done\n\
         echo $$ >{}.new\nmv {0}.new {0}\nexec sleep 300\n",
        folder.join("pid").display()
    );
    std::fs::write(bin.join("mmdebstrap"), script).expect("a script");
    std::fs::set_permissions(bin.join("mmdebstrap"), std::fs::Permissions::from_mode(0o755)).expect("a mode");
    for name in ["mke2fs", "qemu-img"] {
        symlink("/bin/true", bin.join(name)).expect("a link");
    }
    for name in ["setpriv", "unshare"] {
        symlink(Path::new("/usr/bin").join(name), bin.join(name)).expect("a link");
    }
    bin
}

fn build(folder: &Path, bin: &Path) -> Command {
    let mut command = Command::new(MKIMG);
    command.args(["base", "build", "debian-12-x64", "--mirror", "http://127.0.0.1:9/debian", "--cache"]);
    command.arg(folder.join("cache")).env("MKIMG_PROGRAMS", bin).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn lives(pid: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

fn begun(folder: &Path, bin: &Path) -> (Child, u32) {
    let process = build(folder, bin).spawn().expect("mkimg runs");
    let noted = || std::fs::read_to_string(folder.join("pid")).ok().and_then(|text| text.trim().parse().ok());
    (process, until("mmdebstrap", noted))
}

/// The mounts below a folder that this process sees.
fn mounts(folder: &Path) -> Vec<String> {
    let all = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let places = all.lines().filter_map(|line| line.split(' ').nth(4));
    places.filter(|place| Path::new(place).starts_with(folder)).map(str::to_owned).collect()
}

#[test]
fn a_mounted_directory_is_not_cleared() {
    let folder = tempfile::tempdir().expect("a folder");
    let left = folder.path().join("cache/.making-old/root/proc");
    std::fs::create_dir_all(&left).expect("a folder");
    let mount = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&left).stderr(Stdio::null()).status();
    if !rustix::process::geteuid().is_root() || !mount.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this test mounts something");
        return;
    }
    std::fs::write(left.join("kept"), "").expect("a file");
    let refused = build(folder.path(), &programs(folder.path())).output().expect("mkimg runs");
    let kept = left.join("kept").exists();
    let unmounted = Command::new("umount").arg(&left).status().expect("umount runs");
    assert!(unmounted.success());
    let printed = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{printed}");
    assert!(printed.contains(&format!("umount --recursive {}", left.display())), "{printed}");
    assert!(kept);
}

#[test]
fn a_build_that_is_killed_ends_its_programs_and_a_second_one_waits_its_turn() {
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/setpriv").exists() {
        eprintln!("SKIPPED: building a base image needs root, and this test setpriv");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let bin = programs(folder.path());
    let (mut first, mmdebstrap) = begun(folder.path(), &bin);
    let second = build(folder.path(), &bin).output().expect("mkimg runs");
    let printed = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{printed}");
    assert!(
        printed.contains("another program is making a base image in ") && printed.contains("mkimg base list"),
        "{printed}"
    );

    assert!(lives(mmdebstrap));
    assert_eq!(mounts(folder.path()), Vec::<String>::new(), "seen by mmdebstrap alone");
    first.kill().expect("a signal");
    first.wait().expect("an end");
    until("end of mmdebstrap", || (!lives(mmdebstrap)).then_some(()));

    // The next build removes what it left.
    let left = || std::fs::read_dir(folder.path().join("cache")).expect("a cache").flatten();
    let names = || left().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let before: Vec<String> = names().filter(|name| name.starts_with(".making-")).collect();
    assert_eq!(before.len(), 1, "{before:?}");
    std::fs::remove_file(folder.path().join("pid")).expect("a number");
    let (mut third, _) = begun(folder.path(), &bin);
    assert!(!names().any(|name| name == before[0]));
    third.kill().expect("a signal");
    third.wait().expect("an end");
}
