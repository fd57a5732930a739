//! `!!int` and `!!float` as PyYAML constructs them with Python's `int()` and `float()`.

use std::fmt::Write as _;

/// Python refuses to convert integers with more decimal digits.
const MAX_DIGITS: usize = 4300;

/// A sexagesimal integer with more parts exceeds [`MAX_DIGITS`]; floats overflow after 174 parts.
const MAX_PARTS: usize = 2500;

/// The zeros of Unicode's non-ASCII decimal digits: `int()` accepts all of these scripts.
const ZEROS: [u32; 65] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20,
    0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0,
    0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0,
    0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0,
    0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// An unsigned integer in limbs of nine decimal digits, least significant first.
#[derive(Debug, Clone, Default, PartialEq)]
struct Natural(Vec<u32>);

impl Natural {
    /// `self * factor + term`; `None` once it exceeds [`MAX_DIGITS`]. Both numbers are below 10⁹.
    fn step(&mut self, factor: u32, term: u32) -> Option<()> {
        let mut carry = u64::from(term);
        for limb in &mut self.0 {
            let value = u64::from(*limb) * u64::from(factor) + carry;
            *limb = u32::try_from(value % 1_000_000_000).ok()?;
            carry = value / 1_000_000_000;
        }
        if carry > 0 {
            self.0.push(u32::try_from(carry).ok()?);
        }
        (self.0.len() <= MAX_DIGITS.div_ceil(9)).then_some(())
    }

    fn add(&mut self, other: &Self) -> Option<()> {
        let mut carry = 0;
        for place in 0..self.0.len().max(other.0.len()) {
            if place == self.0.len() {
                self.0.push(0);
            }
            let sum = self.0[place] + other.0.get(place).unwrap_or(&0) + carry;
            self.0[place] = sum % 1_000_000_000;
            carry = sum / 1_000_000_000;
        }
        if carry > 0 {
            self.0.push(carry);
        }
        (self.0.len() <= MAX_DIGITS.div_ceil(9)).then_some(())
    }

    fn of_digits(digits: &[u8], base: u32) -> Option<Self> {
        let mut value = Self::default();
        for digit in digits {
            value.step(base, char::from(*digit).to_digit(base)?)?;
        }
        Some(value)
    }

    fn decimal(&self) -> Option<String> {
        let mut limbs = self.0.iter().rev().skip_while(|limb| **limb == 0);
        let mut text = limbs.next().map_or_else(|| "0".to_owned(), u32::to_string);
        for limb in limbs {
            let _ = write!(text, "{limb:09}");
        }
        (text.len() <= MAX_DIGITS).then_some(text)
    }
}

/// Converts Python's digits and spaces to ASCII and trims; `None` if there are other characters.
fn ascii(text: &str) -> Option<String> {
    let plain = if text.is_ascii() {
        text.to_owned()
    } else {
        text.chars()
            .map(|ch| match ch {
                _ if ch.is_ascii() => Some(ch),
                _ if ch.is_whitespace() => Some(' '),
                _ => ZEROS
                    .iter()
                    .find_map(|zero| u32::from(ch).checked_sub(*zero).filter(|value| *value < 10))
                    .and_then(|value| char::from_digit(value, 10)),
            })
            .collect::<Option<String>>()?
    };
    Some(plain.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']).to_owned())
}

/// Python's `int(text, base)`: the sign, and the digits without the base prefix.
fn python_int(text: &str, base: u32) -> Option<(bool, String)> {
    let text = ascii(text)?;
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, &text[..]),
    };
    let prefixes: &[&str] = match base {
        2 => &["0b", "0B"],
        8 => &["0o", "0O"],
        16 => &["0x", "0X"],
        _ => &[],
    };
    let digits = prefixes.iter().find_map(|prefix| rest.strip_prefix(prefix)).unwrap_or(rest);
    let is_complete = !digits.is_empty() && digits.chars().all(|ch| ch.is_digit(base));
    (is_complete && (base != 10 || digits.len() <= MAX_DIGITS)).then(|| (negative, digits.to_owned()))
}

fn signed(negative: bool, digits: &str) -> String {
    let digits = digits.trim_start_matches('0');
    match (negative, digits) {
        (_, "") => "0".to_owned(),
        (true, _) => format!("-{digits}"),
        (false, _) => digits.to_owned(),
    }
}

/// The value of an `!!int` in decimal; `None` if Python rejects it or cannot print it.
pub(super) fn int(text: &str) -> Option<String> {
    // Fast path: nearly every integer is already in decimal.
    if text.starts_with(|first: char| matches!(first, '1'..='9'))
        && text.len() <= MAX_DIGITS
        && text.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some(text.to_owned());
    }
    let text = text.replace('_', "");
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let in_base = |digits: &str, base: u32| {
        let (minus, digits) = python_int(digits, base)?;
        Some(signed(negative != minus, &Natural::of_digits(digits.as_bytes(), base)?.decimal()?))
    };
    if body == "0" {
        Some("0".to_owned())
    } else if let Some(digits) = body.strip_prefix("0b") {
        in_base(digits, 2)
    } else if let Some(digits) = body.strip_prefix("0x") {
        in_base(digits, 16)
    } else if body.starts_with('0') {
        in_base(body, 8)
    } else if body.contains(':') {
        sexagesimal(body, negative)
    } else {
        let (minus, digits) = python_int(body, 10)?;
        Some(signed(negative != minus, &digits))
    }
}

fn sexagesimal(body: &str, negative: bool) -> Option<String> {
    if body.split(':').count() > MAX_PARTS {
        return None;
    }
    let parts = body.split(':').map(|part| python_int(part, 10)).collect::<Option<Vec<_>>>()?;
    if parts.iter().all(|(minus, _)| !minus) {
        let mut value = Natural::default();
        for (_, digits) in &parts {
            value.step(60, 0)?;
            value.add(&Natural::of_digits(digits.as_bytes(), 10)?)?;
        }
        return Some(signed(negative, &value.decimal()?));
    }
    // Inner signs need an explicit tag; `i128` is enough for them.
    let mut value = 0_i128;
    for (minus, digits) in parts {
        let part = digits.parse::<i128>().ok()?;
        value = value.checked_mul(60)?.checked_add(if minus { -part } else { part })?;
    }
    Some(signed((value < 0) != negative, &value.unsigned_abs().to_string()))
}

/// The value of a `!!float`; `None` if Python rejects it.
pub(super) fn float(text: &str) -> Option<f64> {
    let text = text.replace('_', "").to_lowercase();
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let sign = if negative { -1.0 } else { 1.0 };
    match body {
        "" => None,
        ".inf" => Some(sign * f64::INFINITY),
        ".nan" => Some(f64::NAN),
        _ if body.contains(':') => {
            if body.split(':').count() > MAX_PARTS {
                return None;
            }
            let parts = body.split(':').map(python_float).collect::<Option<Vec<_>>>()?;
            let mut base = Natural::of_digits(b"1", 10)?;
            let mut value = 0.0;
            for part in parts.iter().rev() {
                let factor = base.decimal()?.parse::<f64>().ok()?;
                // Python converts the base to a float here, which fails beyond 1.8e308.
                if factor.is_infinite() {
                    return None;
                }
                value += part * factor;
                base.step(60, 0)?;
            }
            Some(sign * value)
        }
        _ => python_float(body).map(|value| sign * value),
    }
}

fn python_float(text: &str) -> Option<f64> {
    ascii(text)?.parse::<f64>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_pythons() {
        for (text, value) in [
            ("0644", "420"),
            ("-0", "0"),
            ("0b101", "5"),
            ("-0x1F", "-31"),
            ("1_000", "1000"),
            ("12:30:45", "45045"),
            ("-1:30", "-90"),
            ("0_", "0"),
            ("00", "0"),
            ("+7", "7"),
            ("--5", "5"),
            ("0o17", "15"),
            ("0x-5", "-5"),
            (" 5 ", "5"),
            ("\u{663}", "3"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("0xffffffffffffffffffff", "1208925819614629174706175"),
            ("1:-5", "55"),
            ("99999999999:00", "5999999999940"),
        ] {
            assert_eq!(int(text).as_deref(), Some(value), "{text}");
        }
        for text in ["", "-", "five", "0b", "0x_", "08", "1:", "0B1", "1 2", &"9".repeat(4301)] {
            assert_eq!(int(text), None, "{text}");
        }
    }

    #[test]
    fn floats_are_pythons() {
        for (text, value) in [
            ("1.5", 1.5),
            ("-.inf", f64::NEG_INFINITY),
            ("1_0.5_", 10.5),
            ("190:20:30.15", 685_230.15),
            ("1e3", 1000.0),
            ("infinity", f64::INFINITY),
            ("1.0e+400", f64::INFINITY),
            (" 2", 2.0),
        ] {
            assert!(
                float(text).is_some_and(|found| (found - value).abs() < 1e-9 || found.total_cmp(&value).is_eq()),
                "{text}"
            );
        }
        assert!(float(".NaN").is_some_and(f64::is_nan));
        assert!(float("-0.0").is_some_and(f64::is_sign_negative));
        for text in ["", "-", ".", "one", "1:", "1:".repeat(200).trim_end_matches(':')] {
            assert_eq!(float(text), None, "{text}");
        }
    }
}
