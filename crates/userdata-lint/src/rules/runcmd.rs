//! Rules about commands of the boot that do by themselves what nobody wants: they wait, ask, or take the machine down.

use super::Rule;
use diagnostics::{Origin, Severity};

pub(crate) static REBOOTS_BY_COMMAND: Rule = Rule {
    code: "MK358",
    name: "reboots-by-command",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A command of `runcmd` takes the machine down.",
    reason: "\
`runcmd` is not the last thing that cloud-init does. A reboot in it cuts off the commands after it, `phone_home`,\n\
`final_message` and the mark that the boot is finished. `power_state` acts when all is done; its `condition` can be a command.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - touch /etc/done\n\
\x20 - reboot\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - touch /etc/done\n\
power_state: {mode: reboot}\n",
    example_limit: None,
};

pub(crate) static REBOOT_LOOP: Rule = Rule {
    code: "MK359",
    name: "reboot-loop",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "`bootcmd` takes the machine down at every boot.",
    reason: "\
`bootcmd` runs at the beginning of every boot, not only of the first one: the machine never comes up.",
    bad: "\
#cloud-config\n\
bootcmd:\n\
\x20 - reboot\n",
    good: "\
#cloud-config\n\
power_state: {mode: reboot}\n",
    example_limit: None,
};

pub(crate) static WAITS_FOR_ITSELF: Rule = Rule {
    code: "MK360",
    name: "waits-for-itself",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A command waits for cloud-init, which waits for the command.",
    reason: "\
cloud-init is finished when `runcmd` and the scripts are. `cloud-init status --wait` in one of them never returns, nor does\n\
`systemctl is-system-running --wait`. What has to come after cloud-init belongs in a unit with\n\
`After=cloud-final.service` that is started with `--no-block`.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - cloud-init status --wait\n\
\x20 - touch /etc/done\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - touch /etc/done\n",
    example_limit: None,
};

pub(crate) static START_WAITS_FOR_CLOUD_INIT: Rule = Rule {
    code: "MK361",
    name: "start-waits-for-cloud-init",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A unit is started that waits for cloud-init to end.",
    reason: "\
`systemctl start` returns when the unit has started; a unit with `After=cloud-final.service` or `After=cloud-init.target` starts\n\
when cloud-init has ended, which waits for the command. With `--no-block` the start is only asked for.",
    bad: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Unit]\n\
\x20     After=cloud-final.service\n\
\x20     [Service]\n\
\x20     ExecStart=/bin/true\n\
runcmd:\n\
\x20 - systemctl start app\n",
    good: "\
#cloud-config\n\
write_files:\n\
\x20 - path: /etc/systemd/system/app.service\n\
\x20   content: |\n\
\x20     [Unit]\n\
\x20     After=cloud-final.service\n\
\x20     [Service]\n\
\x20     ExecStart=/bin/true\n\
runcmd:\n\
\x20 - systemctl start --no-block app\n",
    example_limit: None,
};

pub(crate) static ASKS_A_QUESTION: Rule = Rule {
    code: "MK362",
    name: "asks-a-question",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A package manager would ask whether to go on, and nobody answers.",
    reason: "\
At boot there is no terminal: `apt-get install` without `-y` reads nothing, gives up, and the packages are not installed.\n\
`DEBIAN_FRONTEND=noninteractive` silences the questions of packages, not this one.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - apt-get install curl\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - DEBIAN_FRONTEND=noninteractive apt-get install -y curl\n",
    example_limit: None,
};

pub(crate) static OPERATOR_IN_LIST: Rule = Rule {
    code: "MK363",
    name: "operator-in-list",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A command as a list holds what only a shell would understand.",
    reason: "\
A list is run as it stands, word by word: `>`, `|`, `&&`, `$NAME` reach the program as arguments. `[echo, a, '>', /etc/b]`\n\
prints `a > /etc/b`. A command that needs a shell is written as one string.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - [echo, hello, '>', /etc/greeting]\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - echo hello > /etc/greeting\n",
    example_limit: None,
};

pub(crate) static HEREDOC_IN_FOLDED_TEXT: Rule = Rule {
    code: "MK367",
    name: "heredoc-in-folded-text",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A here-document stands in folded text, and never ends.",
    reason: "\
Folded text (`>`) joins its lines. The line that should end the here-document is joined too, and the shell takes all\n\
commands after it for its content. Literal text (`|`) keeps its lines.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - >\n\
\x20   cat > /etc/motd <<EOF\n\
\x20   hello\n\
\x20   EOF\n\
\x20 - date\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - |\n\
\x20   cat > /etc/motd <<EOF\n\
\x20   hello\n\
\x20   EOF\n\
\x20 - date\n",
    example_limit: None,
};

pub(crate) static NEVER_ENDS: Rule = Rule {
    code: "MK340",
    name: "command-never-ends",
    origin: Origin::Mkimg,
    severity: Severity::Error,
    summary: "A command of the boot goes on for ever.",
    reason: "\
The commands run one after the other, and cloud-init waits for each. After `tail -f`, `sleep infinity` or a server in the foreground\n\
nothing more happens: no later command, no `final_message`, and `cloud-init status --wait` does not return.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - python3 -m http.server 80\n\
\x20 - touch /etc/done\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - systemd-run --unit=web python3 -m http.server 80\n\
\x20 - touch /etc/done\n",
    example_limit: None,
};

pub(crate) static SHUTS_OUT_SSH: Rule = Rule {
    code: "MK341",
    name: "firewall-without-ssh",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A firewall is switched on, and no rule lets SSH in.",
    reason: "\
`ufw enable` refuses every connection from outside that no rule allows. A rule for SSH has to be there before: by its name\n\
(`OpenSSH`, `ssh`), its port, or from an address. Images on which ufw has such a rule already are rare.",
    bad: "\
#cloud-config\n\
packages: [ufw]\n\
runcmd:\n\
\x20 - ufw allow 80/tcp\n\
\x20 - ufw --force enable\n",
    good: "\
#cloud-config\n\
packages: [ufw]\n\
runcmd:\n\
\x20 - ufw allow OpenSSH\n\
\x20 - ufw allow 80/tcp\n\
\x20 - ufw --force enable\n",
    example_limit: None,
};

pub(crate) static EXPANDED_TOO_EARLY: Rule = Rule {
    code: "MK342",
    name: "expanded-too-early",
    origin: Origin::Mkimg,
    severity: Severity::Warning,
    summary: "A script in a here-document has its arguments taken away.",
    reason: "\
In a here-document whose word has no quotes, the shell puts in values for `$1`, `$@` and `$#` while it writes the file. The commands of\n\
the boot have no arguments: the script gets an empty text in their place. With `<<'EOF'` nothing is put in.",
    bad: "\
#cloud-config\n\
runcmd:\n\
\x20 - |\n\
\x20   cat > /usr/local/bin/greet <<EOF\n\
\x20   #!/bin/sh\n\
\x20   echo \"hello $1\"\n\
\x20   EOF\n",
    good: "\
#cloud-config\n\
runcmd:\n\
\x20 - |\n\
\x20   cat > /usr/local/bin/greet <<'EOF'\n\
\x20   #!/bin/sh\n\
\x20   echo \"hello $1\"\n\
\x20   EOF\n",
    example_limit: None,
};
