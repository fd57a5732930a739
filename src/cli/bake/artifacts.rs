//! `--artifacts DIR`: a server on loopback from which local droplets take their downloads, by
//! sha256.
//!
//! The server offers only what the plan pins, under its checksum: a droplet asks for a checksum and
//! verifies it again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::cli::error::{ErrorKind, ExpectedError, FileError};
use crate::cli::runtime::AbortOnDrop;
use crate::model::{Artifact, Lock, Pin, hexadecimal};
use crate::workspace::{FilePath, ReadError, open_regular};

/// An artifact can have gigabytes: it is read in pieces.
const PIECE_BYTES: usize = 256 * 1024;

/// A directory that cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArtifactError {
    #[error("{found_file} has the wrong sha256: expected {expected}, found {found}")]
    WrongSum { found_file: String, expected: String, found: String },
    #[error("{directory} has no file with the sha256 {sum} ({name})")]
    NoSum { directory: String, sum: String, name: String },
    #[error("{directory} has no file named {name}, and mkimg.lock does not pin {url}")]
    NoName { directory: String, name: String, url: String },
    #[error("cannot serve the artifacts on loopback: {0}")]
    Serve(std::io::Error),
}

impl ExpectedError for ArtifactError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Serve(_) => ErrorKind::System,
            _ => ErrorKind::Input,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::WrongSum { .. } => {
                "put the right file there; or, if the publisher has changed it, `mkimg lock --update`".into()
            }
            Self::NoSum { .. } => "download it into this directory; only its contents matter, not its name".into(),
            Self::NoName { .. } => "download it into this directory under this name".into(),
            Self::Serve(_) => return None,
        })
    }
}

/// The files of a directory, by their checksum.
pub(crate) struct ArtifactDirectory {
    path: PathBuf,
    by_sum: BTreeMap<String, (PathBuf, u64)>,
}

impl ArtifactDirectory {
    /// Hashes every file of a directory.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        const HELP: &str = "name a directory that holds the downloads";
        let unreadable = |what: &Path, error: &std::io::Error| FileError::new("read", what, error).with_help(HELP);
        let mut by_sum = BTreeMap::new();
        for entry in std::fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
            let file = entry.map_err(|error| unreadable(path, &error))?.path();
            if !file.is_file() {
                continue;
            }
            let (sum, size) = hash(&file).map_err(|reason| FileError::unreadable(&file, &reason).with_help(HELP))?;
            by_sum.insert(sum, (file, size));
        }
        let path = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
        Ok(Self { path, by_sum })
    }

    /// Pins unpinned downloads by their file name; returns the names of those.
    pub(crate) fn pin(&self, urls: &[String], lock: &mut Lock) -> Vec<String> {
        let mut pinned = Vec::new();
        for url in urls {
            if lock.get(url).is_some() {
                continue;
            }
            let name = last_part(url);
            if let Some((sum, size)) = self.find(name) {
                lock.insert(url, Pin { sha256: sum.clone(), size });
                pinned.push(name.to_owned());
            }
        }
        pinned
    }

    /// Checks that the directory holds every artifact of the plan.
    pub(crate) fn check(&self, artifacts: &[Artifact]) -> Result<(), ArtifactError> {
        let directory = self.path.display().to_string();
        for artifact in artifacts {
            let name = artifact.name.clone();
            let Some(sum) = artifact.sha256.clone() else {
                return Err(ArtifactError::NoName { directory, name, url: artifact.url.clone() });
            };
            if self.by_sum.contains_key(&sum) {
                continue;
            }
            return Err(match self.find(&name) {
                Some((found, _)) => ArtifactError::WrongSum {
                    found_file: format!("{directory}/{name}"),
                    expected: sum,
                    found: found.clone(),
                },
                None => ArtifactError::NoSum { directory, sum, name },
            });
        }
        Ok(())
    }

    /// The checksum and size of the file with this name.
    fn find(&self, name: &str) -> Option<(&String, u64)> {
        let mut files = self.by_sum.iter();
        let (sum, (_, size)) = files.find(|(_, (path, _))| path.file_name().is_some_and(|found| found == name))?;
        Some((sum, *size))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves the directory on this loopback port (0: any free one) for as long as the task lives;
    /// returns the port.
    pub(crate) async fn serve(self, port: u16) -> Result<(u16, AbortOnDrop), ArtifactError> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.map_err(ArtifactError::Serve)?;
        let port = listener.local_addr().map_err(ArtifactError::Serve)?.port();
        let router = axum::Router::new().route("/sha256/{sum}", get(send_file)).with_state(Arc::new(self.by_sum));
        let server = tokio::spawn(async move {
            // It ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok((port, AbortOnDrop(server)))
    }
}

async fn send_file(
    State(files): State<Arc<BTreeMap<String, (PathBuf, u64)>>>,
    UrlPath(sum): UrlPath<String>,
) -> Result<Response, StatusCode> {
    let (path, _) = files.get(&sum).ok_or(StatusCode::NOT_FOUND)?;
    let opened = open_regular(&FilePath::typed(path)).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let (file, size) = (tokio::fs::File::from_std(opened.0), opened.1.len());
    let pieces = futures_util::stream::try_unfold(file.take(size), |mut file| async move {
        let mut piece = vec![0; PIECE_BYTES];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((piece, file)))
    });
    Ok(([(CONTENT_LENGTH, size)], Body::from_stream(pieces)).into_response())
}

fn hash(path: &Path) -> Result<(String, u64), ReadError> {
    let (mut file, _) = open_regular(&FilePath::typed(path))?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hexadecimal(&sum.finalize()), size));
        }
        sum.update(&buffer[..read]);
        size += read as u64;
    }
}

fn last_part(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url).rsplit('/').next().unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        let text = || "x".to_owned();
        let wrong = ArtifactError::WrongSum { found_file: text(), expected: text(), found: text() };
        assert_error(wrong, 2, "put the right file there");
        let no_sum = ArtifactError::NoSum { directory: text(), sum: text(), name: text() };
        assert_error(no_sum, 2, "download it into this directory; only its contents matter");
        let no_name = ArtifactError::NoName { directory: text(), name: text(), url: text() };
        assert_error(no_name, 2, "download it into this directory under this name");
        assert_error(ArtifactError::Serve(std::io::Error::other("x")), 2, "");
    }

    #[test]
    fn files_are_found_by_name_and_must_have_their_sum() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("tool.tgz"), "x").unwrap();
        let directory = ArtifactDirectory::read(directory.path()).unwrap();
        let (mut lock, url) = (Lock::default(), "https://downloads.example/a/tool.tgz?token=1#b".to_owned());
        assert_eq!(directory.pin(&[url.clone(), "https://downloads.example/other".into()], &mut lock), ["tool.tgz"]);
        let pin = lock.get(&url).unwrap().clone();
        assert_eq!((pin.size, pin.sha256.get(..8)), (1, Some("2d711642")));
        let artifact = |name: &str, sha256: Option<&str>| Artifact {
            name: name.into(),
            url: url.clone(),
            sha256: sha256.map(str::to_owned),
            size: None,
            checksum_url: None,
            unpack: Vec::new(),
        };
        assert!(directory.check(&[artifact("another-name", Some(&pin.sha256))]).is_ok());
        let wrong = directory.check(&[artifact("tool.tgz", Some("0"))]);
        assert!(matches!(wrong, Err(ArtifactError::WrongSum { .. })), "{wrong:?}");
        let missing = directory.check(&[artifact("other", Some("0"))]);
        assert!(matches!(missing, Err(ArtifactError::NoSum { .. })), "{missing:?}");
        let unpinned = directory.check(&[artifact("other", None)]);
        assert!(matches!(unpinned, Err(ArtifactError::NoName { .. })), "{unpinned:?}");
    }

    #[tokio::test]
    async fn artifacts_are_sent_completely() {
        use tokio::io::AsyncWriteExt as _;
        let directory = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..3 * PIECE_BYTES + 7).map(|n| u8::try_from(n % 251).unwrap()).collect();
        std::fs::write(directory.path().join("a"), &content).unwrap();
        let (sum, size) = hash(&directory.path().join("a")).unwrap();
        assert_eq!(size, content.len() as u64);
        let (port, _server) = ArtifactDirectory::read(directory.path()).unwrap().serve(0).await.unwrap();
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(format!("GET /sha256/{sum} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let head = String::from_utf8_lossy(&answer[..answer.len() - content.len()]);
        assert!(head.contains(&format!("content-length: {size}\r\n")), "{head}");
        assert!(answer.ends_with(&content));
    }
}
