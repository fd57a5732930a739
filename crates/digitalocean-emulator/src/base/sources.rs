//! The host's Debian mirror, from its apt sources. Only the two addresses are taken over (the archive's and the security
//! archive's): a third party's list on the host must not leak into an image.

/// Addresses of the archive and the security archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirrors {
    pub(super) archive: String,
    pub(super) security: String,
}

impl Mirrors {
    /// The sources of one suite, in deb822 form, as a droplet has them.
    pub(super) fn sources(&self, suite: &str, components: &str) -> String {
        format!(
            "Types: deb\nURIs: {}\nSuites: {suite} {suite}-updates\nComponents: {components}\nSigned-By: {KEYRING}\n\n\
             Types: deb\nURIs: {}\nSuites: {suite}-security\nComponents: {components}\nSigned-By: {KEYRING}\n",
            self.archive, self.security
        )
    }
}

/// The keys that Debian's archives are signed with (package `debian-archive-keyring`).
pub(super) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One `deb` entry, of either form.
#[derive(Debug, Default)]
struct Entry {
    uris: Vec<String>,
    components: Vec<String>,
    signed_by: String,
}

/// Finds the mirrors in apt's source files, given as (name, text). `lists` reads a list of mirrors that an address of
/// the form `mirror+file:` names, as Debian's own cloud images use.
pub(super) fn find(files: &[(String, String)], lists: &dyn Fn(&str) -> Option<String>) -> Option<Mirrors> {
    let mut archive = None;
    let mut security = None;
    for (name, text) in files {
        let entries = if name.ends_with(".sources") { deb822(text) } else { one_line(text) };
        for entry in entries {
            let keys_are_debians = entry.signed_by.is_empty() || entry.signed_by.contains("debian-archive-");
            if !keys_are_debians || !entry.components.iter().any(|component| component == "main") {
                continue;
            }
            for uri in &entry.uris {
                let uri = match uri.strip_prefix("mirror+file:") {
                    Some(path) => match lists(path) {
                        Some(list) => list,
                        None => continue,
                    },
                    None => uri.clone(),
                };
                let uri = uri.trim_end_matches('/');
                if !uri.starts_with("http://") && !uri.starts_with("https://") {
                    continue;
                }
                match uri.rsplit('/').next() {
                    Some("debian") => archive.get_or_insert_with(|| uri.to_owned()),
                    Some("debian-security") => security.get_or_insert_with(|| uri.to_owned()),
                    _ => continue,
                };
            }
        }
    }
    let archive = archive?;
    // Mirrors have both side by side.
    let security = security.unwrap_or_else(|| format!("{archive}-security"));
    Some(Mirrors { archive, security })
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// `deb [options] URI SUITE COMPONENT…`
fn one_line(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb ") else { continue };
        let (options, rest) = match rest.trim_start().strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some(parts) => parts,
                None => continue,
            },
            None => ("", rest),
        };
        let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        let mut fields = words(rest).into_iter();
        let uris = fields.next().into_iter().collect();
        let components = fields.skip(1).collect();
        entries.push(Entry { uris, components, signed_by: signed_by.unwrap_or_default().to_owned() });
    }
    entries
}

/// Paragraphs of `Field: value`, with continued lines.
fn deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for paragraph in text.replace("\r\n", "\n").split("\n\n") {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in paragraph.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let get = |name: &str| fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let enabled = !matches!(get("enabled"), "no" | "false");
        if enabled && words(get("types")).iter().any(|kind| kind == "deb") {
            entries.push(Entry {
                uris: words(get("uris")),
                components: words(get("components")),
                signed_by: get("signed-by").to_owned(),
            });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Option<Mirrors> {
        let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        find(&files, &|path| (path == "/etc/apt/mirrors/debian.list").then(|| "https://m.example/debian".to_owned()))
    }

    #[test]
    fn both_forms_are_read_and_third_parties_are_not() {
        let deb822 = "# a note\nTypes: deb deb-src\nURIs: http://mirror.example/debian/\nSuites: bookworm\n bookworm-updates\n\
                      Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                      Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n";
        let third = "deb [arch=amd64 signed-by=/etc/apt/keyrings/x.gpg] https://third.example/wine/debian bookworm main\n\
                     deb https://third.example/linux/debian bookworm stable\ndeb https://third.example/apt x main\n";
        let expected = Mirrors {
            archive: "http://mirror.example/debian".into(),
            security: "http://mirror.example/debian-security".into(),
        };
        assert_eq!(found(&[("third.list", third), ("debian.sources", deb822)]), Some(expected.clone()));
        let one_line = "# deb http://old.example/debian bookworm main\ndeb cdrom:[Debian]/ bookworm main\n\
                        deb http://mirror.example/debian bookworm main contrib # here\n";
        assert_eq!(found(&[("sources.list", one_line), ("third.list", third)]), Some(expected));
        assert_eq!(found(&[("third.list", third)]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn disabled_entries_are_passed_over_and_lists_of_mirrors_are_looked_up() {
        let off = "Enabled: no\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: x\nComponents: main\n";
        assert_eq!(found(&[("a.sources", off)]), None);
        let list = "Types: deb\nURIs: mirror+file:/etc/apt/mirrors/debian.list\nSuites: x\nComponents: main\n";
        let mirrors = found(&[("a.sources", list)]).unwrap();
        assert_eq!(mirrors.security, "https://m.example/debian-security");
    }

    #[test]
    fn the_image_gets_debians_suites_only() {
        let mirrors = Mirrors { archive: "http://m.example/debian".into(), security: "http://m.example/sec".into() };
        let sources = mirrors.sources("trixie", "main");
        assert!(sources.contains("URIs: http://m.example/debian\nSuites: trixie trixie-updates\n"));
        assert!(sources.contains("URIs: http://m.example/sec\nSuites: trixie-security\n"));
    }
}
