//! What a freshly unpacked Debian needs to be a droplet: DigitalOcean's habits (root logs in by key, a config drive says
//! what the droplet is), and a first boot that does not wait where nothing is to be waited for.

use std::path::Path;

use super::Error;

/// The root file system's label.
pub(super) const LABEL: &str = "cloudimg-rootfs";

/// Written before packages are configured, so that the initrd is made only once: the drivers of a droplet, no others.
pub(super) const INITRAMFS: [(&str, &str); 2] = [
    ("usr/share/initramfs-tools/modules.d/mkimg", "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n"),
    ("etc/initramfs-tools/conf.d/mkimg", "MODULES=list\nCOMPRESS=zstd\n"),
];

const CLOUD_CFG: &str = "\
# As DigitalOcean's images have it: a config drive says what the droplet is; root logs in, by key.
datasource_list: [ConfigDrive, DigitalOcean, NoCloud, None]
disable_root: false
manage_etc_hosts: true
users: [{name: root, lock_passwd: false}]
# For droplets that are emulated in software: one host key, no question to a boot loader that is not there.
ssh_genkeytypes: [ed25519]
grub_dpkg: {enabled: false}
locale: C.UTF-8
";

const NETWORKD: &str = "\
# Without this systemd-networkd waits two minutes for an address that no droplet needs.
[Network]
LinkLocalAddressing=no
IPv6AcceptRA=no
";

const APT: &str = "\
// Lists without translations: most of an update is unpacking, which takes long in software.
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
    // Empty, not absent: systemd makes one on first boot.
    ("etc/machine-id", ""),
];

/// Units that only cost time in a virtual machine without a screen: consoles, crash stores, mounts that are made when
/// something needs them, and loops over hardware that is not there.
const MASKED: [&str; 12] = [
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "e2scrub_reap.service",
    "e2scrub_all.timer",
    "systemd-pstore.service",
    "systemd-binfmt.service",
    "systemd-rfkill.socket",
    "dev-hugepages.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "modprobe@drm.service",
    "ldconfig.service",
];

/// Units that are on in a droplet.
const ENABLED: [(&str, &str); 5] = [
    ("multi-user.target.wants/systemd-networkd.service", "systemd-networkd.service"),
    ("sockets.target.wants/systemd-networkd.socket", "systemd-networkd.socket"),
    ("network-online.target.wants/systemd-networkd-wait-online.service", "systemd-networkd-wait-online.service"),
    ("dbus-org.freedesktop.network1.service", "systemd-networkd.service"),
    ("multi-user.target.wants/systemd-resolved.service", "systemd-resolved.service"),
];

/// Makes the unpacked system a droplet's. Runs as root, on a folder that nobody else has.
pub(super) fn furnish(root: &Path, sources: &str) -> Result<(), Error> {
    for (path, text) in FILES {
        write(root, path, text)?;
    }
    for unit in MASKED {
        link(root, &format!("etc/systemd/system/{unit}"), "/dev/null")?;
    }
    for (wish, unit) in ENABLED {
        link(root, &format!("etc/systemd/system/{wish}"), &format!("/lib/systemd/system/{unit}"))?;
    }
    link(root, "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")?;
    // Every droplet makes its own host keys.
    empty(root, "etc/ssh", |name| name.starts_with("ssh_host_"))?;
    empty(root, "etc/apt/sources.list.d", |_| true)?;
    empty(root, "var/log", |name| Path::new(name).extension().is_some_and(|end| end == "log"))?;
    write(root, "etc/apt/sources.list", "")?;
    write(root, "etc/apt/sources.list.d/debian.sources", sources)?;
    Ok(())
}

fn write(root: &Path, path: &str, text: &str) -> Result<(), Error> {
    let path = root.join(path);
    let parent = path.parent().unwrap_or(root);
    std::fs::create_dir_all(parent)
        .and_then(|()| {
            // A link there must not lead out of the tree.
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

fn empty(root: &Path, folder: &str, which: impl Fn(&str) -> bool) -> Result<(), Error> {
    let folder = root.join(folder);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("can't read", &folder, error)),
    };
    for entry in entries.flatten() {
        if which(&entry.file_name().to_string_lossy()) && entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
            std::fs::remove_file(entry.path()).map_err(|error| Error::io("can't remove", &entry.path(), error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_furnished_without_touching_what_links_point_to() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        std::fs::write(&outside, "mine").unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("etc/ssh")).unwrap();
        std::fs::write(root.join("etc/ssh/ssh_host_rsa_key"), "secret").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("etc/hostname")).unwrap();
        furnish(&root, "Types: deb\n").unwrap();
        furnish(&root, "Types: deb\n").unwrap();
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "mine");
        assert!(!root.join("etc/ssh/ssh_host_rsa_key").exists());
        assert_eq!(std::fs::read(root.join("etc/machine-id")).unwrap(), b"");
        assert_eq!(
            std::fs::read_link(root.join("etc/systemd/system/getty@tty1.service")).unwrap(),
            Path::new("/dev/null")
        );
        assert!(std::fs::read_to_string(root.join("etc/fstab")).unwrap().contains(LABEL));
    }
}
