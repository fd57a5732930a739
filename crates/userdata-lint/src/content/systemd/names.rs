//! The names of unit sections and settings, from systemd.unit(5), systemd.service(5),
//! systemd.exec(5), systemd.kill(5), systemd.resource-control(5) and related pages, with deprecated
//! names that systemd still accepts.
//!
//! Complete for systemd 252: `tests/differential/content.rs` compares the lists with the systemd of
//! Debian 12. For later versions, up to 258, they follow the release notes. To add a setting, add
//! its name to its list in `names.txt`.

/// The lists: a name in brackets, then settings.
const LISTS: &str = include_str!("names.txt");

/// The sections and the lists of their settings; `exec` has how programs are executed, `kill` how they are stopped, and
/// `control` resource control.
const SECTIONS: &[(&str, &[&str])] = &[
    ("Unit", &["unit"]),
    ("Install", &["install"]),
    ("Service", &["service", "exec", "kill", "control"]),
    ("Socket", &["socket", "exec", "kill", "control"]),
    ("Mount", &["mount", "exec", "kill", "control"]),
    ("Swap", &["swap", "exec", "kill", "control"]),
    ("Automount", &["automount"]),
    ("Timer", &["timer"]),
    ("Path", &["path"]),
    ("Slice", &["slice", "control"]),
    ("Scope", &["scope", "kill", "control"]),
];

/// The kinds of units by suffix, with their section.
const KINDS: &[(&str, Option<&str>)] = &[
    ("service", Some("Service")),
    ("socket", Some("Socket")),
    ("mount", Some("Mount")),
    ("swap", Some("Swap")),
    ("automount", Some("Automount")),
    ("timer", Some("Timer")),
    ("path", Some("Path")),
    ("slice", Some("Slice")),
    ("scope", Some("Scope")),
    ("target", None),
    ("device", None),
];

/// The kind of unit and its section, by suffix.
pub(super) fn kind(ending: &str) -> Option<(&'static str, Option<&'static str>)> {
    KINDS.iter().copied().find(|(name, _)| *name == ending)
}

/// The settings of a section; `None` for an unknown section.
pub(super) fn settings(section: &str) -> Option<impl Iterator<Item = &'static str> + Clone + use<>> {
    let (_, lists) = SECTIONS.iter().find(|(name, _)| *name == section)?;
    Some(lists.iter().flat_map(|name| list(name).split_whitespace()))
}

fn list(name: &str) -> &'static str {
    LISTS.split('[').find_map(|list| list.strip_prefix(name)?.strip_prefix(']')).unwrap_or_default()
}

/// The section, among those of a unit, that has a setting.
pub(super) fn home(setting: &str, sections: &[&'static str]) -> Option<&'static str> {
    sections
        .iter()
        .copied()
        .find(|section| settings(section).is_some_and(|mut names| names.any(|name| name == setting)))
}
