//! Logs: human-readable at a terminal, JSON lines elsewhere.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};
use crate::engines::process::LogFile;

/// Installs the process's subscriber, writing into a file that is turned over
/// before it grows too long: for a shop whose terminal is for its owner.
/// JSON lines, unless the format is `text`.
pub fn install_to(log: &Log, file: LogFile) -> anyhow::Result<()> {
    let writer = Mutex::new(Turning { file: file.open()?, log: file, written: 0 });
    let registry = tracing_subscriber::registry().with(filter(log)?);
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    let done = if log.format == LogFormat::Text {
        registry.with(layer.with_target(false)).try_init()
    } else {
        registry.with(layer.json().flatten_event(true).with_current_span(false)).try_init()
    };
    if done.is_err() {
        tracing::debug!("logging was installed already");
    }
    Ok(())
}

fn filter(log: &Log) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(&log.level)
        .map_err(|e| anyhow::anyhow!("log.level: {:?} is not a filter: {e}", log.level))
}

/// A log file that looks at its length now and then.
struct Turning {
    file: File,
    log: LogFile,
    written: usize,
}

/// Bytes between two looks.
const LOOK_EVERY: usize = 1 << 20;

impl Write for Turning {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.written += count;
        if self.written >= LOOK_EVERY {
            self.written = 0;
            self.log.turn_over();
        }
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Installs the process's subscriber. Called by `main` only; a second call does
/// nothing.
pub fn install(log: &Log) -> anyhow::Result<()> {
    let filter = filter(log)?;
    let human = match log.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let done = if human {
        let layer =
            tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr);
        registry.with(layer).try_init()
    } else {
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_writer(std::io::stderr);
        registry.with(layer).try_init()
    };
    if done.is_err() {
        tracing::debug!("logging was installed already");
    }
    Ok(())
}
