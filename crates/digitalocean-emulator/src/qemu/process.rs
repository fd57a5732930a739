//! A virtual machine's process: started, watched, and never left behind.
//!
//! Three things see to that. The kernel kills QEMU when this process dies (`setpriv --pdeathsig`, of util-linux); that
//! is bound to the *thread* that started it, which is why each machine has a thread of its own that lives as long as it
//! does. Whoever drops the emulator kills its machines. And each folder names its process (pid and start time), so that
//! the next emulator on the same state directory ends what might still be there.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::cloud::store::replace;

/// The record's name in the droplet's folder.
const RECORD: &str = "process.json";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    pid: i32,
    /// In clock ticks since the machine was booted: tells a process from a later one with the same pid.
    started: u64,
}

/// A process that runs, or has ended.
pub(super) struct Process {
    handle: OwnedFd,
    ended: watch::Receiver<Option<Ended>>,
    /// Whether its end was asked for.
    asked: AtomicBool,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) good: bool,
    pub(super) text: String,
}

impl Process {
    /// Starts `program` in the folder; its output goes to `log` there.
    pub(super) async fn start(program: &Path, arguments: Vec<String>, folder: &Path) -> std::io::Result<Self> {
        let log = std::fs::File::create(folder.join("qemu.log"))?;
        let mut command = guarded(program);
        command
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", super::SEARCH_PATH)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let (tell, ended) = watch::channel(None);
        let (started, start) = oneshot::channel();
        std::thread::Builder::new().name("droplet".to_owned()).spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let _ = started.send(Ok(child.id()));
            let ended = match child.wait() {
                Ok(status) => Ended { good: status.success(), text: describe(status) },
                Err(error) => Ended { good: false, text: error.to_string() },
            };
            let _ = tell.send(Some(ended));
        })?;
        let pid = start.await.map_err(|_| std::io::Error::other("the thread of the droplet ended"))??;
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::InvalidData)?;
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        let process = Self { handle, ended, asked: AtomicBool::new(false) };
        let raw = pid.as_raw_nonzero().get();
        let record = Record { pid: raw, started: start_time(raw).unwrap_or_default() };
        if let Err(error) = replace(&folder.join(RECORD), &serde_json::to_vec(&record)?) {
            process.kill();
            return Err(error);
        }
        Ok(process)
    }

    pub(super) fn has_ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        let found = ended.wait_for(Option::is_some).await.map(|ended| ended.clone());
        match found {
            Ok(Some(ended)) => ended,
            _ => Ended { good: false, text: "it could not be watched".to_owned() },
        }
    }

    /// From here on its end is no surprise.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Ends it at once. Of a process that has ended already, nothing is hit.
    pub(super) fn kill(&self) {
        self.ask();
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }
}

/// The command, so started that the kernel ends it with this process, where util-linux can do that.
fn guarded(program: &Path) -> Command {
    match super::program("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

/// Field 22 of `/proc/PID/stat`. The command's name before it may hold anything, so fields count from its last `)`.
fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Ends the process that the folder names, if it is still that one, and waits until it is gone.
pub(super) fn reap(folder: &Path) {
    let path = folder.join(RECORD);
    let record: Option<Record> = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let _ = std::fs::remove_file(&path);
    let Some(record) = record else { return };
    let Some(pid) = Pid::from_raw(record.pid) else { return };
    // The handle first, the comparison then: what the handle means can't change any more.
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if record.started == 0 || start_time(record.pid) != Some(record.started) {
        return;
    }
    let _ = pidfd_send_signal(&handle, Signal::KILL);
    for _ in 0..200 {
        if start_time(record.pid) != Some(record.started) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_watched_killed_and_reaped() {
        let folder = tempfile::tempdir().unwrap();
        let sleep = Path::new("/bin/sleep");
        let process = Process::start(sleep, vec!["60".into()], folder.path()).await.unwrap();
        assert_eq!(process.has_ended(), None);
        let record: Record = serde_json::from_slice(&std::fs::read(folder.path().join(RECORD)).unwrap()).unwrap();
        assert!(start_time(record.pid).is_some());
        reap(folder.path());
        assert_eq!(process.ended().await.text, "signal 9");
        assert_ne!(start_time(record.pid), Some(record.started));

        let process = Process::start(sleep, vec!["60".into()], folder.path()).await.unwrap();
        process.kill();
        assert!(process.was_asked());
        assert!(!process.ended().await.good);
    }

    #[tokio::test]
    async fn another_process_with_the_same_pid_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(Path::new("/bin/sleep"), vec!["60".into()], folder.path()).await.unwrap();
        let path = folder.path().join(RECORD);
        let mut record: Record = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        record.started += 1;
        std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
        reap(folder.path());
        assert_eq!(process.has_ended(), None);
        process.kill();
        process.ended().await;
    }
}
