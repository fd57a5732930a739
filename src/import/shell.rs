//! Shell text: where a reference is in it, commands that only wait, and how Packer runs a script.

use std::fmt::Write as _;

/// What surrounds a position in a shell script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Context {
    /// Outside of quotes.
    Plain {
        /// Whether a command begins here.
        is_command: bool,
        /// Whether the word has `=` before this position.
        is_assigned: bool,
    },
    SingleQuotes,
    DoubleQuotes,
    Comment,
    /// A here-document whose delimiter is not quoted.
    Document,
    /// A here-document whose text stays as it is.
    QuotedDocument,
}

#[derive(Debug)]
struct HereDocument {
    delimiter: String,
    is_quoted: bool,
    strips_tabs: bool,
}

/// Follows the quotes of a shell script, character by character.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// The open quotes and substitutions; the last one is the innermost.
    open: Vec<char>,
    /// The word before the position.
    word: String,
    has_command: bool,
    is_escaped: bool,
    is_comment: bool,
    /// Here-documents that begin with the next line.
    announced: Vec<HereDocument>,
    current: Option<HereDocument>,
    line: String,
}

impl Scanner {
    pub(super) fn context(&self) -> Context {
        if let Some(document) = &self.current {
            return if document.is_quoted { Context::QuotedDocument } else { Context::Document };
        }
        match self.open.last() {
            _ if self.is_comment => Context::Comment,
            Some('\'') => Context::SingleQuotes,
            Some('"') => Context::DoubleQuotes,
            _ => Context::Plain {
                is_command: !self.has_command && self.word.is_empty(),
                is_assigned: self.word.contains('='),
            },
        }
    }

    /// Whether the next character is escaped, or continues the name of a variable.
    pub(super) fn is_after_mark(&self) -> bool {
        self.is_escaped || self.word.ends_with('$')
    }

    pub(super) fn read(&mut self, text: &str) {
        text.chars().for_each(|c| self.read_char(c));
    }

    fn read_char(&mut self, c: char) {
        if let Some(document) = &self.current {
            if c != '\n' {
                return self.line.push(c);
            }
            let line = std::mem::take(&mut self.line);
            let line = if document.strips_tabs { line.trim_start_matches('\t') } else { &line };
            if line == document.delimiter {
                self.current = (!self.announced.is_empty()).then(|| self.announced.remove(0));
            }
            return;
        }
        let quote = self.open.last().copied();
        if quote == Some('\'') {
            if c == '\'' {
                self.open.pop();
            }
            return self.word.push(c);
        }
        if std::mem::take(&mut self.is_escaped) {
            return self.word.push(c);
        }
        match (quote, c) {
            (_, '\n') if quote != Some('"') => self.end_line(),
            _ if self.is_comment => {}
            (_, '\\') => {
                self.is_escaped = true;
                self.word.push(c);
            }
            (Some('"'), '"') | (Some('`'), '`') | (Some('('), ')') => self.close(c),
            (Some('"'), '(') if self.word.ends_with('$') => self.begin('('),
            (Some('"'), '`') => self.begin('`'),
            (Some('"'), _) => self.word.push(c),
            (_, '\'' | '"') => {
                self.open.push(c);
                self.word.push(c);
            }
            (_, '`' | '(') => self.begin(c),
            (_, '#') if self.word.is_empty() => self.is_comment = true,
            (_, ';' | '&' | '|' | ')') => {
                self.end_word();
                self.has_command = false;
            }
            (_, ' ' | '\t') => self.end_word(),
            _ => self.word.push(c),
        }
    }

    /// Begins a command in a substitution or a subshell.
    fn begin(&mut self, c: char) {
        self.open.push(c);
        self.word.clear();
        self.has_command = false;
    }

    fn close(&mut self, c: char) {
        self.open.pop();
        self.has_command = true;
        if c != '"' {
            self.word.clear();
        }
        self.word.push(c);
    }

    fn end_word(&mut self) {
        let word = std::mem::take(&mut self.word);
        if let Some(at) = word.find("<<").filter(|at| !word[*at..].starts_with("<<<")) {
            let written = &word[at + 2..];
            let (strips_tabs, written) = written.strip_prefix('-').map_or((false, written), |rest| (true, rest));
            let delimiter: String = written.chars().filter(|c| !matches!(c, '\'' | '"' | '\\')).collect();
            if delimiter.is_empty() {
                // `<< END`: the delimiter is the next word.
                return self.word = word;
            }
            let is_quoted = delimiter != written;
            self.announced.push(HereDocument { delimiter, is_quoted, strips_tabs });
        } else if !word.is_empty() {
            // After these words, and after an assignment, a command begins.
            const BEFORE_COMMAND: &[&str] = &["if", "then", "else", "elif", "while", "until", "do", "!", "{", "time"];
            let is_assignment = word.split_once('=').is_some_and(|(name, _)| is_name(name));
            if !BEFORE_COMMAND.contains(&word.as_str()) && !is_assignment {
                self.has_command = true;
            }
        }
    }

    fn end_line(&mut self) {
        self.end_word();
        self.word.clear();
        self.has_command = false;
        self.is_comment = false;
        if !self.announced.is_empty() {
            self.current = Some(self.announced.remove(0));
        }
    }
}

/// Whether the shell reads a value without quotes as the same words, wherever it comes from.
pub(super) fn is_plain(value: &str) -> bool {
    !value.starts_with('~')
        && value.chars().all(|c| {
            c.is_ascii_alphanumeric()
                || matches!(c, ' ' | '_' | '.' | '/' | ':' | '@' | '%' | '+' | ',' | '-' | '=' | '~')
        })
}

/// Whether a text is the name of a shell variable.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns the variables that a script reads or sets.
pub(super) fn variables(script: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut end = 0;
    std::iter::from_fn(move || {
        let start = end + script[end..].find(is_part)?;
        end = script[start..].find(|c| !is_part(c)).map_or(script.len(), |length| start + length);
        Some((start, end))
    })
    .filter(|(start, end)| {
        let (before, after) = (&script[..*start], &script[*end..]);
        let marks = ["$", "${", "${!", "${#", "for ", "read ", "-r "];
        marks.iter().any(|mark| before.ends_with(mark)) || after.starts_with('=') || after.starts_with("+=")
    })
    .map(|(start, end)| &script[start..end])
}

/// Removes commands that only wait for cloud-init, and at the start of the machine (`is_start`) those that only sleep.
/// Returns the remaining lines and what was removed.
pub(super) fn without_waits(lines: Vec<String>, is_start: bool) -> (Vec<String>, Vec<String>) {
    let mut kept: Vec<String> = Vec::new();
    let mut removed = Vec::new();
    let mut is_in_loop = false;
    for line in lines {
        let ends_loop = line.trim() == "done" || line.trim_end().ends_with("; done");
        if is_in_loop {
            is_in_loop = !ends_loop;
            removed.push(line);
            continue;
        }
        let begins_loop = line.trim_start().starts_with("while ") || line.trim_start().starts_with("until ");
        if begins_loop && line.contains("boot-finished") {
            is_in_loop = !ends_loop;
            removed.push(line);
            continue;
        }
        let (first, rest) = split_command(&line);
        let is_removed = is_cloud_init_wait(first) || is_start && kept.is_empty() && is_sleep(first);
        match (is_removed, rest) {
            (false, _) => kept.push(line),
            (true, None) => removed.push(line),
            (true, Some(rest)) => {
                removed.push(first.to_owned());
                kept.push(rest.to_owned());
            }
        }
    }
    (kept, removed)
}

/// Splits a line after its first command.
fn split_command(line: &str) -> (&str, Option<&str>) {
    let split = line.split_once("&&").or_else(|| line.split_once(';'));
    split.map_or((line, None), |(first, rest)| {
        (first.trim_end(), Some(rest.trim_start()).filter(|rest| !rest.is_empty()))
    })
}

pub(super) fn is_cloud_init_wait(command: &str) -> bool {
    let is_noise = |word: &&str| {
        matches!(*word, "sudo" | "||" | "true" | "--long" | "-l")
            || word.starts_with('>')
            || word.starts_with("2>")
            || *word == "/dev/null"
    };
    let words: Vec<&str> = command.split_whitespace().filter(|word| !is_noise(word)).collect();
    let words = if words.first() == Some(&"timeout") { words.get(2..).unwrap_or_default() } else { &words };
    matches!(words, ["cloud-init" | "/usr/bin/cloud-init", "status", "--wait" | "-w"])
}

fn is_sleep(command: &str) -> bool {
    matches!(command.split_whitespace().collect::<Vec<_>>().as_slice(), ["sleep", time] if time.trim_end_matches(['s', 'm']).parse::<f64>().is_ok())
}

/// Whether a script still waits for cloud-init, which waits for the script.
pub(super) fn waits_for_cloud_init(script: &str) -> bool {
    script.lines().any(|line| {
        let line = line.trim_start();
        !line.starts_with('#') && (line.contains("boot-finished") || line.contains("cloud-init status --wait"))
    })
}

/// Whether a script seems to use the directory in which it begins: Packer's is the home directory.
pub(super) fn uses_directory(script: &str) -> bool {
    const WRITERS: &[&str] = &["wget", "git", "unzip", "tar", "make", "npm", "composer", "touch"];
    let lines = script.lines().filter(|line| !line.trim_start().starts_with('#'));
    let before_cd = lines.take_while(|line| !line.trim_start().starts_with("cd "));
    before_cd.into_iter().any(|line| {
        let mut words = line.split([' ', '\t', ';', '&', '|', '(', '`']);
        words.any(|word| {
            let is_option =
                word.strip_prefix('-').is_some_and(|options| !options.starts_with('-') && options.ends_with('O'));
            WRITERS.contains(&word) || word.starts_with("./") || word == "--remote-name" || is_option
        })
    })
}

/// Whether files may as well be there before these commands: they only make directories, print, or read the lists of
/// packages.
pub(super) fn leaves_files_alone(script: &str) -> bool {
    script.lines().all(|line| {
        let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "sudo").collect();
        let is_simple = !line.contains(['>', '<', '|', '&', ';', '`', '$', '(']);
        is_simple
            && match words.as_slice() {
                [] | ["echo" | "true" | ":" | "set" | "sleep", ..] | ["mkdir", "-p" | "-pv" | "-vp", ..] => true,
                ["apt" | "apt-get", options @ ..] => {
                    options.iter().all(|word| word.starts_with('-') || *word == "update")
                }
                [first, ..] => first.starts_with('#'),
            }
    })
}

/// How Packer runs a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Execution {
    /// By its `#!` line.
    Direct,
    /// With this interpreter, not that of its `#!` line.
    Interpreter(String),
    /// With this command; `{{.Path}}` and `{{.Vars}}` stand for the script and its variables.
    Command(String),
}

impl Execution {
    /// Reads `execute_command`. As root, `sudo` changes nothing.
    pub(super) fn parse(command: &str) -> Self {
        let command = normalize_actions(command);
        let segments = command.split("&&").flat_map(|part| part.split(';')).map(str::trim);
        let is_preparation = |segment: &&str| {
            let words: Vec<&str> = segment.split_whitespace().filter(|word| *word != "sudo").collect();
            matches!(words.as_slice(), [] | ["chmod", _, _] | [".", "{{.EnvVarFile}}"])
        };
        let segments: Vec<&str> = segments.filter(|segment| !is_preparation(segment)).collect();
        let as_written = || Self::Command(command.clone());
        let [mut segment] = segments[..] else { return as_written() };
        // A password for sudo, which root does not need.
        if let Some((before, after)) = segment.split_once('|') {
            if !before.starts_with("echo ") || !after.trim_start().starts_with(['s', '{', 'e']) || after.contains('|') {
                return as_written();
            }
            segment = after.trim();
        }
        let mut words = segment.split_whitespace().peekable();
        let mut is_sudo = false;
        while let Some(word) = words.peek() {
            match *word {
                "{{.Vars}}" | "env" => {}
                "sudo" => is_sudo = true,
                "-E" | "-S" | "-n" | "-H" | "-ES" | "-SE" | "-EH" | "-HE" | "-EHS" | "--" | "--preserve-env"
                    if is_sudo => {}
                "-u" if is_sudo => {
                    words.next();
                    if words.peek() != Some(&"root") {
                        return as_written();
                    }
                }
                _ => break,
            }
            words.next();
        }
        let rest: Vec<&str> = words.map(|word| word.trim_matches(['\'', '"'])).collect();
        match rest.as_slice() {
            ["{{.Path}}"] => Self::Direct,
            [shell, "{{.Path}}"] => interpreter(shell, "").unwrap_or_else(as_written),
            [shell, flags, "{{.Path}}"] if is_flags(flags) => interpreter(shell, flags).unwrap_or_else(as_written),
            [shell, one, two, "{{.Path}}"] if is_flags(one) && is_flags(two) => {
                interpreter(shell, &format!("{one}{}", two.trim_start_matches('-'))).unwrap_or_else(as_written)
            }
            _ => as_written(),
        }
    }
}

fn is_flags(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|flags| !flags.is_empty() && flags.chars().all(|c| "eux".contains(c)))
}

fn interpreter(shell: &str, flags: &str) -> Option<Execution> {
    let name = shell.rsplit('/').next().filter(|name| matches!(*name, "sh" | "bash" | "dash"))?;
    Some(Execution::Interpreter(format!("/bin/{name} {flags}").trim_end().to_owned()))
}

/// Writes `{{ .Path }}` as `{{.Path}}`.
fn normalize_actions(command: &str) -> String {
    let mut out = String::new();
    let mut rest = command;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((action, after)) = after.split_once("}}") else { break };
        let _ = write!(out, "{before}{{{{{}}}}}", action.trim_matches(['-', ' ']));
        rest = after;
    }
    out + rest
}

/// Where a wrapped script is while it runs.
const SCRIPT_PATH: &str = "/tmp/packer-script.sh";

/// Writes a script that runs another one as Packer does: with a command, and with other exit statuses that mean success.
pub(super) fn wrap(script: &str, execution: &Execution, variables: &[String], exit_codes: &[i64]) -> String {
    let mut delimiter = "END_OF_SCRIPT".to_owned();
    while script.lines().any(|line| line == delimiter) {
        delimiter.push('_');
    }
    let end = if script.ends_with('\n') { "" } else { "\n" };
    let command = match execution {
        Execution::Command(command) => fill_in(command, variables),
        Execution::Interpreter(interpreter) => format!("{interpreter} {SCRIPT_PATH}"),
        Execution::Direct => SCRIPT_PATH.to_owned(),
    };
    let codes: Vec<String> = exit_codes.iter().map(i64::to_string).collect();
    let mut out = format!(
        "#!/bin/sh\n# Runs the script as the Packer template says.\ncd /root || exit\ncat >{SCRIPT_PATH} <<'{delimiter}'\n\
         {script}{end}{delimiter}\nchmod 0755 {SCRIPT_PATH}\n{command}\nstatus=$?\nrm -f {SCRIPT_PATH}\n"
    );
    if codes.is_empty() {
        out.push_str("exit \"${status}\"\n");
    } else {
        let _ = writeln!(out, "case ${{status}} in\n    {}) exit 0 ;;", codes.join(" | "));
        if !exit_codes.contains(&0) {
            out.push_str("    0) exit 1 ;;\n");
        }
        out.push_str("    *) exit \"${status}\" ;;\nesac\n");
    }
    out
}

/// Replaces `{{.Path}}` and `{{.Vars}}` in a command.
fn fill_in(command: &str, variables: &[String]) -> String {
    let mut scanner = Scanner::default();
    let mut out = String::new();
    for (index, part) in command.replace("{{.Path}}", SCRIPT_PATH).split("{{.Vars}}").enumerate() {
        if index > 0 {
            let write = |name: &String| match scanner.context() {
                Context::SingleQuotes => format!("{name}='\"${{{name}}}\"'"),
                Context::DoubleQuotes => format!("{name}=${{{name}}}"),
                _ => format!("{name}=\"${{{name}}}\""),
            };
            out.push_str(&variables.iter().map(write).collect::<Vec<_>>().join(" "));
        }
        scanner.read(part);
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_of_a_position_is_known() {
        let plain = |is_command, is_assigned| Context::Plain { is_command, is_assigned };
        for (before, context) in [
            ("", plain(true, false)),
            ("echo ", plain(false, false)),
            ("A=", plain(false, true)),
            ("A=b ", plain(true, false)),
            ("true; ", plain(true, false)),
            ("if ", plain(true, false)),
            ("echo 'a", Context::SingleQuotes),
            ("echo 'a' \"b", Context::DoubleQuotes),
            ("echo \"$(cat '", Context::SingleQuotes),
            ("echo \"$(cat ", plain(false, false)),
            ("echo \"$(cat x) ", Context::DoubleQuotes),
            ("echo \\' ", plain(false, false)),
            ("# it's ", Context::Comment),
            ("# it's\necho ", plain(false, false)),
            ("echo a#", plain(false, false)),
            ("cat <<EOF\n", Context::Document),
            ("cat <<EOF\nit's\n", Context::Document),
            ("cat <<EOF\nx\nEOF\necho ", plain(false, false)),
            ("cat <<'EOF' >x\n", Context::QuotedDocument),
            ("cat > x << \"EOF\"\nx\n", Context::QuotedDocument),
            ("cat <<-\\EOF\n\tEOF\necho '", Context::SingleQuotes),
            ("cat <<A <<'B'\nx\nA\n", Context::QuotedDocument),
            ("cat <<<x\n", plain(true, false)),
        ] {
            let mut scanner = Scanner::default();
            scanner.read(before);
            assert_eq!(scanner.context(), context, "{before:?}");
        }
    }

    #[test]
    fn only_waits_are_removed() {
        let split = |text: &str, is_start| {
            let lines = text.lines().map(str::to_owned).collect();
            let (kept, removed) = without_waits(lines, is_start);
            (kept.join("\n"), removed.len())
        };
        for wait in [
            "cloud-init status --wait",
            "sudo /usr/bin/cloud-init status --wait || true",
            "cloud-init status --wait > /dev/null 2>&1",
            "while [ ! -f /var/lib/cloud/instance/boot-finished ]; do sleep 1; done",
            "until [ -f /var/lib/cloud/instance/boot-finished ]; do\nsleep 1\ndone",
        ] {
            assert_eq!(split(wait, false).0, "", "{wait}");
        }
        assert_eq!(split("cloud-init status --wait && date", false), ("date".to_owned(), 1));
        assert_eq!(split("sleep 30\ndate\nsleep 5", true), ("date\nsleep 5".to_owned(), 1));
        for kept in ["sleep 30", "cloud-init clean", "echo sleep", "while true; do date; done"] {
            assert_eq!(split(kept, false), (kept.to_owned(), 0));
        }
        assert!(waits_for_cloud_init("x || cloud-init status --wait") && !waits_for_cloud_init("# boot-finished"));
    }

    #[test]
    fn commands_that_run_scripts_are_understood() {
        let interpreter = |text: &str| Execution::Interpreter(text.to_owned());
        for (command, expected) in [
            ("chmod +x {{ .Path }}; {{ .Vars }} {{ .Path }}", Execution::Direct),
            ("{{.Vars}} sudo -E -S {{.Path}}", Execution::Direct),
            ("echo 'packer' | {{ .Vars }} sudo -S -E sh -eux '{{ .Path }}'", interpreter("/bin/sh -eux")),
            ("{{ .Vars }} bash '{{ .Path }}'", interpreter("/bin/bash")),
            ("sudo env {{.Vars}} /bin/bash -e -x {{.Path}}", interpreter("/bin/bash -ex")),
            ("chmod +x {{.Path}}; . {{.EnvVarFile}} && {{.Path}}", Execution::Direct),
            ("sudo -u root {{.Path}}", Execution::Direct),
        ] {
            assert_eq!(Execution::parse(command), expected, "{command}");
        }
        for other in
            ["sudo -u postgres {{.Path}}", "su - app -c '{{.Vars}} {{.Path}}'", "A=1 {{.Path}}", "python3 {{.Path}}"]
        {
            assert_eq!(Execution::parse(other), Execution::Command(other.to_owned()));
        }
    }

    #[test]
    fn a_wrapped_script_runs_as_by_packer() {
        let execution = Execution::parse("su app -c '{{.Vars}} {{.Path}}'");
        let text = wrap("#!/bin/sh\nexit 3", &execution, &["A".to_owned()], &[0, 3]);
        assert!(text.contains("#!/bin/sh\nexit 3\nEND_OF_SCRIPT\n"), "{text}");
        assert!(text.contains("\nsu app -c 'A='\"${A}\"' /tmp/packer-script.sh'\n"), "{text}");
        assert!(text.ends_with("    0 | 3) exit 0 ;;\n    *) exit \"${status}\" ;;\nesac\n"), "{text}");
        assert!(wrap("END_OF_SCRIPT\n", &Execution::Direct, &[], &[3]).contains("<<'END_OF_SCRIPT_'\n"));
    }

    #[test]
    fn variables_of_a_script_are_found() {
        for script in ["echo $x", "echo ${x:-1}", "x=1", "for x in 1", "read x", "read -r x"] {
            assert_eq!(variables(script).collect::<Vec<_>>(), ["x"], "{script}");
        }
        for script in ["echo x", "echo $xy", "ax=1", "--max=1"] {
            assert!(!variables(script).any(|name| name == "x"), "{script}");
        }
    }

    #[test]
    fn scripts_that_use_their_directory_are_known() {
        for script in [
            "wget https://example.com/x.deb", "sudo git clone x", "curl -sLO https://x", "(./install)", "a && tar xf x",
        ] {
            assert!(uses_directory(script), "{script}");
        }
        for script in ["cd /tmp\nwget x", "# wget x", "apt-get install -y wget2", "curl -o /x https://x"] {
            assert!(!uses_directory(script), "{script}");
        }
    }

    #[test]
    fn harmless_commands_are_known() {
        assert!(leaves_files_alone("mkdir -p /opt/app\nsudo apt-get -qqy update\necho done\n"));
        for other in
            ["mkdir /opt/app", "apt-get update && apt-get install x", "apt-get install x", "echo x >/etc/x", "rm x"]
        {
            assert!(!leaves_files_alone(other), "{other}");
        }
    }
}
