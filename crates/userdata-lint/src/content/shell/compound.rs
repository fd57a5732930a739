//! Compound commands: `if`, loops, `case`, groups, functions, `[[`.

use super::{Parser, Step, Stop, unclosed};
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
    /// A compound command and its redirections.
    pub(super) fn compound(&mut self, compound: Compound) -> Step {
        let start = self.at;
        match compound {
            Compound::If => self.conditional(start)?,
            Compound::Loop => {
                let length = "while".len();
                self.at += length;
                let opened = Span::new(start, self.at);
                self.body(opened, "this loop", "`while` or `until`", &["do"])?;
                self.body(opened, "this loop", "`do`", &["done"])?;
            }
            Compound::For => self.for_loop(start)?,
            Compound::Case => self.case(start)?,
            Compound::Group => {
                self.at += 1;
                self.body(Span::new(start, self.at), "this group", "`{`", &["}"])?;
            }
            Compound::Subshell => self.subshell(start)?,
            Compound::Condition => self.condition(start)?,
            Compound::Function => return self.function(start),
            // Its optional name makes it the one command that needs to look ahead; it is as rare as can be.
            Compound::Coprocess => return Err(Stop::Unknown),
        }
        loop {
            self.blanks();
            if !self.redirection()? {
                return Ok(());
            }
        }
    }

    fn conditional(&mut self, start: usize) -> Step {
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

    fn for_loop(&mut self, start: usize) -> Step {
        while self.peek().is_some_and(|byte| byte.is_ascii_lowercase()) {
            self.at += 1;
        }
        let opened = Span::new(start, self.at);
        let what = "this loop";
        self.blanks();
        if self.is_bash() && self.looking_at("((") {
            if !self.arithmetic()? {
                return self.fault("`((…; …; …))`", Some((opened, what)));
            }
            self.blanks();
            self.take(";");
        } else {
            if self.peek().is_none_or(super::word::ends_word) {
                return self.fault("the name of a variable", Some((opened, what)));
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
                            return self.fault("a word, or `; do`", Some((opened, what)));
                        }
                        Some(_) => self.word(false)?,
                    }
                }
            } else {
                self.take(";");
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
            return self.fault("`do`", Some((opened, what)));
        }
        self.at += 2;
        self.body(opened, what, "`do`", &["done"])?;
        Ok(())
    }

    fn case(&mut self, start: usize) -> Step {
        self.at += "case".len();
        let opened = Span::new(start, self.at);
        let what = "this `case`";
        self.blanks();
        if self.peek().is_none_or(super::word::ends_word) {
            return self.fault("a word after `case`", Some((opened, what)));
        }
        self.word(false)?;
        self.line_ends();
        if self.reserved(&["in"]).is_none() {
            return self.fault("`in`", Some((opened, what)));
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
            if self.take(";;") {
                if self.looking_at("&") {
                    if !self.is_bash() {
                        return self.fault("a pattern, or `esac`", Some((opened, what)));
                    }
                    self.at += 1;
                }
            } else if self.looking_at(";&") {
                // In POSIX since 2024: whether a `sh` knows it depends on its age.
                self.unsure |= !self.is_bash();
                self.at += 2;
            } else if self.reserved(&["esac"]).is_none() {
                if self.peek().is_none() {
                    return unclosed(opened, what, "`esac`");
                }
                return self.fault("`;;` or `esac`", Some((opened, what)));
            }
        }
    }

    /// `(a | b)`: the patterns of one branch.
    fn patterns(&mut self, opened: Span) -> Step {
        let what = "this `case`";
        self.take("(");
        loop {
            self.blanks();
            if self.peek().is_none_or(super::word::ends_word) {
                return self.fault("a pattern, or `esac`", Some((opened, what)));
            }
            self.word(false)?;
            self.blanks();
            if self.take(")") {
                return Ok(());
            }
            if self.looking_at("||") || !self.take("|") {
                return self.fault("`)` after the pattern", Some((opened, what)));
            }
        }
    }

    fn subshell(&mut self, start: usize) -> Step {
        if self.is_bash() && self.looking_at("((") && self.arithmetic()? {
            return Ok(());
        }
        self.at += 1;
        let opened = Span::new(start, self.at);
        let any = self.list()?;
        if self.peek().is_none() {
            return unclosed(opened, "this `(`", "`)`");
        }
        if !self.looking_at(")") {
            return self.fault("`)`", Some((opened, "the subshell")));
        }
        if !any {
            return self.fault("a command after `(`", Some((opened, "the subshell")));
        }
        self.at += 1;
        Ok(())
    }

    fn function(&mut self, start: usize) -> Step {
        self.at += "function".len();
        let opened = Span::new(start, self.at);
        self.blanks();
        if self.peek().is_none_or(super::word::ends_word) {
            return self.fault("the name of a function", Some((opened, "the function")));
        }
        self.word(false)?;
        self.blanks();
        if self.looking_at("(") {
            let bracket = self.at;
            self.at += 1;
            self.blanks();
            // Without `)` it is a subshell: the function's body.
            if !self.take(")") {
                self.at = bracket;
            }
        }
        self.line_ends();
        match self.compound_here() {
            Some(compound) => self.nested(|parser| parser.compound(compound)),
            None => self.fault("`{` and the function's commands", Some((opened, "the function"))),
        }
    }

    /// `[[ … ]]`: only its end is looked for, and what no condition may hold.
    fn condition(&mut self, start: usize) -> Step {
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
            match self.peek() {
                None => return unclosed(opened, "this `[[`", "`]]`"),
                Some(b'(') => {
                    open += 1;
                    self.at += 1;
                }
                Some(b')') if open > 0 => {
                    open -= 1;
                    self.at += 1;
                }
                Some(b'&' | b'|') if self.looking_at("&&") || self.looking_at("||") => self.at += 2,
                Some(b'<' | b'>') if !self.process_substitution_here() => self.at += 1,
                Some(b';' | b'&' | b'|' | b')') => return self.fault("`]]`", Some((opened, "the condition"))),
                Some(_) => self.word(false)?,
            }
        }
    }

    /// A regular expression after `=~`: parentheses and bars are part of it.
    fn regex(&mut self) -> Step {
        let mut open = 0_usize;
        while let Some(byte) = self.peek() {
            self.spend()?;
            match byte {
                b'(' => {
                    open += 1;
                    self.at += 1;
                }
                b')' if open > 0 => {
                    open -= 1;
                    self.at += 1;
                }
                b'|' | b'<' | b'>' if open > 0 || byte == b'|' && !self.looking_at("||") => self.at += 1,
                b' ' | b'\t' | b'\n' if open > 0 => self.at += 1,
                _ if super::word::ends_word(byte) => return Ok(()),
                _ => self.piece(false)?,
            }
        }
        Ok(())
    }
}
