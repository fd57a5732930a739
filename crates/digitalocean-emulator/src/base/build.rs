//! Debian base images, made from packages with mmdebstrap, `mke2fs -d` and qemu-img. No loop device
//! is needed.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::debian::{self, INITRAMFS, LABEL, Mirrors, PACKAGES};
use super::{BaseImage, BaseInfo, Boot, Error, WorkDir};
use crate::support::{SEARCH_PATH, find_program};

/// Slugs that can be built, with the suite and the components of the archive.
pub const RELEASES: [(&str, &str, &str); 2] =
    [("debian-12-x64", "bookworm", "main"), ("debian-13-x64", "trixie", "main")];

/// The kernel's command line. `fsck` is skipped, since a disk that was just made has no errors.
const KERNEL_COMMAND_LINE: &str = "console=ttyS0 root=/dev/vda rw net.ifnames=0 panic=-1 quiet fsck.mode=skip";

/// The disk's size as the guest sees it. A droplet's disk is larger, and the file system grows with
/// it.
const DISK_BYTES: u64 = 7 << 30;

/// Required programs and their Debian packages.
const PROGRAMS: [(&str, &str); 3] = [("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("qemu-img", "qemu-utils")];

/// How many of the last lines of a failed program its error has.
const MAX_TAIL_LINES: usize = 15;

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest<'a> {
    /// A slug of [`RELEASES`].
    pub slug: &'a str,
    /// The folder of base images.
    pub cache: &'a Path,
    /// The archive's address; by default that of this machine's apt.
    pub mirror: Option<&'a str>,
    /// The security archive's address; by default that of this machine's apt, or the mirror's with
    /// `-security`.
    pub security_mirror: Option<&'a str>,
}

/// Builds a base image. `report` gets a line for each stage and its progress.
pub fn build(request: &BuildRequest<'_>, report: &dyn Fn(&str)) -> Result<BaseImage, Error> {
    let Some((slug, suite, components)) = RELEASES.into_iter().find(|(slug, ..)| *slug == request.slug) else {
        let known = RELEASES.into_iter().map(|(slug, ..)| slug).collect();
        return Err(Error::Unknown { slug: request.slug.to_owned(), verb: "built", known });
    };
    let programs = find_programs()?;
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let mirrors = choose_mirrors(request)?;
    let work = WorkDir::open(request.cache)?;
    let path = |name: &str| work.path().join(name);
    let sources = mirrors.sources(suite, components);
    let list = path("debian.sources");
    std::fs::write(&list, &sources).map_err(|error| Error::io("can't write", &list, error))?;

    report(&format!("{slug}: packages of {suite} from {}", mirrors.archive));
    let root = path("root");
    let mut mmdebstrap = isolated_command(&programs[0]);
    mmdebstrap.args(["--variant=minbase", "--format=directory", "--mode=root", "--skip=cleanup/tmp"]);
    // Keeps the package lists: a droplet's first `apt-get update` then fetches only changes.
    mmdebstrap.arg("--skip=cleanup/apt/lists");
    mmdebstrap.arg(format!("--include={}", PACKAGES.replace(' ', ",")));
    mmdebstrap.arg("--aptopt=Acquire::Retries \"3\"");
    mmdebstrap.arg("--dpkgopt=force-unsafe-io");
    for (file, content) in INITRAMFS {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let content = content.replace('\n', "\\n");
        mmdebstrap.arg(format!("--essential-hook=mkdir -p \"$1/{folder}\" && printf '{content}' > \"$1/{file}\""));
    }
    mmdebstrap.arg(suite).arg(&root).arg(&list);
    run("mmdebstrap", mmdebstrap, report)?;

    report("file system");
    debian::configure(&root, &sources)?;
    let image = work.image();
    for (prefix, name) in [("vmlinuz-", "vmlinuz"), ("initrd.img-", "initrd")] {
        let from = newest_version(&root.join("boot"), prefix)?;
        std::fs::copy(&from, image.join(name)).map_err(|error| Error::io("can't copy", &from, error))?;
    }
    let raw = path("disk.raw");
    let mut mke2fs = isolated_command(&programs[1]);
    mke2fs.args(["-q", "-t", "ext4", "-F", "-m", "0", "-L", LABEL, "-d"]);
    mke2fs.arg(&root).arg(&raw).arg(format!("{}k", DISK_BYTES / 1024));
    run("mke2fs", mke2fs, report)?;

    report("disk image");
    let mut convert = isolated_command(&programs[2]);
    convert.args(["convert", "-f", "raw", "-O", "qcow2"]).arg(&raw).arg(image.join("disk.qcow2"));
    run("qemu-img", convert, report)?;

    let boot = Boot::Kernel { append: KERNEL_COMMAND_LINE.to_owned() };
    work.publish(BaseInfo::new(slug, boot, DISK_BYTES, mirrors.archive))
}

fn find_programs() -> Result<Vec<PathBuf>, Error> {
    let found = PROGRAMS.map(|(program, _)| find_program(program));
    let missing = PROGRAMS.into_iter().zip(&found).filter(|(_, path)| path.is_none());
    let (programs, packages): (Vec<_>, Vec<_>) = missing.map(|(names, _)| names).unzip();
    if programs.is_empty() {
        Ok(found.into_iter().flatten().collect())
    } else {
        Err(Error::MissingPrograms { programs, packages })
    }
}

fn choose_mirrors(request: &BuildRequest<'_>) -> Result<Mirrors, Error> {
    for given in [request.mirror, request.security_mirror].into_iter().flatten() {
        let is_plain = !given.contains(|character: char| character.is_whitespace() || character.is_control());
        if !is_plain || !(given.starts_with("http://") || given.starts_with("https://")) {
            return Err(Error::BadMirror(given.to_owned()));
        }
    }
    let mut mirrors = match request.mirror {
        Some(archive) => {
            let archive = archive.trim_end_matches('/').to_owned();
            Mirrors { security: format!("{archive}-security"), archive }
        }
        None => Mirrors::of_this_machine().ok_or(Error::NoMirror)?,
    };
    if let Some(security) = request.security_mirror {
        security.trim_end_matches('/').clone_into(&mut mirrors.security);
    }
    Ok(mirrors)
}

/// The file with this prefix that has the highest version. Usually there is only one.
fn newest_version(folder: &Path, prefix: &str) -> Result<PathBuf, Error> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("can't read", folder, error))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let newest = names.filter(|name| name.starts_with(prefix)).max();
    let missing = || Error::io("no kernel in", folder, std::io::ErrorKind::NotFound.into());
    newest.map(|name| folder.join(name)).ok_or_else(missing)
}

/// A program without the caller's environment, except for what downloads need.
///
/// If this process dies, the kernel ends the program (`setpriv`), so that nothing continues as root
/// unattended. What the program mounts is visible to it alone and disappears with it (`unshare`),
/// so that cleaning up after it never walks into the host's file systems.
fn isolated_command(program: &Path) -> Command {
    let dies_with_us: &[&str] = &["--pdeathsig", "TERM", "--"];
    let own_mounts: &[&str] = &["--mount", "--propagation", "private", "--"];
    let mut words: Vec<OsString> = Vec::new();
    for (name, arguments) in [("setpriv", dies_with_us), ("unshare", own_mounts)] {
        if let Some(wrapper) = find_program(name).filter(|wrapper| works(wrapper, arguments)) {
            words.push(wrapper.into());
            words.extend(arguments.iter().map(OsString::from));
        }
    }
    words.push(program.into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command.env_clear().env("PATH", SEARCH_PATH).env("LC_ALL", "C.UTF-8").env("HOME", "/root");
    for name in ["http_proxy", "https_proxy", "no_proxy"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Whether the wrapper works here. In a container that may not mount, `unshare` fails; but nothing
/// is mounted there.
fn works(wrapper: &Path, arguments: &[&str]) -> bool {
    let mut probe = Command::new(wrapper);
    probe.args(arguments).arg("/bin/true").env_clear();
    probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs a program to its end and reports its progress lines.
fn run(program: &'static str, mut command: Command, report: &dyn Fn(&str)) -> Result<(), Error> {
    let failed = |error| Error::io("can't start", Path::new(program), error);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let mut tail = VecDeque::new();
    let mut is_full = false;
    for line in child.stderr.take().map(BufReader::new).into_iter().flat_map(|reader| reader.split(b'\n')) {
        let line = String::from_utf8_lossy(&line.map_err(failed)?).into_owned();
        is_full |= line.contains("No space left on device");
        if let Some(progress) = line.strip_prefix("I: ")
            && !["success", "running --", "skipping"].iter().any(|noise| progress.starts_with(noise))
        {
            report(&format!("  {progress}"));
        }
        if tail.len() == MAX_TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        Ok(())
    } else if is_full {
        Err(Error::DiskFull { path: PathBuf::from("the cache") })
    } else {
        let tail = Vec::from(tail).join("\n");
        Err(Error::Program { program, status: status.to_string(), tail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(slug: &'a str, mirror: Option<&'a str>) -> BuildRequest<'a> {
        BuildRequest { slug, cache: Path::new("/nowhere"), mirror, security_mirror: None }
    }

    #[test]
    fn an_unknown_release_is_answered_with_the_known_ones() {
        let error = build(&request("debian-1-x64", None), &|_| ()).unwrap_err().to_string();
        assert_eq!(error, "debian-1-x64 can't be built; the known slugs are debian-12-x64, debian-13-x64");
    }

    #[test]
    fn mirrors_are_http_addresses() {
        for bad in ["ftp://x.example/debian", "http://x.example/debian\nTypes: deb", "file:///x"] {
            assert!(matches!(choose_mirrors(&request("", Some(bad))), Err(Error::BadMirror(_))), "{bad}");
        }
        let good = choose_mirrors(&request("", Some("https://x.example/debian/"))).unwrap();
        assert_eq!(good.security, "https://x.example/debian-security");
    }

    #[test]
    fn the_error_has_the_last_lines_of_a_failed_program() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "seq 20 >&2; echo 'I: working' >&2; echo 'E: broken' >&2; exit 3"]);
        let reported = std::sync::Mutex::new(Vec::new());
        let error = run("mmdebstrap", command, &|line| reported.lock().unwrap().push(line.to_owned())).unwrap_err();
        assert_eq!(*reported.lock().unwrap(), ["  working"]);
        let Error::Program { tail, .. } = error else { panic!("{error}") };
        assert_eq!(tail.lines().count(), 15);
        assert!(tail.starts_with("8\n") && tail.ends_with("E: broken"), "{tail}");
    }
}
