//! Checks one file of a machine against the others: programs and users of units, and the
//! environment of scripts. Only a project knows all of them; a document alone may rely on the base image.

use diagnostics::quoted;
use diagnostics::source::Span;

use crate::content::{Content, ContentFault, required_programs, setting_values};
use crate::rules;

/// What a project puts on its machine.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Absolute paths of files, and whether they are executable.
    pub files: Vec<(String, bool)>,
    /// Absolute paths of directories whose content is not known.
    pub directories: Vec<String>,
    /// Users and groups that exist before or are created.
    pub users: Vec<String>,
    pub packages: Vec<String>,
    /// Texts that may create what they mention: scripts and commands.
    pub scripts: Vec<String>,
    /// Names of the variables in the environment of the scripts.
    pub environment: Vec<String>,
}

/// Where packages put their programs.
const OF_PACKAGES: &[&str] =
    &["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/", "/usr/lib/", "/lib/", "/usr/libexec/", "/snap/"];

pub(crate) fn check(content: &Content<'_>, machine: &Machine, is_script: bool, out: &mut Vec<ContentFault>) {
    if is_script {
        check_environment(content.text, machine, out);
    }
    for (program, span) in required_programs(content.path, content.text) {
        check_program(&program, span, machine, out);
    }
    let values = |name| setting_values(content.path, content.text, name);
    if values("DynamicUser").is_empty() {
        for (name, span) in ["User", "Group"].into_iter().flat_map(values) {
            check_user(&name, span, machine, out);
        }
    }
}

fn check_program(program: &str, span: Span, machine: &Machine, out: &mut Vec<ContentFault>) {
    if !program.starts_with('/') || program.contains(['%', '$']) {
        return;
    }
    if let Some((_, is_executable)) = machine.files.iter().find(|(path, _)| path == program) {
        if !is_executable {
            let message = format!("{} is not executable, so the service does not start", quoted(program));
            let help = "make the file executable in the project, or give it a mode such as 0755 under `attributes:`"
                .to_owned();
            out.push(ContentFault::new(&rules::PROGRAM_NOT_EXECUTABLE, span, message, Some(help)));
        }
        return;
    }
    let is_in = |directory: &str| {
        program.strip_prefix(directory.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
    };
    let (directory, name) = program.rsplit_once('/').unwrap_or_default();
    // A directory such as /opt/game says that a script fills it; /usr/local/bin says nothing.
    let is_own = !directory.starts_with("/usr/local") && directory.matches('/').count() > 1;
    let is_mentioned = |text: &String| mentions(text, name) || is_own && text.contains(directory);
    let is_known = OF_PACKAGES.iter().any(|directory| program.starts_with(directory))
        || machine.directories.iter().any(|directory| is_in(directory))
        || machine.scripts.iter().any(is_mentioned);
    if !is_known {
        let near = diagnostics::did_you_mean(program, machine.files.iter().map(|(path, _)| path.as_str()));
        let help = near.unwrap_or_else(|| "add it to `files:` or `artifacts:`, or install it in a script".to_owned());
        let message = format!("nothing in the project provides {}, so the service does not start", quoted(program));
        out.push(ContentFault::new(&rules::PROGRAM_NOT_PROVIDED, span, message, Some(help)));
    }
}

fn check_user(name: &str, span: Span, machine: &Machine, out: &mut Vec<ContentFault>) {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    let of_package = |package: &String| package.contains(name) || name.contains(package.as_str());
    let is_known = is_number
        || name.contains(['%', '$'])
        || name.starts_with("systemd-")
        || name.starts_with('_')
        || machine.users.iter().any(|user| user == name)
        || machine.packages.iter().any(of_package)
        || machine.scripts.iter().any(|text| mentions(text, name))
        || machine.files.iter().any(|(path, _)| path.contains("/sysusers.d/"));
    if !is_known {
        let near = diagnostics::did_you_mean(name, machine.users.iter().map(String::as_str));
        let help = near.unwrap_or_else(|| format!("add `{{name: {name}, system: true}}` to `users:`"));
        let message = format!("nothing in the project creates {}, so the service does not start", quoted(name));
        out.push(ContentFault::new(&rules::USER_NOT_CREATED, span, message, Some(help)));
    }
}

/// Reports variables that a script reads, never sets, and whose name is nearly one of its environment.
fn check_environment(text: &str, machine: &Machine, out: &mut Vec<ContentFault>) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut reported: Vec<&str> = Vec::new();
    for (start, line) in crate::places::lines(text) {
        for (dollar, _) in line.match_indices('$') {
            let is_comment = line[..dollar].trim_start().starts_with('#');
            let begin = dollar + if line[dollar + 1..].starts_with('{') { 2 } else { 1 };
            let rest = &line[begin..];
            let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
            // A default says that it may be missing.
            let has_default = rest[name.len()..].starts_with([':', '-', '+', '=']) && begin == dollar + 2;
            if is_comment || has_default || name.len() < 4 || reported.contains(&name) {
                continue;
            }
            if machine.environment.iter().any(|known| known == name) || is_set(text, name) {
                continue;
            }
            let is_near = |known: &&String| known.eq_ignore_ascii_case(name) || strsim::osa_distance(known, name) <= 2;
            if let Some(known) = machine.environment.iter().find(is_near) {
                reported.push(name);
                let message = format!("{} is never set", quoted(&format!("${name}")));
                let help = format!("did you mean {}, which `environment:` sets?", quoted(&format!("${known}")));
                let span = Span::new(start + begin, start + begin + name.len());
                out.push(ContentFault::new(&rules::MISSPELLED_ENVIRONMENT_VARIABLE, span, message, Some(help)));
            }
        }
    }
}

/// Whether a script may set a variable: by an assignment, or as an argument of a command.
fn is_set(text: &str, name: &str) -> bool {
    words(text, name).any(|before| !matches!(before, Some('$' | '{')))
}

fn mentions(text: &str, name: &str) -> bool {
    words(text, name).next().is_some()
}

/// The characters before each occurrence of a name that is not part of a longer one.
fn words(text: &str, name: &str) -> impl Iterator<Item = Option<char>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).filter_map(move |(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + name.len()..].chars().next());
        (!before.is_some_and(is_name) && !after.is_some_and(is_name)).then_some(before)
    })
}

#[cfg(test)]
mod tests {
    use diagnostics::source::Source;

    use super::Machine;
    use crate::{Options, lint_file};

    fn machine() -> Machine {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Machine {
            files: vec![("/opt/game/server".into(), true), ("/etc/prog".into(), false)],
            directories: texts(&["/opt/engine"]),
            users: texts(&["root", "game"]),
            packages: texts(&["nginx", "postgresql-16"]),
            scripts: texts(&[
                "#!/bin/sh\ninstall -m 0755 tool /usr/local/bin/tool\nmkdir -p /srv/made\nuseradd runner\n",
            ]),
            environment: texts(&["game_version", "PORT", "database_address"]),
        }
    }

    fn messages(path: &str, text: &str) -> Vec<String> {
        let options = Options { machine: Some(machine()), ..Options::default() };
        let document = lint_file(&Source::new("a", text), path, 0o755, &options);
        let ours = ["MK955", "MK956", "MK957", "MK958"];
        let found = document.findings.diagnostics.into_iter().filter(|found| ours.contains(&found.rule.code));
        found
            .map(|found| format!("{} {} ({})", found.rule.code, found.message, found.help.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn programs_and_users_of_units_exist() {
        let unit = |lines: &str| {
            let text =
                format!("[Unit]\\nDescription=x\\n[Service]\\n{lines}\\n[Install]\\nWantedBy=multi-user.target\\n");
            messages("/etc/systemd/system/x.service", &text.replace("\\n", "\n"))
        };
        for good in [
            "ExecStart=/opt/game/server --port 1\nUser=game\nGroup=game",
            "ExecStart=/opt/engine/bin/run\nUser=runner",
            "ExecStart=/usr/local/bin/tool\nUser=nginx",
            "ExecStart=/srv/made/by-script\nUser=postgres",
            "ExecStart=/usr/bin/anything\nUser=1000",
            "ExecStart=-/opt/optional/tool\nUser=%i",
            "ExecStart=/opt/game/server\nDynamicUser=yes\nUser=somebody",
            "ExecStart=/opt/%i/server\nUser=systemd-network",
        ] {
            assert!(unit(good).is_empty(), "{good}: {:?}", unit(good));
        }
        for (bad, expected) in [
            (
                "ExecStart=/opt/game/sever",
                "MK956 nothing in the project provides `/opt/game/sever`, so the service does not start (did you mean `/opt/game/server`?)",
            ),
            (
                "ExecStart=/usr/local/bin/nothing",
                "MK956 nothing in the project provides `/usr/local/bin/nothing`, so the service does not start (add it to `files:` or `artifacts:`, or install it in a script)",
            ),
            (
                "ExecStart=/opt/engines/run",
                "MK956 nothing in the project provides `/opt/engines/run`, so the service does not start (add it to `files:` or `artifacts:`, or install it in a script)",
            ),
            (
                "ExecStart=/etc/prog",
                "MK957 `/etc/prog` is not executable, so the service does not start (make the file executable in the project, or give it a mode such as 0755 under `attributes:`)",
            ),
            (
                "ExecStart=/usr/bin/true\nUser=gmae",
                "MK958 nothing in the project creates `gmae`, so the service does not start (did you mean `game`?)",
            ),
            (
                "ExecStart=/usr/bin/true\nGroup=absent",
                "MK958 nothing in the project creates `absent`, so the service does not start (add `{name: absent, system: true}` to `users:`)",
            ),
        ] {
            assert_eq!(unit(bad), [expected], "{bad}");
        }
        assert!(messages("/etc/notes", "ExecStart=/opt/none\n").is_empty());
    }

    #[test]
    fn variables_of_scripts_are_those_of_the_environment() {
        let script = |text: &str| messages("/run/mkimg/scripts/01-a.sh", &format!("#!/bin/bash\n{text}\n"));
        for good in [
            "echo $game_version ${game_version} $PORT",
            "game_verison=1; echo $game_verison",
            "read -r game_verison; echo \"$game_verison\"",
            "for game_versions in 1 2; do echo $game_versions; done",
            "# echo $game_verison",
            "echo ${game_verison:-none} $HOME $1 $? $$ $",
            "echo $other_name ${database}",
        ] {
            assert!(script(good).is_empty(), "{good}: {:?}", script(good));
        }
        let expected = |name: &str, known: &str| {
            format!("MK955 `${name}` is never set (did you mean `${known}`, which `environment:` sets?)")
        };
        assert_eq!(script("echo $game_verison $game_verison"), [expected("game_verison", "game_version")]);
        assert_eq!(script("echo \"${GAME_VERSION}\""), [expected("GAME_VERSION", "game_version")]);
        assert_eq!(script("curl $databse_address"), [expected("databse_address", "database_address")]);
        assert_eq!(script("echo $port"), [expected("port", "PORT")]);
        assert!(
            messages("/usr/local/bin/tool", "#!/bin/sh\necho $game_verison\n").is_empty(),
            "has no such environment"
        );
    }
}
