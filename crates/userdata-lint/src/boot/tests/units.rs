//! Units that start, need or are started by units that nothing provides.

use super::unnoticed::all_codes;

/// A file for each unit, given as its name and its text; lines are separated by `;`.
fn units(units: &[(&str, &str)], rest: &str) -> String {
    let file = |(name, text): &(&str, &str)| {
        let directory = if name.contains("/etc/") { "" } else { "/etc/systemd/system/" };
        let lines = text.replace(';', "\n      ");
        format!("  - path: {directory}{name}\n    content: |\n      {lines}\n")
    };
    format!("write_files:\n{}{rest}\n", units.iter().map(file).collect::<String>())
}

const TIMER: (&str, &str) = ("backup.timer", "[Timer];OnCalendar=daily;[Install];WantedBy=timers.target");
const OTHER: (&str, &str) = ("copy.service", "[Service];ExecStart=/bin/true");

#[test]
fn timers_without_a_service_are_reported() {
    let enable = "runcmd:\n  - systemctl daemon-reload\n  - systemctl enable --now backup.timer";
    for (files, rest) in [
        (vec![TIMER], enable),
        (vec![TIMER, OTHER], enable),
        (vec![TIMER, ("backups.service", "[Service];ExecStart=/bin/true")], "packages: [curl, jq, nginx]"),
        (vec![("a.timer", "[Timer];OnBootSec=5min;Unit=coppy.service"), OTHER], ""),
        (vec![("web.socket", "[Socket];ListenStream=80")], "runcmd: ['systemctl enable --now web.socket']"),
        (
            vec![
                ("web.socket", "[Socket];ListenStream=80;Accept=yes"),
                ("web.service", "[Service];ExecStart=/bin/true"),
            ],
            "",
        ),
        (vec![("watch.path", "[Path];PathChanged=/srv/a")], "runcmd: ['apt-get install -y curl', 'mkdir -p /srv']"),
        (vec![TIMER, ("/etc/motd", "hello")], "runcmd:\n  - /usr/bin/echo done > /srv/log\n  - sleep 1"),
        (vec![TIMER], "runcmd:\n  - curl -fsSL -o /srv/a.tar https://downloads.example/a.tar"),
    ] {
        let text = units(&files, rest);
        assert!(all_codes(&text).contains(&"MK420"), "{text}: {:?}", all_codes(&text));
    }
    for (files, rest) in [
        (vec![TIMER, ("backup.service", "[Service];ExecStart=/bin/true")], enable),
        (vec![("a.timer", "[Timer];OnBootSec=5min;Unit=copy.service"), OTHER], ""),
        (vec![("a@.timer", "[Timer];OnBootSec=5min"), ("a@.service", "[Service];ExecStart=/bin/true")], ""),
        (
            vec![
                ("a.timer", "[Timer];OnBootSec=5min;Unit=a@x.service"),
                ("a@.service", "[Service];ExecStart=/bin/true"),
            ],
            "",
        ),
        (vec![("a.timer", "[Timer];OnBootSec=5min;Unit=%p-x.service")], ""),
        (vec![("apt-daily.timer", "[Timer];OnCalendar=*-*-* 6:00")], ""),
        (vec![("certbot.timer", "[Timer];OnCalendar=daily")], "packages: [certbot]"),
        (vec![("certbot-renew.timer", "[Timer];OnCalendar=daily")], "runcmd: ['apt-get install -y certbot']"),
        (vec![("phpsessionclean.timer", "[Timer];OnCalendar=daily")], "packages: [php8.2-fpm]"),
        (vec![("a.timer", "[Timer];OnBootSec=5min;Unit=fstrim.service")], ""),
        (vec![("a.timer", "[Timer];OnBootSec=5min;Unit=reboot.target")], ""),
        (vec![TIMER], "snap: {commands: [[snap, install, backup]]}"),
        (vec![TIMER], "runcmd:\n  - curl -fsSL https://downloads.example/install.sh | sh"),
        (vec![TIMER], "runcmd:\n  - cp /opt/app/backup.service /etc/systemd/system/"),
        (vec![TIMER], "runcmd:\n  - cp /opt/app/*.service /etc/systemd/system/"),
        (vec![TIMER], "runcmd:\n  - ln -s /opt/app/backup.service /etc/systemd/system/backup.service"),
        (vec![TIMER], "runcmd:\n  - systemctl link /opt/app/backup.service"),
        (vec![TIMER], "runcmd:\n  - git clone https://code.example/app /opt/app\n  - make -C /opt/app install"),
        (
            vec![TIMER],
            "runcmd:\n  - |\n    cat > /etc/systemd/system/backup.service <<'EOF'\n    [Service]\n    ExecStart=/bin/true\n    EOF",
        ),
        (
            vec![TIMER],
            "runcmd:\n  - printf '[Service]\\nExecStart=/bin/true\\n' | tee /etc/systemd/system/backup.service",
        ),
        (vec![TIMER, ("/etc/containers/systemd/backup.container", "[Container];Image=a")], ""),
        (vec![TIMER, ("/etc/init.d/backup", "#!/bin/sh;echo")], ""),
        (vec![TIMER, ("backup.service.d/10.conf", "[Service];Nice=5")], ""),
        (vec![("backup.timer.d/10.conf", "[Timer];OnCalendar=weekly")], ""),
        (
            vec![
                ("b.timer", "[Timer];OnCalendar=daily"),
                ("c.service", "[Service];ExecStart=/bin/true;[Install];Alias=b.service"),
            ],
            "",
        ),
    ] {
        let text = units(&files, rest);
        assert!(!all_codes(&text).contains(&"MK420"), "{text}: {:?}", all_codes(&text));
    }
}

#[test]
fn units_that_nothing_brings_are_reported() {
    let service = |more: &'static str| ("web.service", more);
    for (files, rest) in [
        (vec![service("[Unit];Requires=web-setup.service;After=web-setup.service;[Service];ExecStart=/bin/true")], ""),
        (vec![service("[Unit];BindsTo=wep.socket;[Service];ExecStart=/bin/true")], "packages: [curl]"),
        (vec![service("[Service];ExecStart=/bin/true;[Install];WantedBy=my-application.target")], ""),
        (vec![service("[Service];ExecStart=/bin/true;[Install];RequiredBy=shop.service"), OTHER], ""),
        (vec![("web.service.d/a.conf", "[Unit];Requires=shop-setup.service;After=shop-setup.service")], ""),
        (
            vec![service("[Unit];Requisite=game.service;After=game.service;[Service];ExecStart=/bin/true")],
            "runcmd: ['systemctl start web']",
        ),
        (
            vec![service("[Unit];Requires=postgresql.service;After=postgresql.service;[Service];ExecStart=/bin/true")],
            "",
        ),
    ] {
        let text = units(&files, rest);
        assert!(all_codes(&text).contains(&"MK421"), "{text}: {:?}", all_codes(&text));
    }
    for (files, rest) in [
        (vec![service("[Unit];Wants=shop.service;After=shop.service;[Service];ExecStart=/bin/true")], ""),
        (vec![service("[Unit];Requires=docker.service;After=docker.service;[Service];ExecStart=/bin/true")], ""),
        (vec![service("[Unit];Requires=gcr-online.target;[Service];ExecStart=/bin/true")], ""),
        (
            vec![service("[Unit];Requires=postgresql.service;After=postgresql.service;[Service];ExecStart=/bin/true")],
            "packages: [postgresql-16]",
        ),
        (
            vec![service("[Unit];Requires=mariadb.service;After=mariadb.service;[Service];ExecStart=/bin/true")],
            "packages: [default-mysql-server]",
        ),
        (
            vec![service("[Unit];Requires=named.service;After=named.service;[Service];ExecStart=/bin/true")],
            "packages: [bind9]",
        ),
        (
            vec![service(
                "[Unit];Requires=mnt-data.mount;[Service];ExecStart=/bin/true;[Install];WantedBy=multi-user.target",
            )],
            "",
        ),
        (vec![service("[Unit];BindsTo=dev-sda.device;After=dev-sda.device;[Service];ExecStart=/bin/true")], ""),
        (vec![service("[Unit];Requires=a@%i.service;After=a@%i.service;[Service];ExecStart=/bin/true")], ""),
        (vec![service("[Service];ExecStart=/bin/true;[Install];WantedBy=cloud-init.target network-online.target")], ""),
        (vec![service("[Service];ExecStart=/bin/true;[Install];WantedBy=copy.service"), OTHER], ""),
        (
            vec![
                service("[Service];ExecStart=/bin/true;[Install];WantedBy=app.target"),
                ("app.target", "[Unit];Description=a"),
            ],
            "",
        ),
        (
            vec![service(
                "[Unit];Requires=wg-quick@wg0.service;After=wg-quick@wg0.service;[Service];ExecStart=/bin/true",
            )],
            "packages: [wireguard]",
        ),
        (
            vec![service("[Unit];Requires=shop.service;After=shop.service;[Service];ExecStart=/bin/true")],
            "runcmd: ['dpkg -i /srv/a.deb']",
        ),
        (
            vec![service("[Unit];Requires=shop.service;After=shop.service;[Service];ExecStart=/bin/true")],
            "packages: ['./shop.deb', curl]",
        ),
        (vec![service("[Unit];Requires=${unit};[Service];ExecStart=/bin/true")], ""),
    ] {
        let text = units(&files, rest);
        assert!(!all_codes(&text).contains(&"MK421"), "{text}: {:?}", all_codes(&text));
    }
}

#[test]
fn other_parts_may_bring_a_unit() {
    let text = units(&[TIMER], "merge_how: [{name: list, settings: [append]}]");
    assert!(!all_codes(&text).contains(&"MK420"));
}

#[test]
fn users_of_services_that_nothing_creates_are_reported() {
    let web = |more: &str, rest: &str| {
        let text = format!("[Service];{more}ExecStart=/usr/bin/python3 -m http.server");
        all_codes(&units(&[("web.service", &text)], rest))
    };
    for (more, rest) in [
        ("User=appuser;", ""),
        ("User=appuser;", "packages: [nginx]"),
        ("User=web-app;", "users: [{name: ada}]"),
        ("User=deploy;", "runcmd: ['systemctl enable --now web']"),
    ] {
        assert!(web(more, rest).contains(&"MK354"), "{more} {rest}");
    }
    for (more, rest) in [
        ("User=root;", ""),
        ("User=www-data;", ""),
        ("User=ubuntu;", ""),
        ("User=appuser;", "users: [{name: appuser}]"),
        ("User=appuser;", "runcmd: ['useradd -r appuser']"),
        ("User=appuser;", "runcmd: ['curl -fsSL https://a.example/install.sh | sh']"),
        ("User=appuser;DynamicUser=yes;", ""),
        ("User=postgres;", "packages: [postgresql]"),
        ("User=caddy;", "packages: [caddy]"),
        ("User=%i;", ""),
        ("User=1000;", ""),
        ("User=${user};", ""),
    ] {
        assert!(!web(more, rest).contains(&"MK354"), "{more} {rest}");
    }
}
