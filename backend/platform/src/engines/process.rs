//! Looking at and ending processes, and the log files of children.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::EngineError;

/// How often we look whether a process has gone.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A log larger than this is turned over; one older copy is kept.
const LOG_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// Ids of all processes we can see.
pub fn all_ids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Short name of a process.
pub fn name(pid: i32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().to_owned())
}

/// Whether the process exists and is more than an unreaped entry. One whose first
/// thread has ended still holds its ports while others run.
pub fn is_alive(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The state follows the name, which is in parentheses and may hold spaces; the
    // number of threads is the 18th field from there.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let mut fields = rest.split_whitespace();
    let ended = matches!(fields.next(), Some("Z" | "X") | None);
    !ended || fields.nth(16).and_then(|threads| threads.parse().ok()).unwrap_or(0) > 1
}

/// The folder a process works in.
pub fn working_dir(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The program file of a process, also when that file was replaced since.
pub fn program(pid: i32) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    match path.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
        Some(path) => Some(PathBuf::from(path)),
        None => Some(path),
    }
}

/// The arguments of a process, the program's name first.
pub fn arguments(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter(|argument| !argument.is_empty())
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

/// Sends a signal; a process that has gone already is no error.
pub fn signal(pid: i32, signal: Signal) {
    if let Err(error) = kill(Pid::from_raw(pid), signal)
        && error != nix::errno::Errno::ESRCH
    {
        tracing::warn!(pid, %signal, %error, "signal refused");
    }
}

/// Waits until the process has gone; false when `limit` passes first.
pub async fn gone_within(pid: i32, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while is_alive(pid) {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}

/// Ends a process that is not our child: each signal of `plan` gets its time,
/// then SIGKILL.
pub async fn end(pid: i32, plan: &[(Signal, Duration)]) {
    for (step, limit) in plan {
        signal(pid, *step);
        if gone_within(pid, *limit).await {
            return;
        }
    }
    signal(pid, Signal::SIGKILL);
    gone_within(pid, Duration::from_secs(5)).await;
}

/// The log file of one child: it appends by itself, we keep it from growing
/// without end.
#[derive(Debug, Clone)]
pub struct LogFile {
    path: PathBuf,
}

impl LogFile {
    /// The log at `path`, whose folder exists.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for a child to append to.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(&self) -> Result<File, EngineError> {
        self.turn_over();
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .map_err(EngineError::io(format!("write {}", self.path.display())))
    }

    /// Copies a log beyond the limit aside and empties it. The child appends,
    /// so it goes on at the new end without being told.
    pub fn turn_over(&self) {
        let too_long = fs::metadata(&self.path).is_ok_and(|meta| meta.len() > LOG_LIMIT_BYTES);
        if !too_long {
            return;
        }
        let older = self.path.with_extension("log.1");
        let turned = fs::copy(&self.path, older)
            .and_then(|_| OpenOptions::new().write(true).open(&self.path))
            .and_then(|file| file.set_len(0));
        if let Err(error) = turned {
            tracing::warn!(path = %self.path.display(), %error, "log could not be turned over");
        }
    }

    /// The last lines that say something, joined into one, for an error.
    pub fn last_words(&self) -> String {
        const TAIL_BYTES: u64 = 4096;
        let tail = File::open(&self.path).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        });
        let tail = tail.unwrap_or_default();
        let telling: Vec<&str> = tail
            .lines()
            .filter(|line| {
                ["FATAL", "ERROR", "rror:", "panicked"].iter().any(|word| line.contains(word))
            })
            .collect();
        let chosen = if telling.is_empty() { tail.lines().collect() } else { telling };
        let from = chosen.len().saturating_sub(2);
        format!("{} (more in {})", chosen[from..].join(" | "), self.path.display())
    }
}
