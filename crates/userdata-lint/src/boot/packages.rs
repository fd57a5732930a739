//! Programs and services that base images of Debian and Ubuntu lack, with their packages, and the
//! accounts that packages create.
//!
//! To add one, add a line. It must be in neither the cloud images of Debian 12 and 13 nor those of
//! Ubuntu 22.04 and 24.04.

/// Programs and their packages, sorted by name.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("a2dismod", &["apache2"]),
    ("a2enmod", &["apache2"]),
    ("a2ensite", &["apache2"]),
    ("ansible", &["ansible", "ansible-core"]),
    ("ansible-playbook", &["ansible", "ansible-core"]),
    ("apache2ctl", &["apache2"]),
    ("aws", &["awscli"]),
    ("caddy", &["caddy"]),
    ("cargo", &["cargo", "rustup"]),
    ("certbot", &["certbot"]),
    ("composer", &["composer"]),
    ("docker", &["docker.io", "docker-ce", "docker-ce-cli"]),
    ("docker-compose", &["docker-compose"]),
    ("fail2ban-client", &["fail2ban"]),
    ("ffmpeg", &["ffmpeg"]),
    ("g++", &["g++", "build-essential"]),
    ("gcc", &["gcc", "build-essential"]),
    ("go", &["golang", "golang-go"]),
    ("haproxy", &["haproxy"]),
    ("helm", &["helm"]),
    ("iperf3", &["iperf3"]),
    ("java", &["default-jre", "default-jdk", "openjdk"]),
    ("jq", &["jq"]),
    ("kubeadm", &["kubeadm"]),
    ("kubectl", &["kubectl"]),
    ("make", &["make", "build-essential"]),
    ("mariadb", &["mariadb-server", "mariadb-client"]),
    ("mongosh", &["mongodb-mongosh", "mongodb-org"]),
    ("mysql", &["mysql-server", "mysql-client", "mariadb-server", "mariadb-client", "default-mysql"]),
    ("nginx", &["nginx"]),
    ("nmap", &["nmap"]),
    ("node", &["nodejs"]),
    ("npm", &["npm", "nodejs"]),
    ("npx", &["npm", "nodejs"]),
    ("php", &["php"]),
    ("podman", &["podman"]),
    ("psql", &["postgresql"]),
    ("rabbitmqctl", &["rabbitmq-server"]),
    ("redis-cli", &["redis", "redis-server", "redis-tools"]),
    ("rustc", &["rustc", "rustup"]),
    ("supervisorctl", &["supervisor"]),
    ("terraform", &["terraform"]),
    ("unzip", &["unzip"]),
    ("wg", &["wireguard", "wireguard-tools"]),
    ("wg-quick", &["wireguard", "wireguard-tools"]),
    ("yarn", &["yarn", "yarnpkg"]),
];

/// Services and their packages, sorted by name.
const SERVICES: &[(&str, &[&str])] = &[
    ("apache2", &["apache2"]),
    ("caddy", &["caddy"]),
    ("docker", &["docker.io", "docker-ce"]),
    ("fail2ban", &["fail2ban"]),
    ("haproxy", &["haproxy"]),
    ("mariadb", &["mariadb-server"]),
    ("mysql", &["mysql-server", "default-mysql"]),
    ("nginx", &["nginx"]),
    ("postgresql", &["postgresql"]),
    ("rabbitmq-server", &["rabbitmq-server"]),
    ("redis-server", &["redis", "redis-server"]),
    ("supervisor", &["supervisor"]),
];

/// Accounts and the packages that create them, sorted by name.
const ACCOUNTS: &[(&str, &[&str])] = &[
    ("caddy", &["caddy"]),
    ("consul", &["consul"]),
    ("docker", &["docker.io", "docker-ce"]),
    ("elasticsearch", &["elasticsearch"]),
    ("grafana", &["grafana"]),
    ("haproxy", &["haproxy"]),
    ("influxdb", &["influxdb"]),
    ("jenkins", &["jenkins"]),
    ("mongodb", &["mongodb-org", "mongodb-org-server"]),
    ("mosquitto", &["mosquitto"]),
    ("mysql", &["mysql-server", "mariadb-server", "default-mysql-server"]),
    ("nomad", &["nomad"]),
    ("postfix", &["postfix"]),
    ("postgres", &["postgresql"]),
    ("prometheus", &["prometheus"]),
    ("rabbitmq", &["rabbitmq-server"]),
    ("redis", &["redis", "redis-server"]),
    ("tomcat", &["tomcat9", "tomcat10"]),
    ("unbound", &["unbound"]),
    ("vault", &["vault"]),
];

/// Users and groups of Debian, Ubuntu and Red Hat's relatives.
const BASE_ACCOUNTS: &[&str] = &[
    "_apt", "_chrony", "_ssh", "adm", "audio", "avahi", "backup", "bin", "cdrom", "chrony", "crontab", "daemon",
    "dbus", "dialout", "dip", "disk", "dnsmasq", "fax", "floppy", "ftp", "games", "gnats", "halt", "input", "irc",
    "kmem", "kvm", "landscape", "list", "lp", "lxd", "mail", "man", "messagebus", "netdev", "news", "nobody",
    "nogroup", "ntp", "operator", "plugdev", "polkitd", "pollinate", "proxy", "render", "root", "rpc", "sasl", "sgx",
    "shadow", "shutdown", "src", "ssh", "sshd", "staff", "statd", "sudo", "sync", "sys", "syslog", "systemd-journal",
    "systemd-network", "systemd-resolve", "systemd-timesync", "tape", "tcpdump", "tss", "tty", "usbmux", "users",
    "utmp", "uucp", "uuidd", "video", "voice", "wheel", "www-data",
];

/// The default users, which distributions' images create in the first boot.
pub(super) const DEFAULT_USERS: &[&str] = &[
    "admin", "almalinux", "alpine", "arch", "azureuser", "centos", "cloud-user", "debian", "ec2-user", "fedora", "opc",
    "opensuse", "rocky", "ubuntu",
];

fn lookup(table: &'static [(&str, &[&str])], name: &str) -> Option<&'static [&'static str]> {
    let found = table.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    Some(table[found].1)
}

/// The packages that contain a program.
pub(super) fn packages_of_program(program: &str) -> Option<&'static [&'static str]> {
    lookup(PROGRAMS, program)
}

/// The packages that contain a service, with or without `.service`.
pub(super) fn packages_of_service(unit: &str) -> Option<&'static [&'static str]> {
    lookup(SERVICES, unit.strip_suffix(".service").unwrap_or(unit))
}

/// The packages that create a user or group.
pub(super) fn packages_of_account(name: &str) -> Option<&'static [&'static str]> {
    lookup(ACCOUNTS, name)
}

pub(super) fn is_base_account(name: &str) -> bool {
    BASE_ACCOUNTS.binary_search(&name).is_ok()
}

/// Whether a package is one of these: `postgresql-16` counts as `postgresql`, and `nginx=1.24*` as
/// `nginx`.
pub(super) fn provides(package: &str, packages: &[&str]) -> bool {
    let name = package.split(['=', '/', ':']).next().unwrap_or_default();
    packages.iter().any(|known| {
        name.strip_prefix(known)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c == '-' || c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        for table in [PROGRAMS, SERVICES, ACCOUNTS] {
            assert!(
                table.is_sorted_by(|one, two| one.0 < two.0),
                "{:?}",
                table.windows(2).find(|pair| pair[0].0 >= pair[1].0)
            );
        }
        assert!(BASE_ACCOUNTS.is_sorted(), "{:?}", BASE_ACCOUNTS.windows(2).find(|pair| pair[0] >= pair[1]));
        assert!(DEFAULT_USERS.is_sorted());
    }

    #[test]
    fn versions_and_flavours_of_packages_match() {
        assert!(
            provides("nginx=1.24*", &["nginx"])
                && provides("postgresql-16", &["postgresql"])
                && provides("php8.2-cli", &["php"])
        );
        assert!(!provides("nginxish", &["nginx"]) && !provides("lib", &["libc"]));
    }
}
