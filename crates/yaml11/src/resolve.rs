//! Tags, and the type of a plain scalar: PyYAML's implicit resolvers, one function for each regular
//! expression.

/// The explicit or resolved tag of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Null,
    Bool,
    Int,
    Float,
    Binary,
    Timestamp,
    Omap,
    Pairs,
    Set,
    Str,
    Seq,
    Map,
    /// The key `<<`.
    Merge,
    /// The key `=`.
    Value,
    /// Resolved for the plain scalars `!`, `&` and `*`; PyYAML cannot construct it.
    Yaml,
    /// Any other tag: index of its name in the composer's table.
    Unknown(u32),
}

impl Tag {
    /// Looks up a standard tag by its full name.
    pub(super) fn standard(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("tag:yaml.org,2002:")? {
            "null" => Self::Null,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "float" => Self::Float,
            "binary" => Self::Binary,
            "timestamp" => Self::Timestamp,
            "omap" => Self::Omap,
            "pairs" => Self::Pairs,
            "set" => Self::Set,
            "str" => Self::Str,
            "seq" => Self::Seq,
            "map" => Self::Map,
            "merge" => Self::Merge,
            "value" => Self::Value,
            _ => return None,
        })
    }

    /// The type of a plain scalar.
    pub(super) fn resolve_plain(text: &str) -> Self {
        let Some(first) = text.bytes().next() else { return Self::Null };
        // Python's `$` also matches before a final newline, which a quoted scalar tagged `!` can have.
        let rest = text.strip_suffix('\n').unwrap_or(text);
        let bytes = rest.as_bytes();
        match first {
            b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' => match rest {
                "null" | "Null" | "NULL" => Self::Null,
                _ if is_bool(rest) => Self::Bool,
                _ => Self::Str,
            },
            b'~' if rest == "~" => Self::Null,
            b'<' if rest == "<<" => Self::Merge,
            b'=' if rest == "=" => Self::Value,
            b'!' | b'&' | b'*' if bytes.len() == 1 => Self::Yaml,
            b'0'..=b'9' | b'-' | b'+' | b'.' => {
                if is_float(bytes) {
                    Self::Float
                } else if first != b'.' && is_int(bytes) {
                    Self::Int
                } else if first.is_ascii_digit() && is_timestamp(bytes) {
                    Self::Timestamp
                } else {
                    Self::Str
                }
            }
            _ => Self::Str,
        }
    }
}

fn is_bool(text: &str) -> bool {
    matches!(
        text,
        "yes"
            | "Yes"
            | "YES"
            | "no"
            | "No"
            | "NO"
            | "true"
            | "True"
            | "TRUE"
            | "false"
            | "False"
            | "FALSE"
            | "on"
            | "On"
            | "ON"
            | "off"
            | "Off"
            | "OFF"
    )
}

fn unsigned(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b'-' | b'+', rest @ ..] => rest,
        _ => bytes,
    }
}

/// Splits off the longest prefix whose bytes all satisfy the condition.
fn run(bytes: &[u8], condition: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let length = bytes.iter().take_while(|byte| condition(**byte)).count();
    bytes.split_at(length)
}

fn digit_or_underscore(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}

/// `(?:[eE][-+][0-9]+)?$`
fn ends_with_exponent(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [b'e' | b'E', b'-' | b'+', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// `(?::[0-5]?[0-9])+`; returns the rest, or `None` if it does not match.
fn sexagesimal(mut bytes: &[u8]) -> Option<&[u8]> {
    let mut any = false;
    while let [b':', rest @ ..] = bytes {
        let (digits, after) = run(rest, |byte| byte.is_ascii_digit());
        match digits {
            [_] | [b'0'..=b'5', _] => {}
            _ => return None,
        }
        any = true;
        bytes = after;
    }
    any.then_some(bytes)
}

fn is_float(bytes: &[u8]) -> bool {
    let body = unsigned(bytes);
    match body {
        [b'.', b'i' | b'I', b'n', b'f'] | [b'.', b'I', b'N', b'F'] => true,
        [b'.', rest @ ..] => {
            // PyYAML allows no sign here.
            bytes.len() == body.len()
                && (matches!(rest, b"nan" | b"NaN" | b"NAN")
                    || (rest.first().is_some_and(u8::is_ascii_digit)
                        && ends_with_exponent(run(rest, digit_or_underscore).1)))
        }
        [b'0'..=b'9', ..] => {
            let rest = run(body, digit_or_underscore).1;
            match rest {
                [b'.', fraction @ ..] => ends_with_exponent(run(fraction, digit_or_underscore).1),
                [b':', ..] => matches!(sexagesimal(rest), Some([b'.', fraction @ ..])
                    if fraction.iter().all(|byte| digit_or_underscore(*byte))),
                _ => false,
            }
        }
        _ => false,
    }
}

fn is_int(bytes: &[u8]) -> bool {
    let body = unsigned(bytes);
    let all = |rest: &[u8], condition: fn(u8) -> bool| !rest.is_empty() && rest.iter().all(|byte| condition(*byte));
    match body {
        [b'0'] => true,
        [b'0', b'b', rest @ ..] => all(rest, |byte| matches!(byte, b'0' | b'1' | b'_')),
        [b'0', b'x', rest @ ..] => all(rest, |byte| byte.is_ascii_hexdigit() || byte == b'_'),
        [b'0', rest @ ..] => all(rest, |byte| matches!(byte, b'0'..=b'7' | b'_')),
        [b'1'..=b'9', ..] => {
            let rest = run(body, digit_or_underscore).1;
            rest.is_empty() || sexagesimal(rest).is_some_and(<[u8]>::is_empty)
        }
        _ => false,
    }
}

fn is_timestamp(bytes: &[u8]) -> bool {
    super::construct::timestamp::resolves(bytes)
}

#[cfg(test)]
mod tests {
    use super::Tag;

    #[test]
    fn plain_scalars_have_the_types_of_yaml_1_1() {
        for (tag, texts) in [
            (Tag::Bool, "yes Yes YES no No NO on On ON off Off OFF true True TRUE false False FALSE"),
            (
                Tag::Str,
                "y n Y N yEs tRUE 0o644 0688 12:60 1e3 1.0e3 +.5 -.nan .iNf 0x 0b 1_ab 2021-2-3 . - + _1 0b2 08 1:2:3:60 ==",
            ),
            (Tag::Int, "0 -1 +7 0644 0b101 -0x1F 1_000 12:30:45 0_ 0x_ 190:20:30 1__ 00"),
            (Tag::Float, "1. 1.5 -1.0e+3 .5 .5e-3 .inf -.INF .nan .NaN 1_0.5_ 190:20:30.15 1:30. 0._"),
            (Tag::Null, "~ null Null NULL"),
            (Tag::Merge, "<<"),
            (Tag::Value, "="),
            (Tag::Timestamp, "2021-02-30 2001-1-1T1:00:00 2001-12-14t21:59:43.10-05:00 2001-12-14T21:59:43Z"),
        ] {
            for text in texts.split(' ') {
                assert_eq!(Tag::resolve_plain(text), tag, "{text}");
            }
        }
        assert_eq!(Tag::resolve_plain(""), Tag::Null);
        assert_eq!(Tag::resolve_plain("2001-12-14 21:59:43.10 -5"), Tag::Timestamp);
    }
}
