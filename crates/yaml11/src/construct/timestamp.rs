//! Timestamps: their syntax, and which of them name a date and time that exists.

use std::fmt::Write as _;

/// A date, or a date and time, as in Python's `datetime` module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DateTime {
    year: u32,
    month: u32,
    day: u32,
    time: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Time {
    hour: u32,
    minute: u32,
    second: u32,
    microsecond: u32,
    /// Minutes east of UTC; `None` without a time zone.
    offset: Option<i32>,
}

/// The parts of a text with the syntax of a timestamp.
struct Parts<'a> {
    date: [&'a [u8]; 3],
    time: Option<TimeParts<'a>>,
}

struct TimeParts<'a> {
    clock: [&'a [u8]; 3],
    fraction: &'a [u8],
    zone: Option<Zone<'a>>,
}

enum Zone<'a> {
    Utc,
    Offset { negative: bool, hours: &'a [u8], minutes: &'a [u8] },
}

/// Whether a plain scalar resolves to a timestamp.
pub(crate) fn resolves(bytes: &[u8]) -> bool {
    parts(bytes).is_some_and(|parts| parts.time.is_some() || (parts.date[1].len() == 2 && parts.date[2].len() == 2))
}

fn digits<'a>(bytes: &mut &'a [u8], least: usize, most: usize) -> Option<&'a [u8]> {
    let count = bytes.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    if count < least {
        return None;
    }
    let (found, rest) = bytes.split_at(count);
    *bytes = rest;
    Some(found)
}

fn expect(bytes: &mut &[u8], wanted: u8) -> Option<()> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    (*first == wanted).then_some(())
}

fn blanks(bytes: &mut &[u8]) -> usize {
    let count = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    *bytes = &bytes[count..];
    count
}

fn parts(mut bytes: &[u8]) -> Option<Parts<'_>> {
    let bytes = &mut bytes;
    let year = digits(bytes, 4, 4)?;
    expect(bytes, b'-')?;
    let month = digits(bytes, 1, 2)?;
    expect(bytes, b'-')?;
    let day = digits(bytes, 1, 2)?;
    let date = [year, month, day];
    if bytes.is_empty() {
        return Some(Parts { date, time: None });
    }
    if let [b'T' | b't', rest @ ..] = *bytes {
        *bytes = rest;
    } else if blanks(bytes) == 0 {
        return None;
    }
    let hour = digits(bytes, 1, 2)?;
    expect(bytes, b':')?;
    let minute = digits(bytes, 2, 2)?;
    expect(bytes, b':')?;
    let second = digits(bytes, 2, 2)?;
    let mut fraction: &[u8] = &[];
    if let [b'.', rest @ ..] = *bytes {
        *bytes = rest;
        fraction = digits(bytes, 0, usize::MAX)?;
    }
    let mut zone = None;
    if !bytes.is_empty() {
        blanks(bytes);
        let (sign, rest) = bytes.split_first()?;
        *bytes = rest;
        zone = Some(match sign {
            b'Z' => Zone::Utc,
            b'+' | b'-' => {
                let hours = digits(bytes, 1, 2)?;
                let mut minutes: &[u8] = &[];
                if !bytes.is_empty() {
                    expect(bytes, b':')?;
                    minutes = digits(bytes, 2, 2)?;
                }
                Zone::Offset { negative: *sign == b'-', hours, minutes }
            }
            _ => return None,
        });
    }
    bytes.is_empty().then_some(Parts { date, time: Some(TimeParts { clock: [hour, minute, second], fraction, zone }) })
}

fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'))
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

impl DateTime {
    /// Parses the text of a timestamp; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let Some(parts) = parts(text.as_bytes()) else { return Err("it is not written as a date or a date and time") };
        let [year, month, day] = parts.date.map(number);
        if year == 0 {
            return Err("the year must not be 0");
        }
        if !(1..=12).contains(&month) {
            return Err("the month is out of range");
        }
        if day == 0 || day > days_in(year, month) {
            return Err("the day is out of range for the month");
        }
        let time = match parts.time {
            None => None,
            Some(time) => Some(Self::time(&time)?),
        };
        Ok(Self { year, month, day, time })
    }

    fn time(parts: &TimeParts<'_>) -> Result<Time, &'static str> {
        let [hour, minute, second] = parts.clock.map(number);
        if hour > 23 || minute > 59 || second > 59 {
            return Err("the time of day is out of range");
        }
        let shown = &parts.fraction[..parts.fraction.len().min(6)];
        let microsecond = shown.len()..6;
        let microsecond = microsecond.fold(number(shown), |value, _| value * 10);
        let offset = match parts.zone {
            None => None,
            Some(Zone::Utc) => Some(0),
            Some(Zone::Offset { negative, hours, minutes }) => {
                let total = (number(hours) * 60 + number(minutes)).cast_signed();
                if total >= 24 * 60 {
                    return Err("a time zone is less than 24 hours from UTC");
                }
                Some(if negative { -total } else { total })
            }
        };
        Ok(Time { hour, minute, second, microsecond, offset })
    }

    /// Formats like Python's `isoformat`: `2001-12-14T21:59:43.100000-05:00`.
    pub(crate) fn isoformat(&self) -> String {
        let mut text = format!("{:04}-{:02}-{:02}", self.year, self.month, self.day);
        if let Some(time) = &self.time {
            let _ = write!(text, "T{:02}:{:02}:{:02}", time.hour, time.minute, time.second);
            if time.microsecond > 0 {
                let _ = write!(text, ".{:06}", time.microsecond);
            }
            if let Some(offset) = time.offset {
                let sign = if offset < 0 { '-' } else { '+' };
                let size = offset.unsigned_abs();
                let _ = write!(text, "{sign}{:02}:{:02}", size / 60, size % 60);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::DateTime;

    #[test]
    fn moments_that_exist_are_read() {
        for (text, expected) in [
            ("2001-2-3", "2001-02-03"),
            ("2000-02-29", "2000-02-29"),
            ("2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43.100000-05:00"),
            ("2001-12-14 1:59:43 Z", "2001-12-14T01:59:43+00:00"),
            ("2001-12-14 21:59:43.", "2001-12-14T21:59:43"),
            ("2001-12-14 21:59:43.1234567 +5", "2001-12-14T21:59:43.123456+05:00"),
        ] {
            assert_eq!(DateTime::parse(text).unwrap().isoformat(), expected, "{text}");
        }
    }

    #[test]
    fn each_month_has_its_days() {
        for (month, days) in (1..=12).zip([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
            assert!(DateTime::parse(&format!("2023-{month:02}-{days}")).is_ok(), "{month}");
            assert!(DateTime::parse(&format!("2023-{month:02}-{}", days + 1)).is_err(), "{month}");
        }
    }

    #[test]
    fn moments_that_do_not_exist_are_refused() {
        for text in [
            "2021-02-30", "2021-13-01", "0000-01-01", "1900-02-29", "2001-01-01 24:00:00", "2001-01-01 00:00:60",
            "2001-01-01T00:00:00+24:00", "2001-01-01T00:00:00 Q", "soon", "2001-01-01T00:00:00+1:5",
        ] {
            assert!(DateTime::parse(text).is_err(), "{text}");
        }
    }
}
