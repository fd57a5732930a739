//! Downloads that are made for processors which the base image does not run on.

use super::message::finding;
use crate::rules;
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};

/// A family of processors, as people call it.
const X86: &str = "x86-64";
const ARM: &str = "arm64";

/// What an address says of the processor that its program is for; nothing where it names none, or both.
fn of_download(url: &str) -> Option<&'static str> {
    let words = || url.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase);
    let names = |known: &[&str]| words().any(|word| known.contains(&word.as_str()));
    let x86 = names(&["amd64", "x64"]) || url.contains("x86_64") || url.contains("x86-64");
    match (x86, names(&["arm64", "aarch64"])) {
        (true, false) => Some(X86),
        (false, true) => Some(ARM),
        _ => None,
    }
}

/// What the slug of an image says of it: DigitalOcean's end with it.
fn of_image(slug: &str) -> Option<&'static str> {
    let (_, end) = slug.rsplit_once('-')?;
    match end {
        "x64" => Some(X86),
        "arm64" => Some(ARM),
        _ => None,
    }
}

/// The finding about a download, if its processor is known to be another than the image's.
pub(super) fn check(url: &str, image: &str, path: String, place: Span) -> Option<Diagnostic> {
    let (download, base) = (of_download(url)?, of_image(image)?);
    if download == base {
        return None;
    }
    let message = format!("this download is for {download}, and {} is an image for {base}", quoted(image));
    let help =
        format!("take the publisher's download for {base}, or an image and a size that have {download} processors");
    Some(finding(&rules::ARCHITECTURE_MISMATCH, path, place, message, Some(help)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_known_by_the_words_that_publishers_use() {
        for (url, expected) in [
            ("https://x.example/nakama-3.40.0-linux-amd64.tar.gz", Some(X86)),
            ("https://x.example/tool_Linux_x86_64.zip", Some(X86)),
            ("https://x.example/tool-x86-64", Some(X86)),
            ("https://x.example/cockroach-v24.1.6.linux-arm64.tgz", Some(ARM)),
            ("https://x.example/aarch64/tool", Some(ARM)),
            ("https://x.example/amd64-and-arm64.tgz", None),
            ("https://x.example/charm64/tool", None),
        ] {
            assert_eq!(of_download(url), expected, "{url}");
        }
        for (slug, expected) in [("debian-13-x64", Some(X86)), ("12345", None), ("debian-13-arm64", Some(ARM))] {
            assert_eq!(of_image(slug), expected, "{slug}");
        }
    }
}
