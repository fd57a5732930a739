//! What makes a Debian a droplet: packages, files and units, and apt's sources.
//!
//! DigitalOcean's habits are kept (root logs in by key, a config drive identifies the droplet), and
//! the first boot does not wait where there is nothing to wait for.

use std::path::{Path, PathBuf};

use super::Error;

/// Packages beyond the essential ones. Images that need a firewall or the like install it
/// themselves.
pub(super) const PACKAGES: &str = "\
    apt-utils bash-completion ca-certificates cloud-init cron curl dbus e2fsprogs initramfs-tools \
    iproute2 iputils-ping kmod less linux-image-cloud-amd64 locales logrotate nano netbase \
    openssh-server procps python3 sudo systemd-resolved systemd-sysv udev wget xz-utils zstd";

/// The root file system's label.
pub(super) const LABEL: &str = "cloudimg-rootfs";

/// Files of the initrd's configuration, with a droplet's drivers only. They are written before
/// packages are configured, so that the initrd is made once.
pub(super) const INITRAMFS: [(&str, &str); 2] = [
    ("usr/share/initramfs-tools/modules.d/mkimg", "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n"),
    ("etc/initramfs-tools/conf.d/mkimg", "MODULES=list\nCOMPRESS=zstd\n"),
];

const CLOUD_CFG: &str = "\
# As in DigitalOcean's images: a config drive identifies the droplet, and root logs in by key.
datasource_list: [ConfigDrive, DigitalOcean, NoCloud, None]
disable_root: false
manage_etc_hosts: true
users: [{name: root, lock_passwd: false}]
# Saves time in droplets that are emulated in software: one host key, and no boot loader to configure.
ssh_genkeytypes: [ed25519]
grub_dpkg: {enabled: false}
locale: C.UTF-8
";

const NETWORKD: &str = "\
# Without this, systemd-networkd waits two minutes for an address that no droplet needs.
[Network]
LinkLocalAddressing=no
IPv6AcceptRA=no
";

const APT: &str = "\
// Lists without translations: most of an update is unpacking, which is slow in software.
Acquire::Languages \"none\";
Acquire::PDiffs \"false\";
";

const FILES: [(&str, &str); 8] = [
    ("etc/apt/apt.conf.d/90mkimg", APT),
    ("etc/cloud/cloud.cfg.d/90_digitalocean.cfg", CLOUD_CFG),
    ("etc/systemd/network/10-cloud-init-eth0.network.d/mkimg.conf", NETWORKD),
    ("etc/ssh/sshd_config.d/50-digitalocean.conf", "PermitRootLogin prohibit-password\n"),
    ("etc/fstab", "LABEL=cloudimg-rootfs / ext4 defaults,errors=remount-ro 0 1\n"),
    ("etc/hostname", "debian\n"),
    ("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 debian\n::1 localhost ip6-localhost ip6-loopback\n"),
    // Empty, so that systemd makes one on first boot.
    ("etc/machine-id", ""),
];

/// Units that only cost time in a virtual machine without a screen: consoles, crash stores, mounts
/// that are made on demand, and searches for hardware.
const MASKED: [&str; 12] = [
    "getty@tty1.service", "serial-getty@ttyS0.service", "e2scrub_reap.service", "e2scrub_all.timer",
    "systemd-pstore.service", "systemd-binfmt.service", "systemd-rfkill.socket", "dev-hugepages.mount",
    "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "modprobe@drm.service", "ldconfig.service",
];

/// Units that are enabled in a droplet: link and unit.
const ENABLED: [(&str, &str); 5] = [
    ("multi-user.target.wants/systemd-networkd.service", "systemd-networkd.service"),
    ("sockets.target.wants/systemd-networkd.socket", "systemd-networkd.socket"),
    ("network-online.target.wants/systemd-networkd-wait-online.service", "systemd-networkd-wait-online.service"),
    ("dbus-org.freedesktop.network1.service", "systemd-networkd.service"),
    ("multi-user.target.wants/systemd-resolved.service", "systemd-resolved.service"),
];

/// Configures the unpacked system as a droplet.
pub(super) fn configure(root: &Path, sources: &str) -> Result<(), Error> {
    for (path, text) in FILES {
        write(root, path, text)?;
    }
    for unit in MASKED {
        link(root, &format!("etc/systemd/system/{unit}"), "/dev/null")?;
    }
    for (path, unit) in ENABLED {
        link(root, &format!("etc/systemd/system/{path}"), &format!("/lib/systemd/system/{unit}"))?;
    }
    link(root, "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")?;
    // Every droplet makes its own host keys.
    remove_files(root, "etc/ssh", |name| name.starts_with("ssh_host_"))?;
    remove_files(root, "etc/apt/sources.list.d", |_| true)?;
    remove_files(root, "var/log", |name| Path::new(name).extension().is_some_and(|end| end == "log"))?;
    write(root, "etc/apt/sources.list", "")?;
    write(root, "etc/apt/sources.list.d/debian.sources", sources)?;
    Ok(())
}

fn write(root: &Path, path: &str, text: &str) -> Result<(), Error> {
    let path = root.join(path);
    let parent = path.parent().unwrap_or(root);
    std::fs::create_dir_all(parent)
        .and_then(|()| {
            // A link must not lead out of the tree.
            if path.is_symlink() { std::fs::remove_file(&path) } else { Ok(()) }
        })
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|error| Error::io("can't write", &path, error))
}

fn link(root: &Path, path: &str, target: &str) -> Result<(), Error> {
    let path = root.join(path);
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::os::unix::fs::symlink(target, &path)
    });
    made.map_err(|error| Error::io("can't write", &path, error))
}

fn remove_files(root: &Path, folder: &str, is_unwanted: impl Fn(&str) -> bool) -> Result<(), Error> {
    let folder = root.join(folder);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("can't read", &folder, error)),
    };
    for entry in entries.flatten() {
        if is_unwanted(&entry.file_name().to_string_lossy()) && entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
            std::fs::remove_file(entry.path()).map_err(|error| Error::io("can't remove", &entry.path(), error))?;
        }
    }
    Ok(())
}

/// The addresses of the archive and the security archive. Nothing else is taken from the host's
/// apt: third-party sources must not leak into an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirrors {
    pub(super) archive: String,
    pub(super) security: String,
}

impl Mirrors {
    /// The mirrors of this machine's apt.
    pub(super) fn of_this_machine() -> Option<Self> {
        let apt = Path::new("/etc/apt");
        let folder = std::fs::read_dir(apt.join("sources.list.d")).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = folder.map(|entry| entry.path()).collect();
        paths.push(apt.join("sources.list"));
        paths.retain(|path| path.extension().is_some_and(|end| end == "list" || end == "sources"));
        paths.sort();
        let read = |path: PathBuf| Some((path.display().to_string(), std::fs::read_to_string(&path).ok()?));
        let files: Vec<(String, String)> = paths.into_iter().filter_map(read).collect();
        find_mirrors(&files, &|path| {
            let list = std::fs::read_to_string(path).ok()?;
            list.lines().map(str::trim).find(|line| line.starts_with("http")).map(str::to_owned)
        })
    }

    /// The sources of one suite, in deb822 form.
    pub(super) fn sources(&self, suite: &str, components: &str) -> String {
        format!(
            "Types: deb\nURIs: {}\nSuites: {suite} {suite}-updates\nComponents: {components}\nSigned-By: {KEYRING}\n\n\
             Types: deb\nURIs: {}\nSuites: {suite}-security\nComponents: {components}\nSigned-By: {KEYRING}\n",
            self.archive, self.security
        )
    }
}

/// The keys of Debian's archives (package `debian-archive-keyring`).
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One `deb` source, of either form.
#[derive(Debug, Default)]
struct AptSource {
    uris: Vec<String>,
    components: Vec<String>,
    signed_by: String,
}

/// Finds the mirrors in apt's source files, given as name and text. `read_list` returns the first
/// mirror of a list that an address names with `mirror+file:`, as in Debian's own cloud images.
fn find_mirrors(files: &[(String, String)], read_list: &dyn Fn(&str) -> Option<String>) -> Option<Mirrors> {
    let mut archive = None;
    let mut security = None;
    for (name, text) in files {
        let sources = if name.ends_with(".sources") { parse_deb822(text) } else { parse_one_line(text) };
        for source in sources {
            let has_debians_keys = source.signed_by.is_empty() || source.signed_by.contains("debian-archive-");
            if !has_debians_keys || !source.components.iter().any(|component| component == "main") {
                continue;
            }
            for uri in &source.uris {
                let uri = match uri.strip_prefix("mirror+file:") {
                    Some(path) => match read_list(path) {
                        Some(list) => list,
                        None => continue,
                    },
                    None => uri.clone(),
                };
                let uri = uri.trim_end_matches('/');
                if !uri.starts_with("http://") && !uri.starts_with("https://") {
                    continue;
                }
                match uri.rsplit('/').next() {
                    Some("debian") => archive.get_or_insert_with(|| uri.to_owned()),
                    Some("debian-security") => security.get_or_insert_with(|| uri.to_owned()),
                    _ => continue,
                };
            }
        }
    }
    let archive = archive?;
    // Mirrors usually have both side by side.
    let security = security.unwrap_or_else(|| format!("{archive}-security"));
    Some(Mirrors { archive, security })
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// `deb [options] URI SUITE COMPONENT…`
fn parse_one_line(text: &str) -> Vec<AptSource> {
    let mut sources = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb ") else { continue };
        let (options, rest) = match rest.trim_start().strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some(parts) => parts,
                None => continue,
            },
            None => ("", rest),
        };
        let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        let mut fields = words(rest).into_iter();
        let uris = fields.next().into_iter().collect();
        let components = fields.skip(1).collect();
        sources.push(AptSource { uris, components, signed_by: signed_by.unwrap_or_default().to_owned() });
    }
    sources
}

/// Paragraphs of `Field: value` lines, with continuation lines.
fn parse_deb822(text: &str) -> Vec<AptSource> {
    let mut sources = Vec::new();
    for paragraph in text.replace("\r\n", "\n").split("\n\n") {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in paragraph.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let get = |name: &str| fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let enabled = !matches!(get("enabled"), "no" | "false");
        if enabled && words(get("types")).iter().any(|kind| kind == "deb") {
            sources.push(AptSource {
                uris: words(get("uris")),
                components: words(get("components")),
                signed_by: get("signed-by").to_owned(),
            });
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_configured_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        std::fs::write(&outside, "mine").unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("etc/ssh")).unwrap();
        std::fs::write(root.join("etc/ssh/ssh_host_rsa_key"), "secret").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("etc/hostname")).unwrap();
        configure(&root, "Types: deb\n").unwrap();
        configure(&root, "Types: deb\n").unwrap();
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "mine");
        assert!(!root.join("etc/ssh/ssh_host_rsa_key").exists());
        assert_eq!(std::fs::read(root.join("etc/machine-id")).unwrap(), b"");
        assert_eq!(
            std::fs::read_link(root.join("etc/systemd/system/getty@tty1.service")).unwrap(),
            Path::new("/dev/null")
        );
        assert!(std::fs::read_to_string(root.join("etc/fstab")).unwrap().contains(LABEL));
    }

    fn found(files: &[(&str, &str)]) -> Option<Mirrors> {
        let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        find_mirrors(&files, &|path| {
            (path == "/etc/apt/mirrors/debian.list").then(|| "https://m.example/debian".to_owned())
        })
    }

    #[test]
    fn both_forms_are_read_without_third_parties() {
        let deb822 = "# a note\nTypes: deb deb-src\nURIs: http://mirror.example/debian/\nSuites: bookworm\n bookworm-updates\n\
                      Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                      Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n";
        let third = "deb [arch=amd64 signed-by=/etc/apt/keyrings/x.gpg] https://third.example/wine/debian bookworm main\n\
                     deb https://third.example/linux/debian bookworm stable\ndeb https://third.example/apt x main\n";
        let expected = Mirrors {
            archive: "http://mirror.example/debian".into(),
            security: "http://mirror.example/debian-security".into(),
        };
        assert_eq!(found(&[("third.list", third), ("debian.sources", deb822)]), Some(expected.clone()));
        let one_line = "# deb http://old.example/debian bookworm main\ndeb cdrom:[Debian]/ bookworm main\n\
                        deb http://mirror.example/debian bookworm main contrib # here\n";
        assert_eq!(found(&[("sources.list", one_line), ("third.list", third)]), Some(expected));
        assert_eq!(found(&[("third.list", third)]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn disabled_sources_are_skipped_and_lists_of_mirrors_are_read() {
        let off = "Enabled: no\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: x\nComponents: main\n";
        assert_eq!(found(&[("a.sources", off)]), None);
        let list = "Types: deb\nURIs: mirror+file:/etc/apt/mirrors/debian.list\nSuites: x\nComponents: main\n";
        let mirrors = found(&[("a.sources", list)]).unwrap();
        assert_eq!(mirrors.security, "https://m.example/debian-security");
    }

    #[test]
    fn the_image_gets_only_debians_suites() {
        let mirrors = Mirrors { archive: "http://m.example/debian".into(), security: "http://m.example/sec".into() };
        let sources = mirrors.sources("trixie", "main");
        assert!(sources.contains("URIs: http://m.example/debian\nSuites: trixie trixie-updates\n"));
        assert!(sources.contains("URIs: http://m.example/sec\nSuites: trixie-security\n"));
    }
}
