//! CockroachDB and Nakama.

use super::unnoticed::all_codes;

fn unit(name: &str, text: &str) -> String {
    format!(
        "  - path: /etc/systemd/system/{name}.service\n    content: \"[Service]\\n{}\\n\"\n",
        text.replace(';', "\\n")
    )
}

fn has(code: &str, units: &[(&str, &str)], commands: &[&str]) -> bool {
    let files: String = units.iter().map(|(name, text)| unit(name, text)).collect();
    let commands: String = commands.iter().flat_map(|line| ["  - ", line, "\n"]).collect();
    all_codes(&format!("write_files:\n{files}runcmd:\n{commands}")).contains(&code)
}

#[test]
fn nakama_before_its_migration_is_reported() {
    let nakama = ("nakama", "ExecStart=/opt/nakama/nakama --config /etc/nakama.yml");
    for (units, commands) in [
        (vec![nakama], vec!["systemctl start nakama", "/opt/nakama/nakama migrate up"]),
        (
            vec![nakama],
            vec![
                "systemctl daemon-reload",
                "systemctl enable --now nakama.service",
                "sudo -u nakama /opt/nakama/nakama migrate up --config /etc/nakama.yml",
            ],
        ),
        (vec![nakama], vec!["systemctl restart nakama", "sleep 5 && /opt/nakama/nakama migrate up"]),
        (
            vec![("game", "Type=simple;ExecStart=/opt/nakama/nakama;Restart=no")],
            vec!["systemctl start game", "[/opt/nakama/nakama, migrate, up]"],
        ),
    ] {
        assert!(has("MK422", &units, &commands), "{units:?} {commands:?}");
    }
    for (units, commands) in [
        (vec![nakama], vec!["/opt/nakama/nakama migrate up", "systemctl start nakama"]),
        (vec![nakama], vec!["systemctl enable nakama", "/opt/nakama/nakama migrate up", "systemctl start nakama"]),
        (vec![nakama], vec!["systemctl start nakama", "/opt/nakama/nakama migrate up", "systemctl restart nakama"]),
        (
            vec![("nakama", "ExecStartPre=/opt/nakama/nakama migrate up;ExecStart=/opt/nakama/nakama")],
            vec!["systemctl start nakama", "/opt/nakama/nakama migrate up"],
        ),
        (
            vec![("nakama", "ExecStart=/opt/nakama/nakama;Restart=always;RestartSec=5")],
            vec!["systemctl start nakama", "/opt/nakama/nakama migrate up"],
        ),
        (
            vec![("db", "ExecStart=/usr/bin/cockroach start-single-node")],
            vec!["systemctl start db", "/opt/nakama/nakama migrate up"],
        ),
        (vec![nakama], vec!["systemctl start nakama"]),
    ] {
        assert!(!has("MK422", &units, &commands), "{units:?} {commands:?}");
    }
}

#[test]
fn sql_before_init_is_reported() {
    let node = ("db", "Type=notify;ExecStart=/usr/bin/cockroach start --join=10.0.0.2 --insecure");
    for commands in [
        vec!["systemctl start db", "cockroach sql --insecure -e 'CREATE DATABASE a'", "cockroach init --insecure"],
        vec![
            "systemctl enable --now db",
            "cockroach sql --insecure --host=localhost:26257 -e 'SHOW TABLES'",
            "sleep 5",
            "cockroach init --insecure",
        ],
        vec!["cockroach start --join=10.0.0.2 --background", "nakama migrate up", "cockroach init --insecure"],
        vec![
            "systemctl start db",
            "nakama migrate up --database.address root@127.0.0.1:26257",
            "cockroach init --insecure",
        ],
    ] {
        assert!(has("MK422", &[node], &commands), "{commands:?}");
    }
    for commands in [
        vec!["systemctl start db", "cockroach init --insecure", "cockroach sql --insecure -e 'CREATE DATABASE a'"],
        // The node is ready for `init` as soon as systemd says that it has started.
        vec!["systemctl start db", "cockroach init --insecure"],
        vec!["systemctl start db", "cockroach sql --insecure -e 'CREATE DATABASE a'"],
        vec!["cockroach sql --host=10.0.0.9 -e 'SELECT 1'", "systemctl start db", "cockroach init --insecure"],
        vec!["systemctl start db", "cockroach sql --host=10.0.0.9 -e 'SELECT 1'", "cockroach init --insecure"],
        vec!["systemctl start db", "until cockroach sql -e 'SELECT 1'; do sleep 1; done", "cockroach init --insecure"],
    ] {
        assert!(!has("MK422", &[node], &commands), "{commands:?}");
    }
}

#[test]
fn nodes_without_join_are_reported() {
    for command in [
        "cockroach start --insecure --background",
        "/usr/local/bin/cockroach start --certs-dir=/srv/certs --store=/srv/db --background",
        "sudo -u cockroach cockroach start --insecure &",
        "[cockroach, start, --insecure, --background]",
    ] {
        assert!(has("MK423", &[], &[command]), "{command}");
    }
    assert!(has("MK423", &[("db", "ExecStart=/usr/bin/cockroach start --insecure")], &["ls"]));
    assert!(!has("MK423", &[("db", "ExecStart=/usr/bin/cockroach start --insecure $JOIN")], &["ls"]));
    for command in [
        "cockroach start --join=a,b --insecure --background",
        "cockroach start --insecure --join a --background",
        "cockroach start $FLAGS --background",
        "cockroach start-single-node --insecure --background",
        "cockroach start --help",
        "systemctl start cockroach",
    ] {
        assert!(!has("MK423", &[], &[command]), "{command}");
    }
}

#[test]
fn nakama_in_the_foreground_is_reported() {
    for command in ["nakama --config /etc/nakama.yml", "/opt/nakama/nakama --database.address root@db:26257"] {
        assert!(has("MK340", &[], &[command]), "{command}");
    }
    for command in [
        "nakama migrate up --config /etc/nakama.yml",
        "nakama check --config /etc/nakama.yml",
        "nakama --config /etc/nakama.yml &",
        "nakama --version",
        "docker run -d heroiclabs/nakama --config /etc/nakama.yml",
    ] {
        assert!(!has("MK340", &[], &[command]), "{command}");
    }
}
