//! Shell text as far as the checks of order need it: which simple commands there are, in which order, and whether each
//! always runs. What is not sure is left out; whether the text parses is another room's question.

use std::borrow::Cow;

use super::splitter::split;

/// `sh -c` in `sh -c` in …
const DEEPEST: usize = 3;

/// A simple command: a program and its arguments, without redirections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Simple<'t> {
    /// The program's name without its folder comes first; quotes are taken away.
    pub words: Vec<Cow<'t, str>>,
    /// As it is written.
    pub written: &'t str,
    /// Behind `if`, `&&`, `||`, in a loop, a function or a subshell: it may not run, or not as it seems.
    pub conditional: bool,
    /// `&` follows.
    pub background: bool,
    /// What it reads comes from another command.
    pub fed: bool,
    /// What it reads is named: `< file`, a here-document.
    pub redirected: bool,
    /// What it writes goes to another command.
    pub feeds: bool,
    /// `timeout` ends it.
    pub limited: bool,
    /// In parentheses, which as a whole may run in the background.
    pub subshell: bool,
}

impl Simple<'_> {
    pub(super) fn program(&self) -> &str {
        self.words.first().map_or("", |word| word.rsplit('/').next().unwrap_or_default())
    }

    pub(super) fn arguments(&self) -> &[Cow<'_, str>] {
        self.words.get(1..).unwrap_or_default()
    }

    /// Arguments that are no options.
    pub(super) fn operands(&self) -> impl Iterator<Item = &str> {
        self.arguments().iter().map(AsRef::as_ref).filter(|word: &&str| !word.starts_with('-'))
    }

    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.arguments().iter().any(|word| names.contains(&word.as_ref()))
    }
}

/// The simple commands of a shell text.
pub(super) fn commands(text: &str) -> Vec<Simple<'_>> {
    let mut out = Vec::new();
    split(text, &mut out);
    let nested: Vec<Simple<'_>> = out.iter().flat_map(|command| nested(command, DEEPEST)).collect();
    out.extend(nested);
    out
}

/// The one command of a list of words, and those in its `sh -c`.
pub(super) fn list<'t>(words: &[&'t str], written: &'t str) -> Vec<Simple<'t>> {
    let words = words.iter().map(|word| Cow::Borrowed(*word)).collect();
    let mut command = Simple {
        words,
        written,
        conditional: false,
        background: false,
        fed: false,
        redirected: false,
        feeds: false,
        limited: false,
        subshell: false,
    };
    strip(&mut command);
    let mut out = vec![command];
    let inner = nested(&out[0], DEEPEST);
    out.extend(inner);
    out
}

/// The commands in `sh -c '…'`.
fn nested<'t>(command: &Simple<'t>, depth: usize) -> Vec<Simple<'t>> {
    if depth == 0 || !matches!(command.program(), "sh" | "bash" | "dash") {
        return Vec::new();
    }
    let Some(at) =
        command.words.iter().position(|word| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'))
    else {
        return Vec::new();
    };
    // Only what was written without escapes is text of the document.
    let Some(Cow::Borrowed(text)) = command.words.get(at + 1) else { return Vec::new() };
    let mut out = Vec::new();
    split(text, &mut out);
    let deeper: Vec<Simple<'t>> = out.iter().flat_map(|command| nested(command, depth - 1)).collect();
    out.extend(deeper);
    for inner in &mut out {
        inner.conditional |= command.conditional;
        inner.background |= command.background;
        inner.limited |= command.limited;
        inner.subshell |= command.subshell;
    }
    out
}

/// Takes away what stands in front of the program: assignments, `sudo`, `env`, `timeout 5` …
pub(super) fn strip(command: &mut Simple<'_>) {
    loop {
        let Some(first) = command.words.first() else { return };
        let is_assignment = first.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        let mut skip = 1;
        match first.rsplit('/').next().unwrap_or_default() {
            _ if is_assignment => {}
            "sudo" | "env" | "nohup" | "exec" | "time" | "setsid" | "builtin" => {
                while command.words.get(skip).is_some_and(|word| word.starts_with('-')) {
                    // `sudo -u ada`, `env -u NAME`
                    skip += if matches!(command.words[skip].as_ref(), "-u" | "-g" | "--user") { 2 } else { 1 };
                }
            }
            "nice" | "ionice" => {
                while command.words.get(skip).is_some_and(|word| word.starts_with('-')) {
                    skip += if matches!(command.words[skip].as_ref(), "-n" | "-c") { 2 } else { 1 };
                }
            }
            "timeout" => {
                command.limited = true;
                while command.words.get(skip).is_some_and(|word| word.starts_with('-')) {
                    skip += if matches!(command.words[skip].as_ref(), "-k" | "-s") { 2 } else { 1 };
                }
                skip += 1;
            }
            "cloud-init-per" => {
                command.conditional = true;
                skip = 3;
            }
            _ => return,
        }
        command.words.drain(..skip.min(command.words.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let marks = |command: &Simple<'_>| {
            let marks =
                [(command.conditional, "?"), (command.background, "&"), (command.feeds, "|"), (command.limited, "<")];
            marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect::<String>()
        };
        commands(text).iter().map(|command| format!("{}{}", marks(command), command.words.join(","))).collect()
    }

    #[test]
    fn commands_are_split_as_the_shell_does() {
        assert_eq!(shown("a b; c 'd e' \"f\" # x\ng\\ h"), ["a,b", "c,d e,f", "g h"]);
        assert_eq!(shown("a && b || c & d | e"), ["a", "?b", "?&c", "|d", "e"]);
        assert_eq!(shown("if a; then b; fi; c"), ["?a", "?b", "c"]);
        assert_eq!(shown("for x in 1 2; do a $x; done\n(b; c) & d"), ["?x,in,1,2", "?a,$x", "?b", "?c", "d"]);
        assert_eq!(shown("cat > /x <<'EOF'\nreboot\nEOF\nls 2>/dev/null >&2"), ["cat", "ls"]);
        assert_eq!(shown("A=b sudo -u ada -E env X=1 /usr/bin/apt-get install x"), ["/usr/bin/apt-get,install,x"]);
        assert_eq!(shown("timeout -k 1 5 a; cloud-init-per once x b"), ["<a", "?b"]);
        assert_eq!(shown("echo $(reboot; x) `y z` \"$(a)\""), ["echo,$(reboot; x),`y z`,$(a)"]);
        assert_eq!(shown("sh -ec 'a; b' && c"), ["sh,-ec,a; b", "?c", "a", "b"]);
        assert_eq!(shown("é 'unended"), ["é"]);
        assert!(shown("'").is_empty() && shown("$(").is_empty() && shown("\\").len() < 2);
    }

    #[test]
    fn lists_are_one_command() {
        let found = list(&["bash", "-c", "a; b"], "x");
        assert_eq!(found.iter().map(Simple::program).collect::<Vec<_>>(), ["bash", "a", "b"]);
    }
}
