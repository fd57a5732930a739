//! Programs that ask somebody, or need a terminal: nobody is there while the machine boots.

use super::steps::BootStep;
use crate::rules;
use crate::shell::{Input, SimpleCommand};
use diagnostics::Diagnostic;
use diagnostics::source::Source;

pub(super) fn check(source: &Source, step: &BootStep<'_>, command: &SimpleCommand<'_>, out: &mut Vec<Diagnostic>) {
    if let Some((message, help)) = needs_terminal(command) {
        out.push(step.finding(source, &rules::INTERACTIVE_PROMPT, command, message.to_owned(), help));
    }
}

fn needs_terminal(command: &SimpleCommand<'_>) -> Option<(&'static str, &'static str)> {
    let arguments = command.arguments();
    let first = command.operands().next().unwrap_or_default();
    let is_asked = command.input == Input::Inherited && !command.has(&["--help", "--version", "-h"]);
    let is_unknown = arguments.iter().any(|word| word.starts_with('$'));
    Some(match command.program() {
        "docker" if matches!(first, "run" | "exec") && has_terminal(command) => (
            "`-t` needs a terminal, which does not exist at boot: docker says that the input device is not a TTY, and runs nothing",
            "remove `-it`",
        ),
        "mysql_secure_installation" | "mariadb-secure-installation" if is_asked && !command.has(&["--use-default"]) => {
            (
                "the program asks questions, which is impossible at boot",
                "run the SQL statements with `mysql -e`, or pass the answers to its input",
            )
        }
        "certbot" if is_asked && !is_unknown && obtains_certificate(command) => (
            "certbot asks for an address and for agreement, which is impossible at boot",
            "add `--non-interactive --agree-tos -m ADDRESS`",
        ),
        "mysql" | "mysqldump" | "mysqladmin" | "mariadb" | "mariadb-dump" | "mariadb-admin"
            if command.has(&["-p", "--password"]) =>
        {
            (
                "a blank after `-p` means that the program asks for the password, which is impossible at boot",
                "write the password without a blank after `-p`, or better in an option file (`--defaults-file=`)",
            )
        }
        "crontab" if command.has(&["-e"]) => (
            "`crontab -e` opens an editor, which is impossible at boot",
            "write a file in `/etc/cron.d`, or pass the table to `crontab -`",
        ),
        "visudo" | "vipw" | "vigr" if is_asked && arguments.is_empty() => {
            ("the program opens an editor, which is impossible at boot", "write the file with `write_files`")
        }
        "passwd" if is_asked && !is_unknown && (arguments.is_empty() || arguments.len() == 1 && !first.is_empty()) => {
            ("`passwd` asks for the password, which is impossible at boot", "use `chpasswd`, or `passwd` of the user")
        }
        _ => return None,
    })
}

/// Whether `docker run` or `docker exec` has `-i` and `-t`, and stays in the foreground.
fn has_terminal(command: &SimpleCommand<'_>) -> bool {
    let options = command.arguments().iter().skip_while(|word| !matches!(word.as_ref(), "run" | "exec")).skip(1);
    // Of the options before the image; some have a value.
    let options: Vec<_> = options.take_while(|word| !matches!(word.as_ref(), "sh" | "bash" | "--")).collect();
    let is_cluster = |word: &str| {
        word.strip_prefix('-')
            .is_some_and(|letters| !letters.is_empty() && letters.bytes().all(|byte| b"itd".contains(&byte)))
    };
    let has = |letter: char, long: &str| {
        options.iter().any(|word| is_cluster(word) && word.contains(letter) || *word == long)
    };
    has('i', "--interactive") && has('t', "--tty") && !has('d', "--detach")
}

fn obtains_certificate(command: &SimpleCommand<'_>) -> bool {
    let asks = ["--nginx", "--apache", "--standalone", "--webroot", "certonly", "run"];
    command.has(&asks)
        && !command.has(&["renew", "--non-interactive", "--noninteractive", "-n"])
        && !command.has(&["delete", "revoke", "certificates", "plugins", "register"])
}
