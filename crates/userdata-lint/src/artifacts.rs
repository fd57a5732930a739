//! Checks of downloads: the licence of CockroachDB and the processor architecture.

use super::cloud_config::CloudConfig;
use super::places::finding;
use super::rules;
use super::value::path_at;
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, quoted};

/// Maximum number of CockroachDB versions that are checked in one text.
const MAX_VERSIONS: usize = 200;

/// The last patch of each release line of CockroachDB before its licence changed on 2024-11-18.
/// Lines that ended earlier are not listed.
const LAST_BEFORE_CHANGE: &[((u32, u32), u32)] = &[((23, 1), 28), ((23, 2), 14), ((24, 1), 6), ((24, 2), 4)];

/// Whether a version of CockroachDB, such as `24.3.0` or `v24.3.0-rc.1`, has the new licence;
/// `None` for other texts.
fn is_after_licence_change(version: &str) -> Option<bool> {
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
    let (year, half) = (numbers.next()??, numbers.next()??);
    let patch = numbers.next().flatten().unwrap_or(0);
    let line = LAST_BEFORE_CHANGE.iter().find(|(line, _)| *line == (year, half));
    Some(line.map_or((year, half) > (24, 2), |(_, last)| patch > *last))
}

/// The CockroachDB versions in URLs and image names, such as
/// `https://binaries.cockroachdb.com/cockroach-v24.3.0.linux-amd64.tgz`.
fn cockroachdb_versions(text: &str) -> impl Iterator<Item = (Span, &str)> {
    let prefixes = ["cockroach-v", "cockroachdb/cockroach:v"];
    prefixes.into_iter().flat_map(move |prefix| {
        text.match_indices(prefix).filter_map(move |(at, _)| {
            let start = at + prefix.len();
            let rest = &text[start..];
            let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let version = rest[..length].trim_end_matches('.');
            (!version.is_empty()).then(|| (Span::new(start, start + version.len()), version))
        })
    })
}

fn check_version(version: &str, path: String, span: Span) -> Option<Diagnostic> {
    if is_after_licence_change(version) != Some(true) {
        return None;
    }
    let message = format!(
        "CockroachDB {} is under the CockroachDB Software License: without a license key, production use is not allowed and clusters are \
         throttled after 7 days",
        quoted(version)
    );
    let help = "use one of the last releases before it (23.1.28, 23.2.14, 24.1.6, 24.2.4), or set `enterprise.license` in every cluster";
    Some(finding(&rules::COCKROACHDB_LICENCE, path, span, message, Some(help.into())))
}

/// Checks user-data that is not a cloud-config.
pub(super) fn check_text(source: &Source, out: &mut Vec<Diagnostic>) {
    let versions = cockroachdb_versions(source.text()).take(MAX_VERSIONS);
    out.extend(versions.filter_map(|(span, version)| check_version(version, String::new(), span)));
}

/// Checks a cloud-config and its encoded contents.
pub(super) fn check_document(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    for (span, version) in cockroachdb_versions(document.source.text()).take(MAX_VERSIONS) {
        let path = path_at(document.tree, document.root, span.start);
        out.extend(check_version(version, path, span));
    }
    for file in document.files() {
        let Some(content) = file.content.as_ref().filter(|content| !content.is_plain()) else { continue };
        for (_, version) in cockroachdb_versions(content.text().unwrap_or_default()).take(MAX_VERSIONS) {
            out.extend(check_version(version, format!("write_files.{}.content", file.index), content.node.used_at()));
        }
    }
}

/// Checks the URL of a template's artifact.
pub(super) fn check_licence(url: &str, path: String, place: Span) -> Option<Diagnostic> {
    let (_, version) = cockroachdb_versions(url).next()?;
    check_version(version, path, place)
}

const X86: &str = "x86-64";
const ARM: &str = "arm64";

/// The architecture that a URL names; `None` if it names none or both.
fn processors_of_download(url: &str) -> Option<&'static str> {
    let words = || url.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase);
    let names = |known: &[&str]| words().any(|word| known.contains(&word.as_str()));
    let x86 = names(&["amd64", "x64"]) || url.contains("x86_64") || url.contains("x86-64");
    match (x86, names(&["arm64", "aarch64"])) {
        (true, false) => Some(X86),
        (false, true) => Some(ARM),
        _ => None,
    }
}

/// The architecture of a DigitalOcean image, which is the end of its slug.
fn processors_of_image(slug: &str) -> Option<&'static str> {
    let (_, end) = slug.rsplit_once('-')?;
    match end {
        "x64" => Some(X86),
        "arm64" => Some(ARM),
        _ => None,
    }
}

/// Checks that an artifact has the architecture of the base image.
pub(super) fn check_processors(url: &str, image: &str, path: String, place: Span) -> Option<Diagnostic> {
    let (download, base) = (processors_of_download(url)?, processors_of_image(image)?);
    if download == base {
        return None;
    }
    let message = format!("this download is for {download}, but {} is an image for {base}", quoted(image));
    let help = format!("use the download for {base}, or an image and a size with {download} processors");
    Some(finding(&rules::ARCHITECTURE_MISMATCH, path, place, message, Some(help)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_under_the_old_licence_are_accepted() {
        let version_in = |text| cockroachdb_versions(text).next().map(|(_, version)| version);
        for version in ["23.1.28", "23.2.14", "24.1.6", "v24.2.4", "22.2.19", "19.1.3", "24.1.0"] {
            assert_eq!(is_after_licence_change(version), Some(false), "{version}");
        }
        for version in ["23.1.29", "23.2.15", "24.1.7", "24.2.5", "24.3.0", "v25.1.0-rc.1", "26.1"] {
            assert_eq!(is_after_licence_change(version), Some(true), "{version}");
        }
        assert_eq!(is_after_licence_change("latest"), None);
        assert_eq!(version_in("https://binaries.cockroachdb.com/cockroach-v24.3.0.linux-arm64.tgz"), Some("24.3.0"));
        assert_eq!(version_in("https://binaries.cockroachdb.com/cockroach-latest.tgz"), None);
    }

    #[test]
    fn architectures_are_recognized_in_urls() {
        for (url, expected) in [
            ("https://x.example/nakama-3.40.0-linux-amd64.tar.gz", Some(X86)),
            ("https://x.example/tool_Linux_x86_64.zip", Some(X86)),
            ("https://x.example/tool-x86-64", Some(X86)),
            ("https://x.example/cockroach-v24.1.6.linux-arm64.tgz", Some(ARM)),
            ("https://x.example/aarch64/tool", Some(ARM)),
            ("https://x.example/amd64-and-arm64.tgz", None),
            ("https://x.example/charm64/tool", None),
        ] {
            assert_eq!(processors_of_download(url), expected, "{url}");
        }
        for (slug, expected) in [("debian-13-x64", Some(X86)), ("12345", None), ("debian-13-arm64", Some(ARM))] {
            assert_eq!(processors_of_image(slug), expected, "{slug}");
        }
    }
}
