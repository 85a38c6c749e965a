//! The engines of the one-machine shop: a private PostgreSQL, an embedded event
//! log and a federation router, run as supervised children of this process.
//!
//! Owns: [`home::Home`] (the state folder and its lock), the database cluster
//! and its roles ([`postgres`]), the broker and its topics ([`broker`]), the
//! federation router ([`router`]), and where engine programs come from
//! ([`binary`]).
//!
//! Invariants: a child never outlives an orderly stop; what a killed parent
//! leaves behind is ended by the next start before a new child begins; data is
//! never shared between two state folders; every failure is one line a person
//! can act on. Start reading at [`postgres::Postgres::start`].

pub mod binary;
pub mod broker;
pub mod home;
pub mod pins;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod router;
pub mod supervisor;

use std::fmt;
use std::sync::Arc;

/// Why an engine could not be found, started or prepared. Every variant prints
/// as one line that names the thing and, where there is one, the way out; the
/// cause is part of that line, so it is not offered as a source once more.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another process listens on a port this shop needs.
    #[error("port {port} ({purpose}) is taken{}", holder_phrase(.holder))]
    PortTaken {
        /// The port on 127.0.0.1.
        port: u16,
        /// What the shop wanted it for.
        purpose: &'static str,
        /// Name and process id of the holder, where the system tells.
        holder: Option<String>,
    },
    /// A program or account the engine needs is not on this machine.
    #[error("{what} is missing: {hint}")]
    Missing {
        /// What is missing.
        what: String,
        /// How to get it.
        hint: String,
    },
    /// The state folder cannot be used as it is.
    #[error("{0}")]
    Home(String),
    /// The engine ran and failed.
    #[error("{engine} {reason}")]
    Failed {
        /// Which engine.
        engine: &'static str,
        /// What happened, with the last words of its log.
        reason: String,
    },
    /// The operating system refused something.
    #[error("cannot {doing}: {reason}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's answer.
        reason: std::io::Error,
    },
    /// The database refused something.
    #[error("cannot {doing}: {reason}")]
    Database {
        /// What was being done.
        doing: String,
        /// The database's answer.
        reason: sqlx::Error,
    },
    /// The event log refused something.
    #[error("cannot {doing}: {reason}")]
    Log {
        /// What was being done.
        doing: String,
        /// The client's answer.
        reason: rdkafka::error::KafkaError,
    },
}

impl EngineError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |reason| Self::Io { doing, reason }
    }

    pub(crate) fn database(doing: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let doing = doing.into();
        move |reason| Self::Database { doing, reason }
    }

    pub(crate) fn log(doing: impl Into<String>) -> impl FnOnce(rdkafka::error::KafkaError) -> Self {
        let doing = doing.into();
        move |reason| Self::Log { doing, reason }
    }
}

fn holder_phrase(holder: &Option<String>) -> String {
    match holder {
        Some(holder) => format!(" by {holder}"),
        None => String::new(),
    }
}

/// Where engines tell a person what they are doing, one line at a time.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&str) + Send + Sync>);

impl Progress {
    /// Reports through `say`.
    pub fn new(say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(say))
    }

    /// Reports into the log only.
    pub fn quiet() -> Self {
        Self::new(|line| tracing::debug!(target: "engines", "{line}"))
    }

    /// Says one line.
    pub fn say(&self, line: impl AsRef<str>) {
        (self.0)(line.as_ref());
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
