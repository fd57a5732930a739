//! Reads times as systemd does: spans and calendar events of systemd.time(7), version 258. What is accepted here may still name a
//! day that never comes.

/// The units of spans.
const UNITS: &[&str] = &[
    "usec", "us", "µs", "μs", "msec", "ms", "seconds", "second", "sec", "s", "minutes", "minute", "min", "m", "hours",
    "hour", "hr", "h", "days", "day", "d", "weeks", "week", "w", "months", "month", "M", "years", "year", "y",
];
const EVENTS: [&str; 9] =
    ["minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "annually", "yearly"];
const OTHER_EVENTS: [&str; 3] = ["anually", "bi-annually", "semi-annually"];
const WEEKDAYS: [&str; 14] = [
    "monday", "mon", "tuesday", "tue", "wednesday", "wed", "thursday", "thu", "friday", "fri", "saturday", "sat",
    "sunday", "sun",
];

/// Whether a text is a span, such as `5min 20s`, `90` (seconds) or `infinity`.
pub(super) fn is_span(text: &str) -> bool {
    if text == "infinity" {
        return true;
    }
    let mut rest = text.trim_start().trim_start_matches('+');
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let (whole, mut after) = (rest.len() - digits.len(), digits);
        let mut fraction = 0;
        if let Some(decimals) = digits.strip_prefix('.') {
            after = decimals.trim_start_matches(|c: char| c.is_ascii_digit());
            fraction = decimals.len() - after.len();
        }
        if whole + fraction == 0 || fraction == 0 && digits.starts_with('.') {
            return false;
        }
        let unit = after.trim_start();
        let end = unit.find(|c: char| c.is_ascii_digit() || c.is_whitespace() || c == '.').unwrap_or(unit.len());
        if end > 0 && !UNITS.contains(&&unit[..end]) {
            return false;
        }
        rest = unit[end..].trim_start();
        any = true;
    }
    any
}

/// Whether a text is a calendar event, such as `Mon..Fri *-*-* 05:00` or `daily`.
pub(super) fn is_calendar_event(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let words = match words.as_slice() {
        [before @ .., zone] if !before.is_empty() && is_time_zone(zone) => before,
        words => words,
    };
    let is_event = |word: &str| EVENTS.iter().chain(&OTHER_EVENTS).any(|event| word.eq_ignore_ascii_case(event));
    match words {
        [] => return false,
        [word] if is_event(word) => return true,
        [word] if word.starts_with('@') => return word[1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'),
        _ => {}
    }
    let has_days = words[0].starts_with(|c: char| c.is_ascii_alphabetic());
    if has_days && !is_weekdays(words[0]) {
        return false;
    }
    match &words[usize::from(has_days)..] {
        [] => has_days,
        [only] if only.contains(':') => is_time(only),
        [only] => is_date(only),
        [date, time] => is_date(date) && is_time(time),
        _ => false,
    }
}

fn is_time_zone(word: &str) -> bool {
    let is_name = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic());
    let area = word.split_once('/').is_some_and(|(area, city)| is_name(area) && is_name(city));
    let is_short = word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    area || word.eq_ignore_ascii_case("utc") || is_short && !is_weekdays(word)
}

fn is_weekdays(text: &str) -> bool {
    let is_day = |day: &str| WEEKDAYS.iter().any(|known| day.eq_ignore_ascii_case(known));
    text.trim_end_matches(',').split(',').all(|item| match item.split_once("..").or_else(|| item.split_once('-')) {
        Some((first, last)) => is_day(first) && is_day(last),
        None => is_day(item),
    })
}

/// `year-month-day` or `month-day`; `~` before the day counts from the end of the month.
fn is_date(text: &str) -> bool {
    let Some((before, day)) = text.rsplit_once(['-', '~']) else { return false };
    if !is_list(day, 1, 31, false) {
        return false;
    }
    match before.split_once('-') {
        Some((year, month)) => is_year(year) && is_list(month, 1, 12, false),
        None => is_list(before, 1, 12, false),
    }
}

/// Two digits mean a year from 1970 to 2069.
fn is_year(text: &str) -> bool {
    is_list(text, 1970, 2199, false) || is_list(text, 0, 99, false)
}

/// `hour:minute` or `hour:minute:second`.
fn is_time(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [hour, minute] => is_list(hour, 0, 23, false) && is_list(minute, 0, 59, false),
        [hour, minute, second] => {
            is_list(hour, 0, 23, false) && is_list(minute, 0, 59, false) && is_list(second, 0, 59, true)
        }
        _ => false,
    }
}

/// `*`, or values, ranges (`1..5`) and repetitions (`0/15`), separated by commas.
fn is_list(text: &str, min: u32, max: u32, has_fractions: bool) -> bool {
    let number = |text: &str| {
        let whole = text.split_once('.').filter(|_| has_fractions).map_or(text, |(whole, fraction)| {
            if fraction.bytes().all(|byte| byte.is_ascii_digit()) { whole } else { "" }
        });
        whole.bytes().all(|byte| byte.is_ascii_digit()).then(|| whole.parse::<u32>().ok()).flatten()
    };
    text == "*"
        || text.split(',').all(|item| {
            let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
            let (first, last) = range.split_once("..").map_or((range, None), |(first, last)| (first, Some(last)));
            let Some(first) = number(first).filter(|first| (min..=max).contains(first)) else { return false };
            let last_fits = last.is_none_or(|last| number(last).is_some_and(|last| (first..=max).contains(&last)));
            last_fits && step.is_none_or(|step| number(step).is_some_and(|step| step > 0 && first + step <= max))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked of systemd-analyze 252: `systemd-analyze timespan` and `systemd-analyze calendar`.
    #[test]
    fn times_are_read_as_systemd_does() {
        for text in [
            "5", "90s", "5min 20s", "1.5h", "2 weeks", "1y 12month", "infinity", "0", "1h30m", "10ms", "5M", ".5",
            "+5", "5 s 3",
        ] {
            assert!(is_span(text), "{text}");
        }
        for text in ["", "five", "5 minuts", "5mins", "-5", "5,5", "s", "1h 30x", "infinite", "5 m n", "5."] {
            assert!(!is_span(text), "{text}");
        }
        for text in [
            "daily", "Weekly", "05:00", "Mon *-*-* 05:00", "Mon..Fri 05:00:00", "Mon,Wed *-*-* 0/2:00",
            "*-*-* 04:00:00", "*:0/15", "2026-11-30", "11-30 10:00", "*-*~01", "Sat", "mon,tue", "*-*-01,15 03:30",
            "Mon 10:00 UTC", "*-*-* 10:00 Europe/Berlin", "@1700000000", "26-11-30", "quarterly", "*-*-* *:*:00",
            "10:00:30.5", "Mon-Fri 10:00", "mon..fri,sun *-1..6-1/7 1,2,3:4", "anually", "daily UTC", "*-2~03",
            "0..23:0",
        ] {
            assert!(is_calendar_event(text), "{text}");
        }
        for text in [
            "", "daily at 5", "every day", "5", "5:00pm", "24:00", "10:60", "*/5 * * * *", "0 5 * * *", "Mondy 05:00",
            "Mon 5", "2026-13-01", "*-*-32", "10:00-12:00", "*-*-* 25:00", "hourly 05:00", "*:0/0", "tomorrow",
            "05.00", "*-*-* 0/30:00", "*/2:00", "Mon, Tue 10:00", "0:0:60", "1..0:0", "UTC", "*", "1:2:3:4",
        ] {
            assert!(!is_calendar_event(text), "{text}");
        }
    }
}
