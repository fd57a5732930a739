//! The faults a template can have: each has a code, a name and a page, here; the places that raise them name the kind.
//!
//! To add a fault, add a line to [`FAULTS`] and raise it by its name through [`finding`].

use crate::diag::{Diagnostic, Origin, Severity};
use crate::source::Span;

pub use diagnostics::Fault;

macro_rules! faults {
    ($($constant:ident $code:literal $name:literal $explanation:literal;)*) => {
        $(pub(super) const $constant: Fault = Fault { code: $code, name: $name, explanation: $explanation };)*
        /// Every fault, in the order of its code.
        pub const FAULTS: &[Fault] = &[$($constant),*];
    };
}

faults! {
    UNKNOWN_KEY "MK901" "template-unknown-key"
        "The template has no such key. `mkimg schema` lists all of them, for your editor too.";
    WRONG_TYPE "MK902" "template-wrong-type"
        "The value is of another kind than the key takes: a list where a text belongs, for example.";
    MISSING_KEY "MK903" "template-missing-key"
        "A key that this part of the template needs is not there.";
    UNDEFINED_VARIABLE "MK904" "template-undefined-variable"
        "An expression names a variable that `variables:` does not list. Only listed variables exist: neither the \
         environment nor cloud-init's own variables are visible to a template.";
    VARIABLE_WITHOUT_VALUE "MK905" "template-variable-without-value"
        "A variable without a value is required: give it with `--var NAME=VALUE` or in a `--var-file`. One that is \
         marked `sensitive` is taken from `MKIMG_VAR_NAME` in the environment, or a file.";
    VARIABLE_CYCLE "MK906" "template-variable-cycle"
        "Variables may refer to other variables, but not in a circle.";
    BAD_EXPRESSION "MK907" "template-bad-expression"
        "The value holds `{{ … }}` or `{% … %}` that minijinja cannot read or evaluate. Text that is meant for another \
         program is written between `{% raw %}` and `{% endraw %}`.";
    MISPLACED_TIMESTAMP "MK908" "template-misplaced-timestamp"
        "`timestamp` can be used in `snapshot.name` only: anywhere else it would make the document differ from one \
         moment to the next.";
    BAD_OWNER "MK909" "template-bad-owner"
        "An owner is written `user` or `user:group`, by name or number. A user alone stands for the group of the same name.";
    BAD_MODE "MK910" "template-bad-mode"
        "A mode is three or four octal digits. `0644`, `644`, `\"0644\"` and `0o644` all mean rw-r--r--, quoted or not: \
         mkimg reads the digits that you wrote, not the number that YAML makes of them. A number that is the decimal form of a \
         usual mode (420 is 0644) is refused, because nobody can tell which was meant.";
    BAD_URL "MK911" "template-bad-url"
        "An artifact's address begins with `https://` or `http://` and names a host; it holds no spaces.";
    DUPLICATE_DESTINATION "MK912" "template-duplicate-destination"
        "Two entries of the template write to one place on the machine.";
    BAD_NAME "MK913" "template-bad-name"
        "A name has characters that its kind of name cannot have.";
    BAD_DESTINATION "MK914" "template-bad-destination"
        "A place on the machine is an absolute path without `.`, `..` or empty parts, and not in /proc, /sys, /dev, /tmp \
         or /run, which do not outlive a boot.";
    BAD_VALUE "MK915" "template-bad-value"
        "The value is not one that the key can have.";
    BAD_CLOUD_CONFIG "MK916" "template-cloud-config-conflict"
        "`cloud_config` is added to what mkimg writes: its lists are appended, but a key that mkimg sets itself must be a \
         list there too, and `power_state` is refused, because the bake powers the droplet off.";
    DUPLICATE_KEY "MK917" "template-duplicate-key"
        "YAML lets the last of two equal keys win, silently. In a template it is a mistake.";
    UNKNOWN_OWNER "MK918" "template-unknown-owner"
        "The owner is neither one that every Debian or Ubuntu has nor one of `users:`. cloud-init writes the file when \
         users have been made, but before packages are installed: a user that a package brings does not exist by then.";
    TOO_LARGE "MK919" "template-too-large"
        "The template expands to more values than any image needs; aliases that repeat aliases do that.";
}

/// A fault at a place of the template.
pub(super) fn finding(fault: Fault, path: &str, span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic {
        code: fault.code,
        name: fault.name,
        origin: Origin::Mkimg,
        severity: Severity::Error,
        path: path.to_owned(),
        message: message.into(),
        help: None,
        span: Some(span),
        related: Vec::new(),
    }
}

/// Adds what to do next.
pub(super) trait WithHelp {
    fn help(self, help: impl Into<String>) -> Self;
    fn maybe_help(self, help: Option<String>) -> Self;
}

impl WithHelp for Diagnostic {
    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

/// The one of `known` that was probably meant.
pub(super) fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let limit = match written.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= limit && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(FAULTS.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn suggestions_are_near_or_absent() {
        assert_eq!(nearest("pakages", ["packages", "files"]), Some("packages"));
        assert_eq!(nearest("regoin", ["region", "image"]), Some("region"));
        assert_eq!(nearest("zzz", ["packages", "files"]), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
