//! Commands that never end: servers in the foreground, and programs that follow something.

use super::databases;
use crate::shell::SimpleCommand;

/// A program that never ends: its name, the subcommands of which one must follow (none for any), and arguments with which
/// it ends or goes into the background.
type Endless = (&'static str, &'static [&'static str], &'static [&'static str]);

const ENDLESS: &[Endless] = &[
    ("caddy", &["run"], &[]),
    ("celery", &["worker", "beat"], &["-D", "--detach", "multi", "inspect", "control"]),
    ("cloudflared", &["tunnel run"], &[]),
    ("consul", &["agent"], &[]),
    ("containerd", &[""], &["config"]),
    ("docker", &["compose up"], &["-d", "--detach", "--wait", "--no-start", "--abort-on-container-exit"]),
    ("docker", &["events", "attach"], &["--until"]),
    ("docker", &["stats"], &["--no-stream"]),
    ("docker-compose", &["up"], &["-d", "--detach", "--wait", "--no-start", "--abort-on-container-exit"]),
    ("dockerd", &[], &["--validate"]),
    ("etcd", &[], &[]),
    ("flask", &["run"], &[]),
    ("grafana-server", &[], &["-v"]),
    ("gunicorn", &[], &["-D", "--daemon", "--check-config", "--print-config"]),
    ("hugo", &["server", "serve"], &[]),
    ("jupyter", &["notebook", "lab", "server"], &["list", "stop", "password", "--generate-config"]),
    ("jupyter-lab", &[], &["list", "stop", "password", "--generate-config"]),
    ("jupyter-notebook", &[], &["list", "stop", "password", "--generate-config"]),
    ("kubectl", &["port-forward", "proxy"], &[]),
    ("kubelet", &[], &[]),
    ("minikube", &["tunnel", "mount"], &["--cleanup"]),
    ("minio", &["server"], &[]),
    ("mongod", &[], &["--fork", "-f", "--config", "--shutdown", "--repair"]),
    ("mysqld_safe", &[], &[]),
    ("nats-server", &[], &["--signal", "-sl", "-t"]),
    ("ngrok", &["http", "tcp", "tls", "start"], &[]),
    ("node_exporter", &[], &[]),
    ("nomad", &["agent"], &[]),
    ("ollama", &["serve"], &[]),
    (
        "php",
        &["artisan serve", "artisan queue:work", "artisan schedule:work", "artisan horizon"],
        &["--once", "--stop-when-empty"],
    ),
    ("pm2", &["logs", "monit"], &["--nostream"]),
    ("prometheus", &[], &[]),
    ("rails", &["server", "s"], &["-d", "--daemon"]),
    ("streamlit", &["run"], &[]),
    ("supervisord", &["-n", "--nodaemon"], &[]),
    ("traefik", &[], &["version", "healthcheck"]),
    ("uvicorn", &[], &[]),
    ("vault", &["server"], &[]),
];
const HELP: [&str; 6] = ["--help", "--version", "-h", "-V", "version", "help"];

/// Whether a command never ends. If its output goes to a pipe, the reader may end it.
pub(super) fn never_ends(command: &SimpleCommand<'_>) -> bool {
    if command.feeds_pipe || command.has(&HELP) {
        return false;
    }
    let clusters = || command.arguments().iter().filter(|word| word.starts_with('-') && !word.starts_with("--"));
    let follows = |letters: [char; 2]| clusters().any(|word| word.contains(letters));
    let starts = |option: &str| command.arguments().iter().any(|word| word.starts_with(option));
    let first = command.operands().next().unwrap_or_default();
    let program = command.program();
    match program {
        "tail" => (follows(['f', 'F']) || command.has(&["--follow"])) && !starts("--pid"),
        "journalctl" => follows(['f', 'f']) || command.has(&["--follow"]),
        "dmesg" => follows(['w', 'W']) || command.has(&["--follow", "--follow-new"]),
        "sleep" => first == "infinity",
        "cockroach" | "docker" | "podman" if runs_cockroach(command) => true,
        "docker" | "podman" | "kubectl" if first == "logs" => command.has(&["-f", "--follow"]),
        "nakama" => databases::runs_nakama(command),
        "watch" => !first.is_empty() && !follows(['g', 'q']) && !starts("--"),
        "ping" => !first.is_empty() && !clusters().any(|word| word.starts_with("-c") || word.starts_with("-w")),
        "nginx" => command.arguments().iter().any(|word| word.replace(' ', "").contains("daemonoff")),
        "redis-server" | "valkey-server" => {
            !starts("--daemonize") && !command.arguments().iter().any(|word| word.ends_with(".conf") || word == "-")
        }
        "tailscale" => first == "up" && !asks_nobody(command),
        "sshd" => clusters().any(|word| word.contains('D')),
        "php" if starts("-S") => true,
        "python3" | "python" => {
            let pairs = command.arguments().windows(2);
            let mut pairs = pairs.map(|pair| (pair[0].as_ref(), pair[1].as_ref()));
            pairs.any(|pair| {
                matches!(pair, ("-m", "http.server" | "uvicorn" | "streamlit"))
                    || pair.1 == "runserver" && pair.0.ends_with("manage.py")
            })
        }
        "manage.py" => first == "runserver",
        _ => is_endless(command),
    }
}

/// Whether the table of programs has a command.
fn is_endless(command: &SimpleCommand<'_>) -> bool {
    let program = command.program();
    // What a variable holds may put it into the background.
    if command.arguments().iter().any(|word| word.starts_with('$')) {
        return false;
    }
    ENDLESS.iter().filter(|(name, ..)| *name == program).any(|(_, verbs, ends)| {
        let has_end = command.arguments().iter().any(|word| {
            ends.iter().any(|end| word == end || word.strip_prefix(end).is_some_and(|rest| rest.starts_with('=')))
        });
        let is_verb = |verb: &str| match verb.split_once(' ') {
            Some((group, verb)) => {
                let mut operands = command.operands();
                operands.next() == Some(group) && operands.any(|word| word == verb)
            }
            None if verb.is_empty() => command.arguments().is_empty(),
            None if verb.starts_with('-') => command.has(&[verb]),
            // Options with a value may come first.
            None if matches!(program, "celery" | "docker-compose") => command.operands().any(|word| word == verb),
            None => command.operands().next() == Some(verb),
        };
        !has_end && (verbs.is_empty() || verbs.iter().any(|verb| is_verb(verb)))
    })
}

/// Whether `tailscale up` has what it needs, or a time limit. Otherwise it waits until somebody opens an address.
fn asks_nobody(command: &SimpleCommand<'_>) -> bool {
    command.arguments().iter().any(|word| {
        let known = ["--auth", "-auth", "--timeout", "-timeout", "--client-", "-client-", "--id-token"];
        known.iter().any(|option| word.starts_with(option)) || word.contains('$')
    })
}

/// Whether a command runs a server of CockroachDB in the foreground.
fn runs_cockroach(command: &SimpleCommand<'_>) -> bool {
    let starts = |verb: &str| matches!(verb, "start" | "start-single-node");
    let first = command.operands().next().unwrap_or_default();
    if command.has(&["--help", "--version", "-h"]) {
        return false;
    }
    if command.program() == "cockroach" {
        let is_background = |word: &str| {
            word.strip_prefix("--background").is_some_and(|value| value.is_empty() || value == "=true" || value == "=1")
        };
        return starts(first) && !command.arguments().iter().any(|word| is_background(word));
    }
    let image = command.arguments().iter().position(|word| word.contains("cockroachdb/cockroach"));
    let Some((options, rest)) = image.and_then(|at| command.arguments().split_at_checked(at)) else { return false };
    let detaches = |word: &str| {
        word.starts_with("--detach") || word.starts_with('-') && !word.starts_with("--") && word.contains('d')
    };
    first == "run" && rest.get(1).is_some_and(|verb| starts(verb)) && !options.iter().any(|word| detaches(word))
}
