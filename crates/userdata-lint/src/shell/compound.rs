//! Compound commands: `if`, loops, `case`, groups, functions, `[[`.

use super::word::Redirection;
use super::{Input, Parse, Parser, Stop, unclosed};
use diagnostics::source::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compound {
    If,
    /// `while`, `until`
    Loop,
    /// `for`, `select`
    For,
    Case,
    /// `{ …; }`
    Group,
    /// `( … )`, or bash's `(( … ))`
    Subshell,
    /// `[[ … ]]`
    Condition,
    /// `function name`
    Function,
    Coprocess,
}

impl Parser<'_> {
    /// Parses a compound command and its redirections.
    pub(super) fn compound(&mut self, compound: Compound) -> Parse {
        let first = self.script.commands.len();
        let (context, chained) = (self.context, std::mem::take(&mut self.chained));
        self.context.conditional = true;
        self.context.subshell |= compound == Compound::Subshell;
        self.context.looped |= matches!(compound, Compound::Loop | Compound::For);
        self.compound_body(compound)?;
        (self.context, self.chained) = (context, chained);
        // The redirections were read with the function's own compound command.
        if compound == Compound::Function {
            return Ok(());
        }
        loop {
            self.blanks();
            match self.redirection()? {
                None => return Ok(()),
                Some(Redirection::Output) => {}
                Some(Redirection::Input) => {
                    for command in &mut self.script.commands[first..] {
                        if command.input == Input::Inherited {
                            command.input = Input::File;
                        }
                    }
                }
            }
        }
    }

    fn compound_body(&mut self, compound: Compound) -> Parse {
        let start = self.at;
        match compound {
            Compound::If => self.conditional(start),
            Compound::Loop => {
                self.at += "while".len();
                let opened = Span::new(start, self.at);
                let first = self.script.commands.len();
                self.body(opened, "this loop", "`while` or `until`", &["do"])?;
                self.body(opened, "this loop", "`do`", &["done"])?;
                let written = self.text.get(start..self.at);
                if let Some(command) = self.script.commands.get_mut(first) {
                    command.begins_loop = command.begins_loop.or(written);
                }
                Ok(())
            }
            Compound::For => self.for_loop(start),
            Compound::Case => self.case(start),
            Compound::Group => {
                self.at += 1;
                self.body(Span::new(start, self.at), "this group", "`{`", &["}"])?;
                Ok(())
            }
            Compound::Subshell => self.subshell(start),
            Compound::Condition => self.condition(start),
            Compound::Function => self.function(start),
            // Its optional name would need a lookahead, and it is very rare.
            Compound::Coprocess => Err(Stop::Unknown),
        }
    }

    fn conditional(&mut self, start: usize) -> Parse {
        self.at += "if".len();
        let opened = Span::new(start, self.at);
        self.body(opened, "this `if`", "`if`", &["then"])?;
        loop {
            match self.body(opened, "this `if`", "`then`", &["elif", "else", "fi"])? {
                "elif" => {
                    self.body(opened, "this `if`", "`elif`", &["then"])?;
                }
                "else" => {
                    self.body(opened, "this `if`", "`else`", &["fi"])?;
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
    }

    fn for_loop(&mut self, start: usize) -> Parse {
        while self.peek().is_some_and(|byte| byte.is_ascii_lowercase()) {
            self.at += 1;
        }
        let opened = Span::new(start, self.at);
        let what = "this loop";
        self.blanks();
        if self.is_bash() && self.is_next("((") {
            if !self.arithmetic()? {
                return self.error("`((…; …; …))`", Some((opened, what)));
            }
            self.blanks();
            self.eat(";");
        } else {
            if self.peek().is_none_or(super::word::ends_word) {
                return self.error("the name of a variable", Some((opened, what)));
            }
            self.word(false)?;
            self.line_ends();
            if self.reserved(&["in"]).is_some() {
                self.at += 2;
                loop {
                    self.blanks();
                    self.spend()?;
                    match self.peek() {
                        Some(b';') => {
                            self.at += 1;
                            break;
                        }
                        None | Some(b'\n') => break,
                        Some(b'<' | b'>') if self.process_substitution_here() => self.word(false)?,
                        Some(b'&' | b'|' | b'(' | b')' | b'<' | b'>') => {
                            return self.error("a word, or `; do`", Some((opened, what)));
                        }
                        Some(_) => self.word(false)?,
                    }
                }
            } else {
                self.eat(";");
            }
        }
        self.line_ends();
        if self.is_bash() && self.reserved(&["{"]).is_some() {
            self.at += 1;
            self.body(opened, what, "`{`", &["}"])?;
            return Ok(());
        }
        if self.reserved(&["do"]).is_none() {
            if self.peek().is_none() {
                return unclosed(opened, what, "`do`");
            }
            return self.error("`do`", Some((opened, what)));
        }
        self.at += 2;
        self.body(opened, what, "`do`", &["done"])?;
        Ok(())
    }

    fn case(&mut self, start: usize) -> Parse {
        self.at += "case".len();
        let opened = Span::new(start, self.at);
        let what = "this `case`";
        self.blanks();
        if self.peek().is_none_or(super::word::ends_word) {
            return self.error("a word after `case`", Some((opened, what)));
        }
        self.word(false)?;
        self.line_ends();
        if self.reserved(&["in"]).is_none() {
            return self.error("`in`", Some((opened, what)));
        }
        self.at += 2;
        loop {
            self.line_ends();
            self.spend()?;
            if self.reserved(&["esac"]).is_some() {
                self.at += "esac".len();
                return Ok(());
            }
            if self.peek().is_none() {
                return unclosed(opened, what, "`esac`");
            }
            self.patterns(opened)?;
            self.list()?;
            if self.eat(";;") {
                if self.is_next("&") {
                    if !self.is_bash() {
                        return self.error("a pattern, or `esac`", Some((opened, what)));
                    }
                    self.at += 1;
                }
            } else if self.is_next(";&") {
                // In POSIX since 2024; older shells do not support it.
                self.is_ambiguous |= !self.is_bash();
                self.at += 2;
            } else if self.reserved(&["esac"]).is_none() {
                if self.peek().is_none() {
                    return unclosed(opened, what, "`esac`");
                }
                return self.error("`;;` or `esac`", Some((opened, what)));
            }
        }
    }

    /// Parses the patterns of one branch, such as `(a | b)`.
    fn patterns(&mut self, opened: Span) -> Parse {
        let what = "this `case`";
        self.eat("(");
        loop {
            self.blanks();
            if self.peek().is_none_or(super::word::ends_word) {
                return self.error("a pattern, or `esac`", Some((opened, what)));
            }
            self.word(false)?;
            self.blanks();
            if self.eat(")") {
                return Ok(());
            }
            if self.is_next("||") || !self.eat("|") {
                return self.error("`)` after the pattern", Some((opened, what)));
            }
        }
    }

    fn subshell(&mut self, start: usize) -> Parse {
        if self.is_bash() && self.is_next("((") && self.arithmetic()? {
            return Ok(());
        }
        self.at += 1;
        let opened = Span::new(start, self.at);
        let any = self.list()?;
        if self.peek().is_none() {
            return unclosed(opened, "this `(`", "`)`");
        }
        if !self.is_next(")") {
            return self.error("`)`", Some((opened, "the subshell")));
        }
        if !any {
            return self.error("a command after `(`", Some((opened, "the subshell")));
        }
        self.at += 1;
        Ok(())
    }

    fn function(&mut self, start: usize) -> Parse {
        self.at += "function".len();
        let opened = Span::new(start, self.at);
        self.blanks();
        if self.peek().is_none_or(super::word::ends_word) {
            return self.error("the name of a function", Some((opened, "the function")));
        }
        self.word(false)?;
        self.blanks();
        if self.is_next("(") {
            let bracket = self.at;
            self.at += 1;
            self.blanks();
            // Without `)`, this is a subshell, the body of the function.
            if !self.eat(")") {
                self.at = bracket;
            }
        }
        self.line_ends();
        match self.compound_here() {
            Some(compound) => self.nested(|parser| parser.compound(compound)),
            None => self.error("`{` and the function's commands", Some((opened, "the function"))),
        }
    }

    /// Parses `[[ … ]]`: finds its end and rejects what no condition may contain.
    fn condition(&mut self, start: usize) -> Parse {
        self.at += 2;
        let opened = Span::new(start, self.at);
        let mut open = 0_usize;
        let mut any = false;
        loop {
            self.line_ends();
            self.spend()?;
            if self.reserved(&["]]"]).is_some() && any {
                self.at += 2;
                return Ok(());
            }
            any = true;
            if self.reserved(&["=~"]).is_some() {
                self.at += 2;
                self.line_ends();
                self.regex()?;
                continue;
            }
            if self.skip_parenthesis(&mut open) {
                continue;
            }
            match self.peek() {
                None => return unclosed(opened, "this `[[`", "`]]`"),
                Some(b'&' | b'|') if self.is_next("&&") || self.is_next("||") => self.at += 2,
                Some(b'<' | b'>') if !self.process_substitution_here() => self.at += 1,
                Some(b';' | b'&' | b'|' | b')') => return self.error("`]]`", Some((opened, "the condition"))),
                Some(_) => self.word(false)?,
            }
        }
    }

    /// Parses the regular expression after `=~`, which may contain parentheses and bars.
    fn regex(&mut self) -> Parse {
        let mut open = 0_usize;
        while let Some(byte) = self.peek() {
            self.spend()?;
            if self.skip_parenthesis(&mut open) {
                continue;
            }
            match byte {
                b'|' | b'<' | b'>' if open > 0 || byte == b'|' && !self.is_next("||") => self.at += 1,
                b' ' | b'\t' | b'\n' if open > 0 => self.at += 1,
                _ if super::word::ends_word(byte) => return Ok(()),
                _ => self.word_part(false)?,
            }
        }
        Ok(())
    }
}
