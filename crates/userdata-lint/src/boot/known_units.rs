//! Units that base images have, and which packages may bring which units.

/// The units of the cloud images of Debian, Ubuntu, Fedora and their relatives, and of clouds and
/// container hosts, without the suffix. `*` stands for any rest. To add one, add its name.
const BASE: &str = "
accounts-daemon acpid amazon-* apparmor apport* apt-daily* apt-news atd auditd autofs autovt* avahi-daemon azure* bluetooth
chrony* cloud-* configure-printer* console-* container-getty* containerd coreos-* cri-o crio cron crond cryptdisks*
ctrl-alt-del dbus* debug-shell default display-manager dm-event dmesg dnf-* docker* dpkg-db-backup dracut-* droplet-agent
e2scrub* ec2-* ecs emergency esm-cache etcd* fcoe* finalrd firewalld flannel* fleet* fstrim fwupd* gcr-online getty* google-*
gpu-manager graphical* grub* gssproxy halt* haveged hibinit-agent hv-* hwclock* hyperv* ifup* ignition* initrd* insights-* iptables
ip6tables irqbalance iscsi* k3s* kdump* keyboard-setup kmod* konlet* kubelet* ldconfig libvirt* locksmithd logrotate lvm* lxd*
man-db* mdadm* mdcheck* mdmonitor* mdmon* microcode microk8s* ModemManager modprobe* motd* multi-user multipathd netplan* network*
Network* nfs* nftables nis-domainname nscd ntp* nvidia-* nvme* nvmf* oddjobd open-iscsi open-vm-tools opc-* oracle-* packagekit*
pam_namespace pg_* plymouth* podman* polkit* pollinate postfix procps qemu-guest-agent quotaon* raid-check rc rc-local rcS rdisc
rescue* resolvconf rhsmcertd rke2* rng* rpc* rsync rsyslog rtkit-daemon runlevel* screen-cleanup scaleway* secureboot-db selinux-*
sendmail serial-getty* setvtrgb slices smartcard smartd smartmontools snap* snapd* spice-vdagentd ssh sshd* ssh@ sssd* sudo swap sysstat* syslog
systemd-* thermald timers tpm-udev tpm2* tuned ua-* ubuntu-* udev udisks2 ufw unattended-upgrades unbound-anchor update-* upower
usbmuxd user* uuidd vboxadd* vgauth virt* vmtoolsd waagent* walinuxagent wpa_supplicant* x11-common xdg-* xe-* xfs_scrub* zfs-* zincati
";

/// Packages whose units have other names: the begin of the package's name, and words of the units.
const OTHER_NAMES: &[(&str, &[&str])] = &[
    ("apache2", &["httpd"]),
    ("avahi", &["avahi"]),
    ("bind9", &["named"]),
    ("bluez", &["bluetooth"]),
    ("default-mysql", &["mysql", "mariadb"]),
    ("docker", &["containerd", "docker"]),
    ("frr", &["zebra", "bgpd", "ospfd"]),
    ("gdm", &["display"]),
    ("httpd", &["apache2"]),
    ("lightdm", &["display"]),
    ("lvm2", &["dm", "blk"]),
    ("mariadb", &["mysql", "mysqld", "galera"]),
    ("mdadm", &["mdcheck", "mdmonitor"]),
    ("mysql", &["mariadb"]),
    ("nfs", &["rpc", "rpcbind", "idmapd", "mountd"]),
    ("openssh", &["ssh", "sshd"]),
    ("postgresql", &["pg"]),
    ("pulseaudio", &["rtkit"]),
    ("samba", &["smbd", "nmbd", "winbind", "smb", "nmb"]),
    ("spamassassin", &["spamd"]),
    ("unattended-upgrades", &["apt"]),
    ("wireguard", &["wg"]),
    ("xen", &["xe"]),
];

/// Words in the names of many packages and units.
const COMMON_WORDS: &[&str] = &[
    "base", "bin", "client", "common", "core", "daemon", "data", "dev", "doc", "extra", "extras", "full", "lib",
    "main", "plugin", "plugins", "python", "python3", "server", "service", "system", "tool", "tools", "utils",
];

/// Whether a base image has a unit.
pub(super) fn is_known(unit: &str) -> bool {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    let stem = stem.split_once('@').map_or(stem, |(stem, _)| stem);
    BASE.split_whitespace().any(|known| match known.strip_suffix('*') {
        Some(begin) => stem.starts_with(begin),
        None => stem == known.trim_end_matches('@'),
    })
}

/// Whether a package may contain a unit: their names have a word in common, or words that begin alike.
pub(super) fn may_contain(package: &str, unit: &str) -> bool {
    let package = package.split(['=', '/']).next().unwrap_or_default().to_ascii_lowercase();
    let unit = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem).to_ascii_lowercase();
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        words.filter(|word| word.len() >= 2 && !COMMON_WORDS.contains(word)).map(str::to_owned).collect()
    };
    let of_unit = words(&unit);
    let is_alike = |one: &str, other: &str| {
        let begin = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
        one == other || begin >= 3
    };
    words(&package).iter().any(|word| {
        of_unit.iter().any(|other| is_alike(word, other)) || word.len() >= 4 && unit.contains(word.as_str())
    }) || OTHER_NAMES
        .iter()
        .any(|(begin, units)| package.starts_with(begin) && of_unit.iter().any(|word| units.contains(&word.as_str())))
}
