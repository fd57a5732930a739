//! A virtual machine's process: started, watched, controlled through QEMU's monitor, and never left
//! behind.
//!
//! Three mechanisms end it. The kernel kills QEMU when this process dies (`setpriv --pdeathsig` of
//! util-linux); that is bound to the *thread* that started it, so that each machine has a thread
//! which lives as long as it does. Dropping the emulator kills its machines. And each folder
//! records its process (pid and start time), so that the next emulator on the same state directory
//! ends it.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{oneshot, watch};

use crate::support::{SEARCH_PATH, find_program, write_atomically};

/// Files in the droplet's folder.
const RECORD: &str = "process.json";
pub(super) const LOG: &str = "qemu.log";
pub(super) const MONITOR_SOCKET: &str = "monitor.sock";

/// How long QEMU's monitor may take to answer.
const MONITOR_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a killed process may take to disappear.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ProcessRecord {
    pid: i32,
    /// In clock ticks since the host's boot: distinguishes a process from a later one with the same
    /// pid.
    started: u64,
}

/// A process that is running or has ended.
pub(super) struct Process {
    handle: OwnedFd,
    exit: watch::Receiver<Option<Exit>>,
    end_requested: AtomicBool,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) success: bool,
    pub(super) description: String,
}

impl Process {
    /// Starts `program` in the folder; its output goes to [`LOG`] there.
    pub(super) async fn start(program: &Path, arguments: Vec<String>, folder: &Path) -> std::io::Result<Self> {
        let log = std::fs::File::create(folder.join(LOG))?;
        let mut command = command_that_dies_with_us(program);
        command
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let (exited, exit) = watch::channel(None);
        let (spawned, pid) = oneshot::channel();
        std::thread::Builder::new().name("droplet".to_owned()).spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => {
                    let _ = spawned.send(Err(error));
                    return;
                }
            };
            let _ = spawned.send(Ok(child.id()));
            let exit = match child.wait() {
                Ok(status) => Exit { success: status.success(), description: describe(status) },
                Err(error) => Exit { success: false, description: error.to_string() },
            };
            let _ = exited.send(Some(exit));
        })?;
        let pid = pid.await.map_err(|_| std::io::Error::other("the thread of the droplet ended"))??;
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::InvalidData)?;
        let process =
            Self { handle: pidfd_open(pid, PidfdFlags::empty())?, exit, end_requested: AtomicBool::new(false) };
        let pid = pid.as_raw_nonzero().get();
        let record = ProcessRecord { pid, started: start_time(pid).unwrap_or_default() };
        if let Err(error) = write_atomically(&folder.join(RECORD), &serde_json::to_vec(&record)?) {
            process.kill();
            return Err(error);
        }
        Ok(process)
    }

    /// How it ended, if it has.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.exit.borrow().clone()
    }

    pub(super) async fn wait(&self) -> Exit {
        let mut exit = self.exit.clone();
        let found = exit.wait_for(Option::is_some).await.map(|exit| exit.clone());
        let unknown = || Exit { success: false, description: "it could not be watched".to_owned() };
        found.ok().flatten().unwrap_or_else(unknown)
    }

    /// From here on its end is expected.
    pub(super) fn request_end(&self) {
        self.end_requested.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_end_requested(&self) -> bool {
        self.end_requested.load(Ordering::Relaxed)
    }

    /// Ends it at once. Does nothing if it has ended already.
    pub(super) fn kill(&self) {
        self.request_end();
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }
}

fn command_that_dies_with_us(program: &Path) -> Command {
    let Some(setpriv) = find_program("setpriv") else { return Command::new(program) };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--no-new-privs", "--"]).arg(program);
    command
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

/// Field 22 of `/proc/PID/stat`. The name before it may contain anything, so fields are counted
/// from its last `)`.
fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Ends the process that is recorded in the folder, if it still is that process, and waits until it
/// is gone.
pub(super) fn reap(folder: &Path) {
    let path = folder.join(RECORD);
    let record: Option<ProcessRecord> = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let _ = std::fs::remove_file(&path);
    let Some((record, pid)) = record.and_then(|record| Pid::from_raw(record.pid).map(|pid| (record, pid))) else {
        return;
    };
    // The handle comes before the comparison: it cannot change to another process afterwards.
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let is_alive = || record.started != 0 && start_time(record.pid) == Some(record.started);
    if is_alive() {
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
    let begun = Instant::now();
    while is_alive() && begun.elapsed() < KILL_TIMEOUT {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Executes one command through the monitor of the machine in this folder (QMP: one JSON object per
/// line).
pub(super) async fn execute(folder: &Path, command: &str) -> std::io::Result<()> {
    let timeout = |_| Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "QEMU's monitor does not answer"));
    tokio::time::timeout(MONITOR_TIMEOUT, talk(folder, command)).await.unwrap_or_else(timeout)
}

/// Whether the monitor answers: then the machine is set up and its ports are bound.
pub(super) async fn is_up(folder: &Path) -> bool {
    tokio::time::timeout(Duration::from_secs(1), talk(folder, "query-status")).await.is_ok_and(|answer| answer.is_ok())
}

/// Connects to a socket in a folder. A socket's path has at most 107 bytes, but a state directory
/// may be deep: this goes through an open folder.
pub(super) async fn connect(folder: &Path, socket: &str) -> std::io::Result<UnixStream> {
    let opened = std::fs::File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{socket}", std::os::fd::AsRawFd::as_raw_fd(&opened))).await
}

async fn talk(folder: &Path, command: &str) -> std::io::Result<()> {
    let (read, mut write) = connect(folder, MONITOR_SOCKET).await?.into_split();
    let mut lines = BufReader::new(read).lines();
    read_message(&mut lines).await?;
    for command in ["qmp_capabilities", command] {
        write.write_all(format!("{}\n", json!({ "execute": command })).as_bytes()).await?;
        loop {
            let answer = read_message(&mut lines).await?;
            if let Some(error) = answer.get("error") {
                let description = error["desc"].as_str().unwrap_or("refused");
                return Err(std::io::Error::other(format!("{command}: {description}")));
            }
            // Other messages are events of the machine.
            if answer.get("return").is_some() {
                break;
            }
        }
    }
    Ok(())
}

async fn read_message(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> std::io::Result<Value> {
    let line = lines.next_line().await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    serde_json::from_str(&line).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_watched_killed_and_reaped() {
        let folder = tempfile::tempdir().unwrap();
        let sleep = Path::new("/bin/sleep");
        let process = Process::start(sleep, vec!["60".into()], folder.path()).await.unwrap();
        assert_eq!(process.exit(), None);
        let record: ProcessRecord =
            serde_json::from_slice(&std::fs::read(folder.path().join(RECORD)).unwrap()).unwrap();
        assert!(start_time(record.pid).is_some());
        reap(folder.path());
        assert_eq!(process.wait().await.description, "signal 9");
        assert_ne!(start_time(record.pid), Some(record.started));

        let process = Process::start(sleep, vec!["60".into()], folder.path()).await.unwrap();
        assert!(!process.is_end_requested());
        process.kill();
        assert!(process.is_end_requested());
        assert!(!process.wait().await.success);
    }

    #[tokio::test]
    async fn another_process_with_the_same_pid_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(Path::new("/bin/sleep"), vec!["60".into()], folder.path()).await.unwrap();
        let path = folder.path().join(RECORD);
        let mut record: ProcessRecord = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        record.started += 1;
        std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
        reap(folder.path());
        assert_eq!(process.exit(), None);
        process.kill();
        process.wait().await;
    }

    #[tokio::test]
    async fn the_monitor_skips_events_and_reports_errors() {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::UnixListener::bind(folder.path().join(MONITOR_SOCKET)).unwrap();
        let server = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"{\"QMP\": {}}\n").await.unwrap();
                while let Ok(Some(line)) = lines.next_line().await {
                    let answer = if line.contains("quit") {
                        "{\"event\": \"SHUTDOWN\"}\n{\"error\": {\"desc\": \"no\"}}\n"
                    } else {
                        "{\"event\": \"RESUME\"}\n{\"return\": {}}\n"
                    };
                    write.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        };
        let client = async {
            assert!(is_up(folder.path()).await);
            assert!(execute(folder.path(), "system_reset").await.is_ok());
            let error = execute(folder.path(), "quit").await.unwrap_err();
            assert_eq!(error.to_string(), "quit: no");
        };
        tokio::select! {
            () = client => {}
            () = server => {}
        }
    }
}
