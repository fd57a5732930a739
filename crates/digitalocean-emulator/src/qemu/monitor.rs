//! QEMU's monitor (QMP): one JSON object a line over a unix socket; one command a connection.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// The socket's name in the droplet's folder.
pub(super) const SOCKET: &str = "monitor.sock";

/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects and executes one command.
pub(super) async fn execute(folder: &Path, command: &str) -> std::io::Result<()> {
    tokio::time::timeout(PATIENCE, talk(folder, command))
        .await
        .unwrap_or_else(|_| Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "QEMU's monitor does not answer")))
}

/// Whether the monitor answers: the machine is set up then, its ports are bound.
pub(super) async fn is_up(folder: &Path) -> bool {
    tokio::time::timeout(Duration::from_secs(1), talk(folder, "query-status")).await.is_ok_and(|answer| answer.is_ok())
}

async fn talk(folder: &Path, command: &str) -> std::io::Result<()> {
    // A socket's path has 107 bytes at most, and a state directory may be deeper: go through an open folder.
    let opened = std::fs::File::open(folder)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", std::os::fd::AsRawFd::as_raw_fd(&opened));
    let (read, mut write) = UnixStream::connect(path).await?.into_split();
    drop(opened);
    let mut lines = BufReader::new(read).lines();
    next(&mut lines).await?;
    call(&mut lines, &mut write, "qmp_capabilities").await?;
    call(&mut lines, &mut write, command).await
}

async fn next(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> std::io::Result<Value> {
    let line = lines.next_line().await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    serde_json::from_str(&line).map_err(Into::into)
}

async fn call(
    lines: &mut Lines<BufReader<OwnedReadHalf>>,
    write: &mut OwnedWriteHalf,
    command: &str,
) -> std::io::Result<()> {
    write.write_all(format!("{}\n", json!({ "execute": command })).as_bytes()).await?;
    loop {
        let answer = next(lines).await?;
        if answer.get("return").is_some() {
            return Ok(());
        }
        if let Some(error) = answer.get("error") {
            return Err(std::io::Error::other(format!("{command}: {}", error["desc"].as_str().unwrap_or("refused"))));
        }
        // Anything else is an event of the machine: not what was asked.
    }
}
