//! The regular expressions of the schema as functions, so that nothing is compiled at run time.
//!
//! They search like Python's `re.search`, and all of them are anchored at both ends. Python's `$`
//! also matches before a final newline, hence [`body`].

use super::shape::Pattern;

/// The text without a final newline, which `$` ignores.
fn without_final_newline(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

fn is_made_of(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(allowed)
}

pub(crate) const NOT_EMPTY: &Pattern = &Pattern {
    means: "non-empty text on one line",
    matches: |text| !without_final_newline(text).is_empty() && !without_final_newline(text).contains('\n'),
};

pub(crate) const ONE_LINE: &Pattern =
    &Pattern { means: "text on one line", matches: |text| !without_final_newline(text).contains('\n') };

/// `name:password`
pub(crate) const NAME_AND_PASSWORD: &Pattern = &Pattern {
    means: "`name:password`",
    matches: |text| {
        let text = without_final_newline(text);
        // A colon with at least one character on each side, on one line.
        !text.contains('\n')
            && text.char_indices().any(|(at, character)| character == ':' && at > 0 && at + 1 < text.len())
    },
};

pub(crate) const MINUTES: &Pattern = &Pattern {
    means: "digits, optionally after a `+`",
    matches: |text| {
        is_made_of(without_final_newline(text).strip_prefix('+').unwrap_or(without_final_newline(text)), |byte| {
            byte.is_ascii_digit()
        })
    },
};

pub(crate) const SIZE: &Pattern = &Pattern {
    means: "a number and a unit, one of B, K, M, G, T",
    matches: |text| {
        let Some((number, unit)) =
            without_final_newline(text).split_at_checked(without_final_newline(text).len().saturating_sub(1))
        else {
            return false;
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (integer, fraction) =
            number.split_once('.').map_or(("", number), |(integer, fraction)| (integer, fraction));
        matches!(unit, "B" | "K" | "M" | "G" | "T") && digits(integer) && digits(fraction) && !fraction.is_empty()
    },
};

fn is_host_key(text: &str, kinds: &[&str]) -> bool {
    without_final_newline(text)
        .split_once('_')
        .is_some_and(|(kind, part)| kinds.contains(&kind) && ["public", "private", "certificate"].contains(&part))
}

pub(crate) const HOST_KEY: &Pattern = &Pattern {
    means: "`ecdsa`, `ed25519` or `rsa`, then `_public`, `_private` or `_certificate`",
    matches: |text| is_host_key(text, &["ecdsa", "ed25519", "rsa"]),
};

pub(crate) const HOST_KEY_WITH_DSA: &Pattern = &Pattern {
    means: "`dsa`, `ecdsa`, `ed25519` or `rsa`, then `_public`, `_private` or `_certificate`",
    matches: |text| is_host_key(text, &["dsa", "ecdsa", "ed25519", "rsa"]),
};

pub(crate) const TAGS: &Pattern = &Pattern {
    means: "words of letters, digits, `-` and `_`, separated by commas",
    matches: |text| {
        without_final_newline(text)
            .split(',')
            .all(|tag| is_made_of(tag, |byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
    },
};

/// The schema contains `Z -_`, which is a range from the space to the underscore.
pub(crate) const YUM_REPOSITORY: &Pattern = &Pattern {
    means: "letters, digits, spaces and most punctuation",
    matches: |text| {
        is_made_of(without_final_newline(text), |byte| byte.is_ascii_lowercase() || (b' '..=b'_').contains(&byte))
    },
};

pub(crate) const YUM_OPTION: &Pattern = &Pattern {
    means: "letters, digits and underscores",
    matches: |text| is_made_of(without_final_newline(text), |byte| byte.is_ascii_alphanumeric() || byte == b'_'),
};

/// Whether Python 3.11's `date.fromisoformat` accepts the text: `2027-01-31`, `20270131`,
/// `2027-W05`, `2027W055`.
pub(crate) fn is_date(text: &str) -> bool {
    let digits =
        |part: &str| if is_made_of(part, |byte| byte.is_ascii_digit()) { part.parse::<u32>().ok() } else { None };
    if !text.is_ascii() || text.len() < 7 {
        return false;
    }
    let Some(year) = digits(&text[..4]).filter(|year| *year >= 1) else { return false };
    let rest = &text[4..];
    let (dashed, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    if let Some(week) = rest.strip_prefix('W') {
        let (Some(number), day) = (week.get(..2).and_then(digits), week.get(2..).unwrap_or_default()) else {
            return false;
        };
        let day = match (day, dashed) {
            ("", _) => Some(1),
            (day, true) => day.strip_prefix('-').filter(|day| day.len() == 1).and_then(digits),
            (day, false) => Some(day).filter(|day| day.len() == 1).and_then(digits),
        };
        return day.is_some_and(|day| (1..=7).contains(&day)) && number >= 1 && number <= weeks_in(year);
    }
    let (month, day) = match (dashed, rest.len()) {
        (true, 5) if rest.as_bytes()[2] == b'-' => (digits(&rest[..2]), digits(&rest[3..])),
        (false, 4) => (digits(&rest[..2]), digits(&rest[2..])),
        _ => return false,
    };
    let (Some(month), Some(day)) = (month, day) else { return false };
    let leap = is_leap(year);
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => 0,
    };
    (1..=longest).contains(&day)
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// The number of ISO weeks: 53 if the year starts on a Thursday, or is a leap year that starts on a
/// Wednesday.
fn weeks_in(year: u32) -> u32 {
    let before = year - 1;
    // 1 is Monday; 0001-01-01 was a Monday.
    let first_weekday = (before + before / 4 - before / 100 + before / 400) % 7 + 1;
    52 + u32::from(first_weekday == 4 || (first_weekday == 3 && is_leap(year)))
}

/// Whether a text is a URI with a scheme (RFC 3986, section 3). Python's `$` also matches before a final line break.
pub(crate) fn is_uri(text: &str) -> bool {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match rest.strip_prefix("//") {
        Some(after) => after.split_at(after.find('/').unwrap_or(after.len())),
        None => ("", rest),
    };
    is_scheme
        && is_authority(authority)
        && is_uri_text(path, ":@/")
        && is_uri_text(query, ":@/?")
        && is_uri_text(fragment, ":@/?")
}

fn is_authority(authority: &str) -> bool {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (host, ""),
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => {
            let future = address.strip_prefix(['v', 'V']).and_then(|future| future.split_once('.'));
            address.parse::<std::net::Ipv6Addr>().is_ok()
                || future.is_some_and(|(version, rest)| {
                    is_made_of(version, |byte| byte.is_ascii_hexdigit())
                        && !rest.is_empty()
                        && !rest.contains('%')
                        && is_uri_text(rest, ":")
                })
        }
        None => is_uri_text(host, ""),
    };
    is_host && is_uri_text(user, ":") && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Unreserved characters, subdelimiters, `more`, and `%` with two hexadecimal digits.
fn is_uri_text(text: &str, more: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) || more.as_bytes().contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &Pattern, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!((pattern.matches)(text), "{text:?} should match");
        }
        for text in bad {
            assert!(!(pattern.matches)(text), "{text:?} should not match");
        }
    }

    #[test]
    fn patterns_match_like_python() {
        check(NOT_EMPTY, &["a", "a b\n", "é"], &["", "\n", "a\nb", "a\n\n"]);
        check(ONE_LINE, &["", "\n", "a"], &["a\nb", "\n\n"]);
        check(NAME_AND_PASSWORD, &["a:b", "a:b:", "::x", ":::", "a:é\n"], &["a:", ":b", "ab", "::", "a\n:b", ""]);
        check(MINUTES, &["5", "+05", "5\n"], &["", "+", "++5", "5m", "-5", "٣"]);
        check(SIZE, &["1G", ".5M", "1.5T", "10B\n"], &["", "G", "1", "1.G", "1..5G", "1g", "1.5.5G", "é"]);
        check(HOST_KEY, &["rsa_public", "ed25519_certificate\n"], &["dsa_public", "rsa_Public", "rsa", "x_rsa_public"]);
        check(TAGS, &["a", "a,b-c,_", "a\n"], &["", ",", "a,", "a b"]);
        check(YUM_REPOSITORY, &["epel-9", "a b", "A[1]"], &["", "é", "a{b", "a\tb"]);
        check(YUM_OPTION, &["gpgcheck", "A_9"], &["", "a-b"]);
    }

    /// Compared with Python 3.11.
    #[test]
    fn dates_match_python() {
        for good in
            ["2021-02-03", "20210203", "2021-W01-1", "2020-W53-7", "2021W011", "2021-W01", "9999-12-31", "2024-02-29"]
        {
            assert!(is_date(good), "{good}");
        }
        for bad in [
            "2021-1-1", "2021-02-30", "", "0000-01-01", "2021-02-03T00", "2021-W53-1", "2021-0203", "2021-W00-1",
            "2021-034", "２021-01-01", "2023-02-29", "2021-W011",
        ] {
            assert!(!is_date(bad), "{bad}");
        }
    }

    /// Compared with `rfc3987.parse(text, rule="URI")` of python3-rfc3987 1.3.8.
    #[test]
    fn uris_are_those_of_rfc_3986() {
        for good in [
            "https://example.com/a?b=c#d", "http://a:80/", "http://user:pw@[::1]:8080", "mailto:a@b", "a:", "x://",
            "urn:a:b", "http://example.com/%20", "http://$X/", "file:///etc", "http://[v1.a]/", "http://a:/",
            "git+ssh://x",
        ] {
            assert!(is_uri(good), "{good}");
        }
        for bad in [
            "", "$INSTANCE_URL", "example.com/a", "//a/b", "/a", "1a:b", "http://a b", "http://exämple.com",
            "http://a/%2", "http://a/{{ x }}", "http://a:8o/", "http://[::1", "http://a/|", ":a", "http://<ip>/",
            "http://a#b#c", "a_b:c", "http://a@b@c/", "http://a:b:c/", "http://a\n\n",
        ] {
            assert!(!is_uri(bad), "{bad}");
        }
    }
}
