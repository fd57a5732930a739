//! File modes and owners, as a person writes them.

use std::fmt;

/// A file's permission bits, 0 to 0o7777; shown as four octal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(pub u32);

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04o}", self.0)
    }
}

/// Why a text is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMode {
    #[error("expected a mode of three or four octal digits, found `{0}`")]
    NotOctal(String),
    #[error("`{written}` is ambiguous: the mode {octal}, or the decimal form of {decimal}")]
    Ambiguous { written: String, octal: Mode, decimal: Mode },
    #[error("`{written}` is the decimal form of the mode {decimal}")]
    Decimal { written: String, decimal: Mode },
}

impl BadMode {
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NotOctal(_) => "write it as `chmod` takes it, such as 0644".to_owned(),
            Self::Ambiguous { octal, decimal, .. } => format!("write \"{octal}\" or \"{decimal}\""),
            Self::Decimal { decimal, .. } => format!("write {decimal}"),
        }
    }
}

/// Modes that people give to files: a bare decimal number equal to one of them was probably meant as such.
const USUAL: [u32; 16] =
    [0o400, 0o440, 0o444, 0o500, 0o550, 0o555, 0o600, 0o640, 0o644, 0o660, 0o664, 0o666, 0o700, 0o750, 0o755, 0o777];

/// Reads the digits that were written: `0644`, `644`, `0o644`. YAML 1.1 makes 420 of an unquoted `0644`; the source text
/// still says what was meant.
impl std::str::FromStr for Mode {
    type Err = BadMode;

    fn from_str(written: &str) -> Result<Self, BadMode> {
        let digits = written.strip_prefix("0o").unwrap_or(written);
        let explicit = written.starts_with('0');
        let decimal = written.parse().ok().filter(|number| !explicit && USUAL.contains(number)).map(Mode);
        let octal = (digits.len() >= 3 && digits.len() <= 5 && digits.bytes().all(|digit| digit.is_ascii_digit()))
            .then(|| u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777).map(Mode))
            .flatten();
        match (octal, decimal) {
            // 644, 755, 600 …: usual as octal, so nobody meant the decimal number.
            (Some(octal), _) if explicit || USUAL.contains(&octal.0) => Ok(octal),
            (Some(octal), Some(decimal)) => Err(BadMode::Ambiguous { written: written.to_owned(), octal, decimal }),
            (Some(octal), None) => Ok(octal),
            (None, Some(decimal)) => Err(BadMode::Decimal { written: written.to_owned(), decimal }),
            (None, None) => Err(BadMode::NotOctal(written.to_owned())),
        }
    }
}

/// `user:group`, each a name or a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    pub user: String,
    pub group: String,
}

/// Why a text is no owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `user` or `user:group`, found `{0}`")]
pub struct BadOwner(String);

impl Owner {
    #[must_use]
    pub fn root() -> Self {
        Self { user: "root".to_owned(), group: "root".to_owned() }
    }

    /// Whether both exist on every Debian and Ubuntu before anything is made or installed.
    #[must_use]
    pub fn is_of_base_system(&self) -> bool {
        is_base(&self.user, BASE_USERS) && is_base(&self.group, BASE_GROUPS)
    }

    /// The user and the group where no Debian or Ubuntu has them from the start.
    pub fn beyond_base(&self) -> impl Iterator<Item = &str> {
        let user = (!is_base(&self.user, BASE_USERS)).then_some(self.user.as_str());
        let group = (!is_base(&self.group, BASE_GROUPS)).then_some(self.group.as_str());
        user.into_iter().chain(group.filter(|group| Some(*group) != user))
    }
}

fn is_base(name: &str, names: &[&str]) -> bool {
    names.contains(&name) || name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Debian's base-passwd, `/usr/share/base-passwd/passwd.master`.
const BASE_USERS: &[&str] = &[
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data",
    "backup", "list", "irc", "nobody",
];

/// Debian's base-passwd, `/usr/share/base-passwd/group.master`.
const BASE_GROUPS: &[&str] = &[
    "root", "daemon", "bin", "sys", "adm", "tty", "disk", "lp", "mail", "news", "uucp", "man", "proxy", "kmem",
    "dialout", "fax", "voice", "cdrom", "floppy", "tape", "sudo", "audio", "dip", "www-data", "backup", "operator",
    "list", "irc", "src", "shadow", "utmp", "video", "sasl", "plugdev", "staff", "games", "users", "nogroup",
];

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.user, self.group)
    }
}

impl std::str::FromStr for Owner {
    type Err = BadOwner;

    fn from_str(written: &str) -> Result<Self, BadOwner> {
        let (user, group) = written.split_once(':').unwrap_or((written, written));
        let legal =
            |name: &str| is_user_name(name) || (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()));
        if legal(user) && legal(group) {
            Ok(Self { user: user.to_owned(), group: group.to_owned() })
        } else {
            Err(BadOwner(written.to_owned()))
        }
    }
}

/// Whether `useradd` takes it as a name (shadow's own rule, 32 characters at most).
pub(super) fn is_user_name(name: &str) -> bool {
    let mut characters = name.chars();
    name.len() <= 32
        && characters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_written() {
        for (written, mode) in [
            ("0644", 0o644),
            ("644", 0o644),
            ("0o755", 0o755),
            ("4755", 0o4755),
            ("01777", 0o1777),
            ("0420", 0o420),
            ("600", 0o600),
        ] {
            assert_eq!(written.parse(), Ok(Mode(mode)), "{written}");
        }
        assert_eq!(Mode(0o40).to_string(), "0040");
    }

    #[test]
    fn a_decimal_number_is_explained() {
        let ambiguous: Result<Mode, _> = "420".parse();
        assert_eq!(
            ambiguous.unwrap_err().to_string(),
            "`420` is ambiguous: the mode 0420, or the decimal form of 0644"
        );
        let decimal: Result<Mode, _> = "493".parse();
        assert_eq!(decimal.unwrap_err().help(), "write 0755");
    }

    #[test]
    fn nonsense_is_no_mode() {
        for written in ["", "rw-r--r--", "0888", "77777", "8", "-644", "+644", "0x1a4", "0o", "64"] {
            assert!(written.parse::<Mode>().is_err(), "{written}");
        }
    }

    #[test]
    fn owners() {
        assert_eq!("nakama".parse::<Owner>().unwrap().to_string(), "nakama:nakama");
        assert_eq!("root:adm".parse::<Owner>().unwrap().to_string(), "root:adm");
        assert_eq!("0:0".parse::<Owner>().unwrap().to_string(), "0:0");
        for written in ["", ":", "a:", ":b", "a:b:c", "A", "a b", "-x", "root:$x"] {
            assert!(written.parse::<Owner>().is_err(), "{written}");
        }
    }
}
