//! The command lines of units: `ExecStart=` and its like.

use super::{Fault, Setting};
use crate::rules;
use diagnostics::quoted;

/// What a shell takes for itself and systemd hands to the program.
const OPERATORS: [&str; 9] = ["&&", "||", "|", ">", ">>", "<", "2>&1", "2>/dev/null", ">/dev/null"];
/// Programs whose arguments are such words.
const TAKERS: [&str; 4] = ["test", "[", "expr", "find"];

pub(super) fn check(setting: &Setting<'_>, out: &mut Vec<Fault>) {
    let value = setting.value.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    if value.is_empty() {
        return;
    }
    let Some(words) = words(value) else {
        let message = format!("a quote in {} is not closed: systemd refuses the command", quoted(setting.name));
        let help = Some("close it, or write `\\'` for an apostrophe".into());
        out.push(Fault::new(&rules::INVALID_UNIT_COMMAND, setting.value_span, message, help));
        return;
    };
    let Some(program) = words.first().map(|word| word.text.as_str()) else { return };
    if !program.starts_with('/') && program.contains('/') && !program.contains('%') {
        let message = format!("expected a program's full path, or its name alone, found {}", quoted(program));
        let help = if program.contains('$') {
            "systemd puts no variables into the program's name: write the path, or start it through `/bin/sh -c`"
        } else {
            "write the whole path, from `/`"
        };
        out.push(Fault::new(&rules::INVALID_UNIT_COMMAND, setting.value_span, message, Some(help.into())));
        return;
    }
    let name = program.rsplit('/').next().unwrap_or_default();
    let operator = words.iter().skip(1).find(|word| !word.quoted && OPERATORS.contains(&word.text.as_str()));
    if let Some(operator) = operator.filter(|_| !TAKERS.contains(&name)) {
        let message =
            format!("{} is an argument here, not an operator: systemd starts no shell", quoted(&operator.text));
        let help =
            Some("start the command through `/bin/sh -c '…'`, or use several commands, or `StandardOutput=`".into());
        out.push(Fault::new(&rules::SHELL_SYNTAX_IN_UNIT, setting.value_span, message, help));
    }
}

/// The program of a command whose failure matters.
pub(super) fn program(value: &str) -> Option<String> {
    let command = value.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let prefix = &value[..value.len() - command.len()];
    let first = words(command)?.into_iter().next()?;
    (!prefix.contains('-')).then_some(first.text)
}

struct Word {
    text: String,
    quoted: bool,
}

/// Words as systemd splits them; `None` where a quote is not closed.
fn words(value: &str) -> Option<Vec<Word>> {
    let mut out: Vec<Word> = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', _) => {
                let word = word.get_or_insert_with(|| Word { text: String::new(), quoted: true });
                word.quoted = true;
                word.text.extend(characters.next());
            }
            ('"' | '\'', None) => {
                quote = Some(character);
                word.get_or_insert_with(|| Word { text: String::new(), quoted: true }).quoted = true;
            }
            (_, Some(open)) if character == open => quote = None,
            (_, None) if character.is_ascii_whitespace() => out.extend(word.take()),
            _ => word.get_or_insert_with(|| Word { text: String::new(), quoted: false }).text.push(character),
        }
    }
    out.extend(word);
    quote.is_none().then_some(out)
}
