//! Debian base images, made from its packages: mmdebstrap, then `mke2fs -d`, then qemu-img. No loop device is needed.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::sources::{self, Mirrors};
use super::{Base, Boot, Error, Listed, VERSION, Workshop, rootfs};
use crate::cloud::now;

/// Slugs that can be built: the suite, and the components of the archive.
pub const RELEASES: [(&str, &str, &str); 2] =
    [("debian-12-x64", "bookworm", "main"), ("debian-13-x64", "trixie", "main")];

/// What a droplet's Debian has beyond the essential. Firewalls and the like are not among it: an image that wants one
/// installs it.
const PACKAGES: [&str; 28] = [
    "apt-utils",
    "bash-completion",
    "ca-certificates",
    "cloud-init",
    "cron",
    "curl",
    "dbus",
    "e2fsprogs",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "linux-image-cloud-amd64",
    "locales",
    "logrotate",
    "nano",
    "netbase",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
    "wget",
    "xz-utils",
    "zstd",
];

/// The kernel's command line. `fsck` has nothing to find on a disk that was just made.
const APPEND: &str = "console=ttyS0 root=/dev/vda rw net.ifnames=0 panic=-1 quiet fsck.mode=skip";

/// The disk's size as the guest sees it; a droplet's own is larger, and the file system grows with it.
const SIZE: u64 = 7 << 30;

/// Programs that are needed, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 3] = [("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("qemu-img", "qemu-utils")];

/// What is to be built.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub slug: &'a str,
    pub cache: &'a Path,
    /// The archive's address; without one, the host's own.
    pub mirror: Option<&'a str>,
    /// The security archive's; without one, the host's own, or the archive's address with `-security`.
    pub security_mirror: Option<&'a str>,
}

/// Builds a base image; `say` hears of each stage and of what it does.
pub fn build(request: &Request<'_>, say: &dyn Fn(&str)) -> Result<Listed, Error> {
    let Some((slug, suite, components)) = RELEASES.into_iter().find(|(slug, ..)| *slug == request.slug) else {
        let known = RELEASES.into_iter().map(|(slug, ..)| slug).collect();
        return Err(Error::Unknown { slug: request.slug.to_owned(), verb: "built", known });
    };
    let programs = find_programs()?;
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let mirrors = mirrors(request)?;
    let workshop = Workshop::open(request.cache)?;
    let path = |name: &str| workshop.path().join(name);
    let text = mirrors.sources(suite, components);
    let list = path("debian.sources");
    std::fs::write(&list, &text).map_err(|error| Error::io("can't write", &list, error))?;

    say(&format!("{slug}: packages of {suite} from {}", mirrors.archive));
    let root = path("root");
    let mut mmdebstrap = command(&programs[0]);
    mmdebstrap.args(["--variant=minbase", "--format=directory", "--mode=root", "--skip=cleanup/tmp"]);
    // The package lists stay: a droplet's first `apt-get update` then fetches only what has changed since.
    mmdebstrap.arg("--skip=cleanup/apt/lists");
    mmdebstrap.arg(format!("--include={}", PACKAGES.join(",")));
    mmdebstrap.arg("--aptopt=Acquire::Retries \"3\"");
    mmdebstrap.arg("--dpkgopt=force-unsafe-io");
    for (file, content) in rootfs::INITRAMFS {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let content = content.replace('\n', "\\n");
        mmdebstrap.arg(format!("--essential-hook=mkdir -p \"$1/{folder}\" && printf '{content}' > \"$1/{file}\""));
    }
    mmdebstrap.arg(suite).arg(&root).arg(&list);
    run("mmdebstrap", mmdebstrap, say)?;

    say("file system");
    rootfs::furnish(&root, &text)?;
    let image = path("image");
    std::fs::create_dir(&image).map_err(|error| Error::io("can't make", &image, error))?;
    for (prefix, name) in [("vmlinuz-", "vmlinuz"), ("initrd.img-", "initrd")] {
        let from = newest(&root.join("boot"), prefix)?;
        std::fs::copy(&from, image.join(name)).map_err(|error| Error::io("can't copy", &from, error))?;
    }
    let raw = path("disk.raw");
    let mut mke2fs = command(&programs[1]);
    mke2fs.args(["-q", "-t", "ext4", "-F", "-m", "0", "-L", rootfs::LABEL, "-d"]);
    mke2fs.arg(&root).arg(&raw).arg(format!("{}k", SIZE / 1024));
    run("mke2fs", mke2fs, say)?;

    say("disk image");
    let mut convert = command(&programs[2]);
    convert.args(["convert", "-f", "raw", "-O", "qcow2"]).arg(&raw).arg(image.join("disk.qcow2"));
    run("qemu-img", convert, say)?;

    let base = Base {
        version: VERSION,
        slug: slug.to_owned(),
        boot: Boot::Kernel { append: APPEND.to_owned() },
        virtual_size: SIZE,
        origin: mirrors.archive,
        made_at: now(),
    };
    workshop.deliver(&base)
}

fn find_programs() -> Result<Vec<PathBuf>, Error> {
    let found = PROGRAMS.map(|(program, _)| crate::qemu::program(program));
    let missing: Vec<_> =
        PROGRAMS.iter().zip(&found).filter(|(_, path)| path.is_none()).map(|(entry, _)| entry).collect();
    if missing.is_empty() {
        return Ok(found.into_iter().flatten().collect());
    }
    Err(Error::MissingPrograms {
        programs: missing.iter().map(|(program, _)| *program).collect(),
        packages: missing.iter().map(|(_, package)| *package).collect(),
    })
}

fn mirrors(request: &Request<'_>) -> Result<Mirrors, Error> {
    for given in [request.mirror, request.security_mirror].into_iter().flatten() {
        let plain = !given.contains(|character: char| character.is_whitespace() || character.is_control());
        if !plain || !(given.starts_with("http://") || given.starts_with("https://")) {
            return Err(Error::BadMirror(given.to_owned()));
        }
    }
    let hosts = || {
        let lists = |path: &str| {
            let text = std::fs::read_to_string(path).ok()?;
            text.lines().map(str::trim).find(|line| line.starts_with("http")).map(str::to_owned)
        };
        sources::find(&host_sources(Path::new("/etc/apt")), &lists)
    };
    let mut mirrors = match request.mirror {
        Some(archive) => {
            let archive = archive.trim_end_matches('/').to_owned();
            Mirrors { security: format!("{archive}-security"), archive }
        }
        None => hosts().ok_or(Error::NoMirror)?,
    };
    if let Some(security) = request.security_mirror {
        security.trim_end_matches('/').clone_into(&mut mirrors.security);
    }
    Ok(mirrors)
}

/// apt's source files on this host, by name.
fn host_sources(apt: &Path) -> Vec<(String, String)> {
    let mut paths = vec![apt.join("sources.list")];
    let entries = std::fs::read_dir(apt.join("sources.list.d")).into_iter().flatten().flatten();
    paths.extend(entries.map(|entry| entry.path()));
    paths.sort();
    let wanted = |path: &PathBuf| path.extension().is_some_and(|end| end == "list" || end == "sources");
    let read = |path: PathBuf| Some((path.display().to_string(), std::fs::read_to_string(&path).ok()?));
    paths.into_iter().filter(wanted).filter_map(read).collect()
}

/// The file with this prefix whose version is highest (there is one, unless the archive has a surprise).
fn newest(folder: &Path, prefix: &str) -> Result<PathBuf, Error> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("can't read", folder, error))?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    let missing = || Error::io("no kernel in", folder, std::io::ErrorKind::NotFound.into());
    names.pop().map(|name| folder.join(name)).ok_or_else(missing)
}

/// A program with nothing of the caller's environment but what fetching needs. Should this process die, however it dies, the kernel
/// asks the program to end, where util-linux can see to that: nothing goes on as root that nobody waits for. What it mounts (mmdebstrap:
/// /proc, /sys, /dev) is seen by it alone and goes with it: whoever clears up after one that was killed must not walk into this host's.
fn command(program: &Path) -> Command {
    let tied: &[&str] = &["--pdeathsig", "TERM", "--"];
    let apart: &[&str] = &["--mount", "--propagation", "private", "--"];
    let mut words: Vec<OsString> = Vec::new();
    for (name, arguments) in [("setpriv", tied), ("unshare", apart)] {
        if let Some(wrapper) = crate::qemu::program(name).filter(|wrapper| wraps(wrapper, arguments)) {
            words.push(wrapper.into());
            words.extend(arguments.iter().map(OsString::from));
        }
    }
    words.push(program.into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command.env_clear().env("PATH", crate::qemu::SEARCH_PATH).env("LC_ALL", "C.UTF-8").env("HOME", "/root");
    for name in ["http_proxy", "https_proxy", "no_proxy"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Whether a program can be started in this way here. In a container that may not mount, none can be set apart; nothing is mounted there either.
fn wraps(wrapper: &Path, arguments: &[&str]) -> bool {
    let mut probe = Command::new(wrapper);
    probe.args(arguments).arg("/bin/true").env_clear();
    probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs a program to its end; passes on what it says of its progress.
fn run(name: &'static str, mut command: Command, say: &dyn Fn(&str)) -> Result<(), Error> {
    let failed = |error| Error::io("can't start", Path::new(name), error);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let mut tail = Vec::new();
    let mut full = false;
    for line in child.stderr.take().map(BufReader::new).into_iter().flat_map(|reader| reader.split(b'\n')) {
        let line = line.map_err(failed)?;
        let line = String::from_utf8_lossy(&line).into_owned();
        full |= line.contains("No space left on device");
        match line.strip_prefix("I: ") {
            Some(progress) if !["success", "running --", "skipping"].iter().any(|dull| progress.starts_with(dull)) => {
                say(&format!("  {progress}"));
            }
            _ => {}
        }
        tail.push(line);
        if tail.len() > 15 {
            tail.remove(0);
        }
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        Ok(())
    } else if full {
        Err(Error::DiskFull { path: command.get_current_dir().unwrap_or(Path::new("the cache")).to_path_buf() })
    } else {
        Err(Error::Program { program: name, status: status.to_string(), tail: tail.join("\n") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_that_is_not_known_is_named_with_those_that_are() {
        let request =
            Request { slug: "debian-1-x64", cache: Path::new("/nowhere"), mirror: None, security_mirror: None };
        let error = build(&request, &|_| ()).unwrap_err().to_string();
        assert_eq!(error, "debian-1-x64 can't be built; known are: debian-12-x64, debian-13-x64");
    }

    #[test]
    fn mirrors_are_addresses() {
        let request = |mirror| Request { slug: "", cache: Path::new("/"), mirror: Some(mirror), security_mirror: None };
        for bad in ["ftp://x.example/debian", "http://x.example/debian\nTypes: deb", "file:///x"] {
            assert!(matches!(mirrors(&request(bad)), Err(Error::BadMirror(_))), "{bad}");
        }
        let good = mirrors(&request("https://x.example/debian/")).unwrap();
        assert_eq!(good.security, "https://x.example/debian-security");
    }

    #[test]
    fn what_a_program_says_at_its_end_is_in_the_error() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo 'I: working' >&2; echo 'E: broken' >&2; exit 3"]);
        let said = std::sync::Mutex::new(Vec::new());
        let error = run("mmdebstrap", command, &|line| said.lock().unwrap().push(line.to_owned())).unwrap_err();
        assert_eq!(*said.lock().unwrap(), ["  working"]);
        assert!(error.to_string().contains("E: broken"), "{error}");
    }
}
