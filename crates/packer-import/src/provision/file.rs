//! The provisioner `file`: what it uploads becomes a part of the project's tree.

use super::super::fault::Notes;
use super::super::packer::Block;
use super::super::text::Text;
use super::super::{Disk, OnDisk};
use super::{FileCopy, Provision, leftovers};

impl Provision {
    pub(super) fn file(&mut self, block: &Block, disk: Disk<'_>, notes: &mut Notes) {
        const KNOWN: &[&str] = &["source", "sources", "destination", "content", "direction", "generated"];
        leftovers(block, KNOWN, notes);
        if block
            .get("direction")
            .and_then(|found| found.value.text())
            .is_some_and(|text| text.plain() == Some("download"))
        {
            let message = "a download from the droplet was left out: nothing leaves it but the snapshot";
            return notes.not_carried(
                block.place,
                "provisioners",
                message,
                "print what you need in a script: the bake keeps its log",
            );
        }
        if !self.scripts.is_empty() {
            let message = "the files are on the machine before the first script runs, not between two of them";
            notes.adapted(block.place, "provisioners", message);
        }
        let destination = block.get("destination").and_then(|found| found.value.text());
        let Some(destination) = destination.as_ref().and_then(Text::plain) else {
            let message = "the destination is missing, or not a plain text";
            return notes.not_carried(block.place, "destination", message, "put the files under files/ by hand");
        };
        let Some(place) = normal(destination) else {
            let message = format!("the destination `{destination}` is not an absolute path without `..`");
            return notes.not_carried(block.place, "destination", message, "put the files under files/ by hand");
        };
        let first = place.split('/').nth(1).unwrap_or_default();
        if matches!(first, "tmp" | "run" | "proc" | "sys" | "dev") {
            let message = format!("`{destination}` does not outlive a boot: mkimg puts no files there");
            let help = "choose a lasting place, and change the scripts that look there";
            return notes.not_carried(block.place, "destination", message, help);
        }
        let below = |path: &str| format!("files{}", path.trim_end_matches('/'));
        if let Some(content) = block.get("content").and_then(|found| found.value.text()) {
            return match content.plain() {
                Some(text) => {
                    self.files.push(FileCopy::Text { text: text.to_owned(), to: below(&place) });
                    self.tree(&place, false);
                }
                None => notes.not_carried(
                    block.place,
                    "content",
                    "contents of files are not templated",
                    "write the file in a script",
                ),
            };
        }
        let sources = block.get("source").into_iter().chain(block.get("sources"));
        for source in sources.flat_map(|found| found.value.texts().unwrap_or_default()) {
            let Some(from) = source.path() else {
                let message = format!("the source `{}` is not a plain path", source.expression());
                notes.not_carried(block.place, "source", message, "put the files under files/ by hand");
                continue;
            };
            let name = from.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
            let inside = format!("{}/{name}", place.trim_end_matches('/'));
            match disk(&from) {
                OnDisk::Missing => {
                    let message = format!("the source `{from}` does not exist");
                    notes.not_carried(block.place, "source", message, "Packer fails on it too");
                }
                OnDisk::File => {
                    let to = if destination.ends_with('/') { inside } else { place.clone() };
                    self.tree(&to, false);
                    self.files.push(FileCopy::File { from, to: below(&to) });
                }
                // With a slash at the end, what is in the directory goes up; without one, the directory itself.
                OnDisk::Directory => {
                    let to = if from.ends_with('/') { place.clone() } else { inside };
                    self.tree(&to, true);
                    let from = from.trim_end_matches('/').to_owned();
                    self.files.push(FileCopy::Directory { from, to: below(&to) });
                }
            }
        }
    }

    /// Notes where on the machine the tree must land: its first directory, or the root for what lies there.
    fn tree(&mut self, place: &str, directory: bool) {
        let mut parts = place.split('/').skip(1).filter(|part| !part.is_empty());
        let first = parts.next();
        let tree = match first {
            Some(first) if directory || parts.next().is_some() => format!("/{first}"),
            _ => "/".to_owned(),
        };
        if !self.trees.contains(&tree) {
            self.trees.push(tree);
        }
    }
}

/// An absolute path without `.`, `..` and empty parts.
fn normal(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.contains(&"..")).then(|| format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_normal() {
        assert_eq!(normal("/etc//x/./").as_deref(), Some("/etc/x"));
        assert_eq!(normal("/").as_deref(), Some("/"));
        assert_eq!(normal("/a/../b"), None);
        assert_eq!(normal("etc"), None);
    }
}
