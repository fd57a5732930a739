//! CockroachDB's releases under another licence than the one that a marketplace image can live with.

use super::message::finding;
use crate::rules;
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};

/// The last patch of each line before 2024-11-18; lines that had ended before have none after it.
const LAST: &[((u32, u32), u32)] = &[((23, 1), 28), ((23, 2), 14), ((24, 1), 6), ((24, 2), 4)];

/// Whether a version, `24.3.0` or `v24.3.0-rc.1`, was released after 2024-11-18; `None` for what is no version.
pub(super) fn is_newer(version: &str) -> Option<bool> {
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
    let (year, half) = (numbers.next()??, numbers.next()??);
    let patch = numbers.next().flatten().unwrap_or(0);
    let line = LAST.iter().find(|(line, _)| *line == (year, half));
    Some(line.map_or((year, half) > (24, 2), |(_, last)| patch > *last))
}

/// The finding about a version, if it is newer.
pub(super) fn check(version: &str, path: String, span: Span) -> Option<Diagnostic> {
    if is_newer(version) != Some(true) {
        return None;
    }
    let message = format!(
        "CockroachDB {} is under the CockroachDB Software License: without a key it may not serve production, and a cluster is throttled \
         after 7 days",
        quoted(version)
    );
    let help = "use one of the last builds before it (23.1.28, 23.2.14, 24.1.6, 24.2.4), or have every operator get a key and set \
                `enterprise.license`";
    Some(finding(&rules::COCKROACHDB_LICENCE, path, span, message, Some(help.into())))
}

/// The version in an address of CockroachDB's: `https://binaries.cockroachdb.com/cockroach-v24.3.0.linux-amd64.tgz`.
pub(super) fn version_in(url: &str) -> Option<&str> {
    let rest = url.split_once("cockroach-v").or_else(|| url.split_once("cockroachdb/cockroach:v"))?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches('.')).filter(|version| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_builds_are_let_pass() {
        for version in ["23.1.28", "23.2.14", "24.1.6", "v24.2.4", "22.2.19", "19.1.3", "24.1.0"] {
            assert_eq!(is_newer(version), Some(false), "{version}");
        }
        for version in ["23.1.29", "23.2.15", "24.1.7", "24.2.5", "24.3.0", "v25.1.0-rc.1", "26.1"] {
            assert_eq!(is_newer(version), Some(true), "{version}");
        }
        assert_eq!(is_newer("latest"), None);
        assert_eq!(version_in("https://binaries.cockroachdb.com/cockroach-v24.3.0.linux-arm64.tgz"), Some("24.3.0"));
        assert_eq!(version_in("https://binaries.cockroachdb.com/cockroach-latest.tgz"), None);
    }
}
