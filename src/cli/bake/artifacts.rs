//! `--artifacts DIR`: a server on loopback from which local droplets take their downloads, by sha256.
//!
//! Only what the plan pins is served, and only under its sum: a droplet asks for a sum and checks it again.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use super::{AbortOnDrop, Failure};
use crate::model::{Artifact, Lock, Pin};

/// The files of a folder, by their sum.
pub(in crate::cli) struct Folder {
    path: PathBuf,
    by_sum: BTreeMap<String, (PathBuf, u64)>,
}

impl Folder {
    /// Hashes every file of a folder.
    pub(in crate::cli) fn read(path: &Path) -> Result<Self, Failure> {
        let unreadable = |what: &Path, error: &std::io::Error| {
            Failure::usage(format!("cannot read {}: {error}", what.display()))
                .with_help("name a folder that holds the downloads")
        };
        let mut by_sum = BTreeMap::new();
        for entry in std::fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
            let file = entry.map_err(|error| unreadable(path, &error))?.path();
            if !file.is_file() {
                continue;
            }
            let (sum, size) = hash(&file).map_err(|error| unreadable(&file, &error))?;
            by_sum.insert(sum, (file, size));
        }
        let path = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
        Ok(Self { path, by_sum })
    }

    /// Pins what the lock does not, by the name of the download; returns what was pinned.
    pub(super) fn pin(&self, urls: &[String], lock: &mut Lock) -> Vec<String> {
        let mut pinned = Vec::new();
        for url in urls {
            if lock.get(url).is_some() {
                continue;
            }
            let name = last_part(url);
            let found = self.by_sum.iter().find(|(_, (path, _))| path.file_name().is_some_and(|n| n == name));
            if let Some((sum, (_, size))) = found {
                lock.insert(url, Pin { sha256: sum.clone(), size: *size });
                pinned.push(name.to_owned());
            }
        }
        pinned
    }

    /// Makes sure that the folder holds what the plan wants.
    pub(super) fn check(&self, artifacts: &[Artifact]) -> Result<(), Failure> {
        for artifact in artifacts {
            let here = self.path.display();
            let same_name =
                self.by_sum.iter().find(|(_, (path, _))| path.file_name().is_some_and(|n| n == artifact.name.as_str()));
            let (message, help) = match (&artifact.sha256, same_name) {
                (Some(sum), _) if self.by_sum.contains_key(sum) => continue,
                (Some(sum), Some((found, _))) => (
                    format!("{here}/{} has the wrong sha256: expected {sum}, found {found}", artifact.name),
                    "put the right file there; or, if the publisher has changed it, `mkimg lock --update`",
                ),
                (Some(sum), None) => (
                    format!("{here} holds no file with the sha256 {sum} ({})", artifact.name),
                    "download it into this folder; its name does not matter, its contents do",
                ),
                (None, _) => (
                    format!(
                        "{here} holds no file named {}, and mkimg.lock does not pin {}",
                        artifact.name, artifact.url
                    ),
                    "download it into this folder under this name",
                ),
            };
            return Err(Failure::usage(message).with_help(help));
        }
        Ok(())
    }

    /// Where it lies.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves the folder on this loopback port (0: any free one) for as long as the task lives; says which.
    pub(in crate::cli) async fn serve(self, port: u16) -> Result<(u16, AbortOnDrop), Failure> {
        let failed =
            |error: std::io::Error| Failure::usage(format!("the artifacts cannot be served on loopback: {error}"));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let router = axum::Router::new().route("/sha256/{sum}", get(answer)).with_state(Arc::new(self.by_sum));
        let server = tokio::spawn(async move {
            // It ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok((port, AbortOnDrop(server)))
    }
}

async fn answer(
    State(files): State<Arc<BTreeMap<String, (PathBuf, u64)>>>,
    UrlPath(sum): UrlPath<String>,
) -> Result<Vec<u8>, StatusCode> {
    let (path, _) = files.get(&sum).ok_or(StatusCode::NOT_FOUND)?;
    tokio::fs::read(path).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

fn hash(path: &Path) -> std::io::Result<(String, u64)> {
    use std::fmt::Write as _;
    let mut file = std::fs::File::open(path)?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        sum.update(&buffer[..read]);
        size += read as u64;
    }
    let mut hex = String::with_capacity(64);
    for byte in sum.finalize() {
        let _ = write!(hex, "{byte:02x}");
    }
    Ok((hex, size))
}

fn last_part(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url).rsplit('/').next().unwrap_or(url)
}
