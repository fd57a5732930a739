//! Converts file provisioners to files of the project.

use std::collections::BTreeMap;

use packer_import::{Block, Place, Text};

use super::provisioners::{Provisioned, report_other_options, report_path};
use super::{BuildContext, FileContent, Notes, PackerPath, PathKind, ProjectFile, expression};

/// The most files that a template may name, and the most bytes in all of them.
const MAX_FILES: usize = 10_000;
const MAX_BYTES: u64 = 256 << 20;

/// Directories of every machine: Packer cannot replace them by a file.
const DIRECTORIES: &[&str] = &[
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/sbin",
    "/srv", "/sys", "/tmp", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/usr/local/bin", "/usr/local/lib",
    "/usr/local/sbin", "/usr/sbin", "/usr/share", "/var", "/var/lib", "/var/log", "/var/tmp", "/var/www",
];

/// Directories with nothing but [`DIRECTORIES`] on a new machine.
const FRESH: &[&str] = &["", "/mnt", "/opt", "/root", "/srv", "/tmp"];

/// Where files wait for the script that puts them into their place.
const STAGING: &str = "/var/lib/packer-uploads";

const BY_HAND: &str = "put the files under files/ by hand";

impl Provisioned {
    pub(super) fn add_files(&mut self, block: &Block, build: &BuildContext<'_>, notes: &mut Notes) {
        const KNOWN: &[&str] = &["source", "sources", "destination", "content", "direction", "generated"];
        report_other_options(block, KNOWN, notes);
        let option = |name: &str| block.get(name).and_then(|found| found.value.text());
        if option("direction").is_some_and(|text| text.plain() == Some("download")) {
            let message = "a download from the droplet was left out: a bake produces the snapshot only";
            let help = "print what you need in a script: the bake keeps its log";
            return notes.not_converted(block.place, "provisioners", message, help);
        }
        let destination = option("destination").map(|text| build.values.expand(&text));
        let Some(destination) = destination.as_ref().and_then(Text::plain).filter(|path| !path.is_empty()) else {
            let message = "the destination is missing, or not a plain text";
            return notes.not_converted(block.place, "destination", message, BY_HAND);
        };
        let Some(path) = machine_path(destination, &build.home) else {
            let message = format!("the destination `{destination}` is not a path without `..` and shell variables");
            return notes.not_converted(block.place, "destination", message, BY_HAND);
        };
        let first = path.split('/').nth(1).unwrap_or_default();
        if matches!(first, "run" | "proc" | "sys" | "dev") {
            let message = format!("`{destination}` does not survive a reboot: mkimg puts no files there");
            let help = "choose another path, and change the scripts that use it";
            return notes.not_converted(block.place, "destination", message, help);
        }
        let prefix = self.staging(&path, block.place, notes);
        if let Some(content) = block.get("content") {
            let text = content.value.text().and_then(|text| build.values.public(&text));
            return match text {
                Some(_) if destination.ends_with('/') => {
                    let message = format!("the destination `{destination}` is a directory");
                    notes.not_converted(content.place, "destination", message, "name the file");
                }
                // Packer uploads a temporary file, which only its owner can read.
                Some(text) => {
                    let file = ProjectFile { content: FileContent::Text(text), mode: 0o600 };
                    self.add_file(&format!("{prefix}{path}"), file, content.place, notes);
                }
                None => {
                    let written =
                        content.value.unsupported().unwrap_or("it refers to a secret, or to an unknown value");
                    let message = format!("the content of the file cannot be converted: {written}");
                    notes.not_converted(content.place, "content", message, "write the file in a script");
                }
            };
        }
        // In this order, as Packer does it.
        let sources = block.get("sources").into_iter().chain(block.get("source"));
        let mut has_source = false;
        for (setting, value) in sources.flat_map(|found| found.value.items().iter().map(move |value| (found, value))) {
            has_source = true;
            let written = value.text();
            let expanded = written.as_ref().map(|text| build.values.expand(text));
            let Some((folder, from)) = expanded.as_ref().and_then(Text::path) else {
                let unsupported = value.unsupported().map(str::to_owned);
                let written = unsupported.or_else(|| written.as_ref().map(expression)).unwrap_or_default();
                let message = format!("the source `{written}` is not a plain path");
                notes.not_converted(setting.place, "source", message, BY_HAND);
                continue;
            };
            let source = PackerPath { folder, path: from };
            self.add_source(
                source,
                destination.ends_with('/'),
                (prefix.as_str(), path.as_str()),
                setting.place,
                build,
                notes,
            );
        }
        if !has_source {
            notes.not_converted(block.place, "source", "the provisioner has no source", BY_HAND);
        }
    }

    fn add_source(
        &mut self,
        source: PackerPath,
        into_directory: bool,
        (prefix, path): (&str, &str),
        place: Place,
        build: &BuildContext<'_>,
        notes: &mut Notes,
    ) {
        let name = source.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let inside = format!("{}/{name}", path.trim_end_matches('/'));
        let found = build.files.find(&source);
        notes.beside_template(&found, "source", &source.path, place);
        match found.kind {
            PathKind::File { mode, bytes } => {
                let to = if into_directory { inside.as_str() } else { path };
                if DIRECTORIES.contains(&to) {
                    let message = format!("the destination `{to}` is a directory");
                    return notes.not_converted(place, "destination", message, "end it with `/`, or name the file");
                }
                self.bytes += bytes;
                let file = ProjectFile { content: FileContent::Copy(source), mode };
                self.add_file(&format!("{prefix}{to}"), file, place, notes);
            }
            // As in Packer: with a slash at the end, the contents of the directory; without, the directory itself.
            PathKind::Directory => {
                let is_contents = source.path.ends_with('/') || name == ".";
                if name == ".." && !is_contents {
                    let message = format!("the source `{}` has no name", source.path);
                    return notes.not_converted(place, "source", message, "end it with `/` to copy what is in it");
                }
                let is_new = !is_contents && self.is_new_directory(path);
                if is_new {
                    let message =
                        format!("`{path}` does not exist before this upload: it becomes the directory, as with `scp`");
                    notes.adapted(place, "destination", message);
                }
                let to = if is_contents || is_new { path } else { inside.as_str() };
                let folder = source.path.trim_end_matches('/');
                for (entry, kind) in build.files.list(&source) {
                    let from = format!("{folder}/{entry}");
                    match kind {
                        PathKind::File { mode, bytes } => {
                            self.bytes += bytes;
                            let copy = FileContent::Copy(PackerPath { folder: source.folder, path: from });
                            let target = format!("{prefix}{}/{entry}", to.trim_end_matches('/'));
                            self.add_file(&target, ProjectFile { content: copy, mode }, place, notes);
                        }
                        PathKind::Directory => {
                            let message = format!("the directory `{from}` is empty, and was left out");
                            notes.not_converted(
                                place,
                                "source",
                                message,
                                "create it in a script, if the image needs it",
                            );
                        }
                        kind => report_path(&kind, "source", &from, place, notes),
                    }
                    if self.is_too_large {
                        return;
                    }
                }
            }
            kind => report_path(&kind, "source", &source.path, place, notes),
        }
    }

    /// Whether nothing made a directory at this path: then an uploaded directory is not put into it.
    fn is_new_directory(&self, path: &str) -> bool {
        let is_fresh = path.rsplit_once('/').is_some_and(|(parent, _)| FRESH.contains(&parent));
        let inside = format!("{path}/");
        is_fresh
            && !DIRECTORIES.contains(&path)
            && !self.files.keys().any(|file| file.contains(&inside))
            && !self.raw.iter().any(|script| script.mentions(path))
    }

    /// Adds a file as `scp` writes it: a new file gets the mode without what the usual umask removes, an existing
    /// file keeps its mode.
    fn add_file(&mut self, path: &str, mut file: ProjectFile, place: Place, notes: &mut Notes) {
        file.mode &= 0o755;
        if let Some(before) = self.files.get(path) {
            let keeps_mode = file.mode & 0o200 != 0;
            if keeps_mode && before.mode != file.mode {
                let message =
                    format!("`{path}` keeps the mode {:04o} of its first upload, as with Packer", before.mode);
                notes.adapted(place, "destination", message);
            }
            if keeps_mode {
                file.mode = before.mode;
            }
        } else if let Some(other) = conflict(&self.files, path) {
            let message = format!("`{path}` was left out, because `{other}` cannot be both a file and a directory");
            return notes.not_converted(place, "destination", message, "choose another destination");
        }
        self.files.insert(path.to_owned(), file);
        if self.files.len() > MAX_FILES || self.bytes > MAX_BYTES {
            let message =
                format!("the files have more than {} MiB in all, or are more than {MAX_FILES}", MAX_BYTES >> 20);
            let help = "an image document has 64 KiB: remove large directories from the template, and let the droplet download them";
            notes.too_large(place, "source", message, help);
            self.is_too_large = true;
        }
    }

    /// Returns the directory in which an upload waits until its script runs; empty if it may be in its place from the
    /// start.
    fn staging(&mut self, path: &str, place: Place, notes: &mut Notes) -> String {
        // mkimg itself puts these into their place late.
        let is_on_boot = path.starts_with("/var/lib/cloud/scripts/");
        let is_temporary = path == "/tmp" || path.starts_with("/tmp/");
        if is_on_boot || !is_temporary && !self.has_run {
            if let Some(name) = self.before.take().filter(|_| !is_on_boot) {
                let message = format!(
                    "the files are in place before `{name}` runs, which only prints, makes directories or reads lists of packages"
                );
                notes.adapted(place, "provisioners", message);
            }
            return String::new();
        }
        format!("{STAGING}/{}", self.upload_script())
    }
}

/// Writes the script that puts files into their place.
pub(super) fn upload_script(number: usize) -> String {
    format!(
        "#!/bin/sh -e\n\
         # Puts files where the Packer template uploads them at this point. An existing file keeps its mode.\n\
         cd {STAGING}/{number}\n\
         find . -type f | while IFS= read -r file; do\n    \
             file=${{file#.}}\n    \
             test -e \"${{file}}\" || install -D -m \"$(stat -c %a \".${{file}}\")\" /dev/null \"${{file}}\"\n    \
             cat \".${{file}}\" >\"${{file}}\"\n\
         done\n\
         cd /\n\
         rm -r {STAGING}/{number}\n\
         rmdir --ignore-fail-on-non-empty {STAGING}\n"
    )
}

/// Returns a path that is a file above `path`, or a directory at `path`.
fn conflict(files: &BTreeMap<String, ProjectFile>, path: &str) -> Option<String> {
    let above = path.match_indices('/').skip(1).map(|(at, _)| &path[..at]).find(|above| files.contains_key(*above));
    let inside = format!("{path}/");
    let is_directory = files.range(inside.clone()..).next().is_some_and(|(below, _)| below.starts_with(&inside));
    above.or_else(|| is_directory.then_some(path)).map(str::to_owned)
}

/// Returns the absolute path of a destination, without `.` and empty parts. A relative path begins in the home directory
/// of the user who logs in.
fn machine_path(destination: &str, home: &str) -> Option<String> {
    let home_path = |rest: &str| format!("{home}/{rest}");
    let path = match destination.strip_prefix("~/") {
        Some(rest) => home_path(rest),
        None if destination == "~" => home.to_owned(),
        None if destination.starts_with('/') => destination.to_owned(),
        None => home_path(destination.strip_prefix("$HOME/").unwrap_or(destination)),
    };
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let is_plain = !parts.contains(&"..") && !path.contains(['$', '`', '~', '\n']);
    is_plain.then(|| format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_paths_of_the_machine() {
        let path = |text: &str| machine_path(text, "/root");
        assert_eq!(path("/etc//x/./").as_deref(), Some("/etc/x"));
        assert_eq!(path("/").as_deref(), Some("/"));
        for home in ["~/x", "x", "./x", "$HOME/x"] {
            assert_eq!(path(home).as_deref(), Some("/root/x"), "{home}");
        }
        assert_eq!(machine_path("~", "/home/app").as_deref(), Some("/home/app"));
        for other in ["/a/../b", "$DIR/x", "~app/x", "/a/`b`"] {
            assert_eq!(path(other), None, "{other}");
        }
    }
}
