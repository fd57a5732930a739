//! Simple commands: a program, its arguments, and how the shell runs it.

use std::borrow::Cow;

use super::word::unquote;
use super::{Interpreter, ParsedScript, read};

/// How deep `sh -c` may nest.
const MAX_SHELLS_IN_SHELLS: usize = 3;

/// The options of bash's `set -o` that dash does not have.
const BASH_OPTIONS: &[&str] = &[
    "braceexpand", "errtrace", "functrace", "hashall", "histexpand", "history", "keyword", "onecmd", "physical",
    "pipefail", "posix", "privileged",
];

/// A file that a command writes by a redirection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileOutput<'t> {
    /// The path without quotes. Expansions are not evaluated.
    pub path: Cow<'t, str>,
    pub appends: bool,
}

impl<'t> FileOutput<'t> {
    /// Reads a redirection such as `>> /etc/fstab`; `None` for input, and for numbers other than 1.
    pub(super) fn read(written: &'t str) -> Option<Self> {
        let operator = written.strip_prefix('1').unwrap_or(written);
        let operator = operator.strip_prefix('&').unwrap_or(operator);
        let (appends, word) = match operator.strip_prefix(">>") {
            Some(word) => (true, word),
            None => (false, operator.strip_prefix(">|").or_else(|| operator.strip_prefix('>'))?),
        };
        let word = word.trim_start();
        (!word.starts_with('&')).then(|| Self { path: unquote(word, 0, &[]), appends })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Inherited,
    Pipe,
    File,
}

/// A simple command without redirections and without prefixes (`sudo`, `env`, …).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SimpleCommand<'t> {
    /// The program and its arguments without quotes. Expansions are not evaluated.
    pub words: Vec<Cow<'t, str>>,
    /// The source text.
    pub written: &'t str,
    /// Whether the command may not run: in `if`, after `&&` or `||`, in a loop, a function or a
    /// subshell.
    pub conditional: bool,
    /// Whether `&` follows.
    pub background: bool,
    pub input: Input,
    /// Whether its output goes to a pipe.
    pub feeds_pipe: bool,
    /// Whether it runs under `timeout`.
    pub has_timeout: bool,
    /// Whether it is in a subshell, which may run in the background.
    pub in_subshell: bool,
    /// Whether it is in a loop.
    pub in_loop: bool,
    /// The source text of the `while` or `until` loop of which it is the first command.
    pub begins_loop: Option<&'t str>,
    /// The files that its redirections write.
    pub outputs: Vec<FileOutput<'t>>,
}

impl<'t> SimpleCommand<'t> {
    /// A command that always runs.
    pub(super) fn new(words: Vec<Cow<'t, str>>) -> Self {
        let mut command = SimpleCommand {
            words,
            written: "",
            conditional: false,
            background: false,
            input: Input::Inherited,
            feeds_pipe: false,
            has_timeout: false,
            in_subshell: false,
            in_loop: false,
            begins_loop: None,
            outputs: Vec::new(),
        };
        command.strip_prefixes();
        command
    }

    /// The program's name without its directory.
    pub(crate) fn program(&self) -> &str {
        self.words.first().map_or("", |word| base_name(word))
    }

    pub(crate) fn arguments(&self) -> &[Cow<'_, str>] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The arguments that are not options.
    pub(crate) fn operands(&self) -> impl Iterator<Item = &str> {
        self.arguments().iter().map(AsRef::as_ref).filter(|word: &&str| !word.starts_with('-'))
    }

    /// Whether any of the names is an argument.
    pub(crate) fn has(&self, names: &[&str]) -> bool {
        self.arguments().iter().any(|word| names.contains(&word.as_ref()))
    }

    /// Whether the shell waits for the command without a time limit.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.background && !self.in_subshell && !self.has_timeout
    }

    /// The script of `sh -c '…'` and its shell. Only for a text that is part of the source, because
    /// findings need a span.
    fn inner_script(&self) -> Option<(&'t str, Interpreter)> {
        let shell = Interpreter::from_program(self.program()).filter(|shell| *shell != Interpreter::Ash)?;
        let is_option = |word: &Cow<'_, str>| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c');
        let at = self.words.iter().position(is_option)?;
        match self.words.get(at + 1) {
            Some(Cow::Borrowed(text)) => Some((text, shell)),
            _ => None,
        }
    }

    /// An operator of `[`, or an option of `set` or `echo`, that only bash has.
    pub(super) fn bash_only_argument(&self) -> Option<&'t str> {
        let arguments = self.arguments();
        // With `sudo`, `[` is a program, which is the same everywhere.
        let name = match self.words.first()?.as_ref() {
            program @ ("[" | "test") if self.written.starts_with(program) => {
                let mut pairs = arguments.windows(2);
                pairs.find(|pair| pair[1] == "==" && !matches!(&*pair[0], "=" | "!=")).map(|pair| &pair[1])
            }
            "echo" if self.outputs.iter().any(|output| !output.path.starts_with("/dev/")) => {
                return self.option_of_echo();
            }
            // A script may try the option in a condition first.
            "set" if !self.conditional => {
                let end = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
                let pairs = arguments[..end].windows(2);
                let mut named =
                    pairs.filter(|pair| pair[0].starts_with(['-', '+']) && pair[0].ends_with('o')).map(|pair| &pair[1]);
                named.find(|name| BASH_OPTIONS.contains(&name.as_ref()))
            }
            _ => None,
        }?;
        let at = self.written.find(name.as_ref())?;
        self.written.get(at..at + name.len())
    }

    /// The option `-e` of `echo`, as it is written.
    pub(super) fn option_of_echo(&self) -> Option<&'t str> {
        let is_option = |word: &str| {
            let letters = word.strip_prefix('-').unwrap_or_default();
            letters.contains('e') && letters.bytes().all(|byte| b"neE".contains(&byte))
        };
        let word = self.arguments().first().filter(|word| self.program() == "echo" && is_option(word))?;
        let at = self.written.find(word.as_ref())?;
        self.written.get(at..at + word.len())
    }

    /// Removes assignments, `sudo`, `env`, `timeout 5` and similar prefixes.
    fn strip_prefixes(&mut self) {
        while let Some(first) = self.words.first() {
            let is_assignment = first.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            });
            // Options with a value, and the number of operands.
            let (with_value, operands): (&[&str], usize) = match base_name(first) {
                _ if is_assignment => {
                    self.words.remove(0);
                    continue;
                }
                "sudo" | "env" | "nohup" | "exec" | "time" | "setsid" | "builtin" => (&["-u", "-g", "--user"], 0),
                "nice" | "ionice" => (&["-n", "-c"], 0),
                "timeout" => {
                    self.has_timeout = true;
                    (&["-k", "-s"], 1)
                }
                "cloud-init-per" => {
                    self.conditional = true;
                    (&[], 2)
                }
                _ => return,
            };
            let mut count = 1;
            while let Some(option) = self.words.get(count).filter(|word| word.starts_with('-')) {
                // `-iu NAME`
                let is_cluster =
                    first == "sudo" && option.len() > 2 && !option.starts_with("--") && option.ends_with('u');
                count += if is_cluster || with_value.contains(&option.as_ref()) { 2 } else { 1 };
            }
            // `sudo -i` starts a shell.
            if first == "sudo" && count >= self.words.len() {
                return;
            }
            self.words.drain(..(count + operands).min(self.words.len()));
        }
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The simple commands of a script, followed by those in its `sh -c '…'`.
pub(crate) fn commands(text: &str, interpreter: Interpreter) -> Vec<SimpleCommand<'_>> {
    let ParsedScript { script, .. } = read(text, interpreter);
    with_inner_scripts(script.commands, MAX_SHELLS_IN_SHELLS)
}

/// The command that a list of words stands for, and those in its `sh -c '…'`.
pub(crate) fn commands_of_list<'t>(words: &[&'t str], written: &'t str) -> Vec<SimpleCommand<'t>> {
    let words = words.iter().map(|word| Cow::Borrowed(*word)).collect();
    with_inner_scripts(vec![SimpleCommand { written, ..SimpleCommand::new(words) }], MAX_SHELLS_IN_SHELLS)
}

fn with_inner_scripts(mut outer: Vec<SimpleCommand<'_>>, depth: usize) -> Vec<SimpleCommand<'_>> {
    let mut inner = Vec::new();
    for command in outer.iter().filter(|_| depth > 0) {
        let Some((text, shell)) = command.inner_script() else { continue };
        let found = with_inner_scripts(read(text, shell).script.commands, depth - 1);
        inner.extend(found.into_iter().map(|one| SimpleCommand {
            conditional: one.conditional || command.conditional,
            background: one.background || command.background,
            has_timeout: one.has_timeout || command.has_timeout,
            in_subshell: one.in_subshell || command.in_subshell,
            in_loop: one.in_loop || command.in_loop,
            ..one
        }));
    }
    outer.extend(inner);
    outer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands of a text, each with marks for how it runs.
    fn shown(text: &str) -> Vec<String> {
        let marks = |command: &SimpleCommand<'_>| {
            let marks = [
                (command.conditional, "?"),
                (command.background, "&"),
                (command.input == Input::Pipe, "|"),
                (command.input == Input::File, "<"),
                (command.feeds_pipe, ">"),
                (command.has_timeout, "!"),
                (command.in_subshell, "("),
            ];
            marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect::<String>()
        };
        let found = commands(text, Interpreter::Sh);
        found.iter().map(|command| format!("{}{}", marks(command), command.words.join(","))).collect()
    }

    #[test]
    fn commands_match_the_shell() {
        for (text, expected) in [
            ("a b; c 'd e' \"f\" # x\ng\\ h", &["a,b", "c,d e,f", "g h"][..]),
            ("a && b || c & d | e", &["&a", "?&b", "?&c", ">d", "|e"]),
            ("if a; then b; fi; c", &["?a", "?b", "c"]),
            ("for x in 1 2; do a $x; done\n(b; c) & d", &["?a,$x", "?&(b", "?&(c", "d"]),
            ("cat > /x <<'EOF'\nreboot\nEOF\nls 2>/dev/null >&2", &["<cat", "ls"]),
            ("A=b sudo -u ada -E env X=1 /usr/bin/apt-get install x", &["/usr/bin/apt-get,install,x"]),
            ("timeout -k 1 5 a; cloud-init-per once x b", &["!a", "?b"]),
            ("sudo -g adm a; sudo --user ada -E b", &["a", "b"]),
            ("nice -n 5 a; ionice -c 3 b; nohup setsid c", &["a", "b", "c"]),
            ("echo $(reboot; x) `y z` \"$(a)\"", &["echo,$(reboot; x),`y z`,$(a)"]),
            ("sh -ec 'a; b' && c", &["sh,-ec,a; b", "?c", "a", "b"]),
            ("x && bash -c '[[ a ]]; sh -c \"b\"' &", &["&x", "?&bash,-c,[[ a ]]; sh -c \"b\"", "?&sh,-c,b", "?&b"]),
            ("a |\n  b; { c; } | (d)", &[">a", "|b", "?>c", "?|(d"]),
            ("while a; do b; done < /c; d < /e", &["?<a", "?<b", "<d"]),
            ("f() { a; }; function g { b; }; c", &["?a", "?b", "c"]),
            ("case $x in a | b) c;; *) d; esac", &["?c", "?d"]),
            ("! a; time b", &["a", "b"]),
            ("'sudo' a; \"b\"c'd'", &["a", "bcd"]),
            ("a \"b\\\"c\" \"\\d\" 'e'\\''f' \"$x\\$\"", &["a,b\"c,\\d,e'f,$x$"]),
            ("a \"$(b \"c d\")\" \"${e:-\"f\"}\"g", &["a,$(b \"c d\"),${e:-\"f\"}g"]),
            ("bash <(curl a); [[ -f b ]] && c", &["bash,<(curl a)", "?c"]),
            ("a\r\nb c\r\n", &["a", "b,c"]),
            ("A=b", &[]),
            ("> /a", &[]),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn commands_after_an_error_are_found() {
        for (text, expected) in [
            ("echo x (a)\nb", &["echo,x", "b"][..]),
            ("fi; a", &["a"]),
            ("if a; then\n  b; done\nc", &["?a", "?b", "?c"]),
            ("x)\na", &["x", "a"]),
            ("a 'b\nc", &[]),
            ("coproc a\nb", &["coproc,a", "b"]),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        assert!(shown("'").is_empty() && shown("$(").is_empty() && shown("\\").len() < 2);
    }

    #[test]
    fn redirections_and_loops_are_known() {
        for (text, expected) in [
            ("a > /x", &["/x"][..]),
            ("a >>'/x y' 2>/dev/null", &[">>/x y"]),
            ("a 1>/x >&2 < /b", &["/x"]),
            ("a >| /x", &["/x"]),
        ] {
            let found = commands(text, Interpreter::Sh);
            let shown = |file: &FileOutput<'_>| format!("{}{}", if file.appends { ">>" } else { "" }, file.path);
            assert_eq!(found[0].outputs.iter().map(shown).collect::<Vec<_>>(), expected, "{text}");
        }
        let found = commands("a; while b; do c; done; for x in y; do d; done", Interpreter::Sh);
        assert_eq!(found.iter().map(|command| command.in_loop).collect::<Vec<_>>(), [false, true, true, true]);
        let loops: Vec<_> = found.iter().filter_map(|command| command.begins_loop).collect();
        assert_eq!(loops, ["while b; do c; done"]);
    }

    #[test]
    fn lists_are_one_command() {
        let found = commands_of_list(&["bash", "-c", "a; b"], "x");
        assert_eq!(found.iter().map(SimpleCommand::program).collect::<Vec<_>>(), ["bash", "a", "b"]);
    }
}
