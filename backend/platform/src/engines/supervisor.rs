//! One child process: started, watched, started again when it dies, stopped
//! in order.

use std::future::Future;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::process::{self, LogFile};

/// Between two looks at an engine that is not ready yet.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// An engine that dies more often than this within [`RESTART_WINDOW`] is given
/// up, and the shop with it.
const RESTARTS_ALLOWED: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_secs(300);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
const LOG_CHECK_EVERY: Duration = Duration::from_secs(30);
/// An engine that misses so many looks in a row hangs, and is started again.
const PULSES_MISSED: u32 = 5;

/// What the supervisor must know about an engine.
pub trait Engine: Send + Sync + 'static {
    /// Name for messages.
    fn name(&self) -> &'static str;
    /// The command of a new child, its output not yet connected.
    fn command(&self) -> Command;
    /// Its log.
    fn log(&self) -> &LogFile;
    /// Signals to stop it with and how long each may take; SIGKILL follows.
    fn stop_plan(&self) -> &'static [(Signal, Duration)];
    /// How long it may take until it is ready.
    fn ready_deadline(&self) -> Duration;
    /// Ends what an earlier process left behind and checks that a new child
    /// can start.
    fn mend(&self) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Whether it serves now; an error is final.
    fn ready(&self) -> impl Future<Output = Result<bool, EngineError>> + Send;
    /// How often to look whether it still answers; its own death is noticed
    /// without looking.
    fn pulse_every(&self) -> Option<Duration> {
        None
    }
    /// Whether it answers. Bounded in time by the engine.
    fn pulse(&self) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }
}

/// How an engine is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineState {
    /// It serves.
    Ready,
    /// It died and is being started again.
    Restarting,
    /// It was given up; the reason is one line.
    Failed(String),
    /// It was stopped on request.
    Stopped,
}

/// Handle of a supervised engine. Dropping it stops the engine too, as long as
/// the runtime lives; [`Supervisor::stop`] also waits for the end.
#[derive(Debug)]
pub struct Supervisor {
    state: watch::Receiver<EngineState>,
    child_id: watch::Receiver<Option<i32>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Mends, starts and waits until the engine is ready.
    ///
    /// # Errors
    /// What kept it from becoming ready; no child is left running then.
    pub async fn start<E: Engine>(engine: E) -> Result<Self, EngineError> {
        let child = launch(&engine).await?;
        let (state_tx, state) = watch::channel(EngineState::Ready);
        let (id_tx, child_id) = watch::channel(id_of(&child));
        let stop = CancellationToken::new();
        let watcher = Watcher { engine, state: state_tx, child_id: id_tx, stop: stop.clone() };
        // The handle is kept and awaited by `stop`: this task is the lifecycle
        // of the child and must outlive the services it carries.
        let task = tokio::spawn(watcher.run(child));
        Ok(Self { state, child_id, stop, task })
    }

    /// Process id of the present child.
    pub fn child_id(&self) -> Option<i32> {
        *self.child_id.borrow()
    }

    /// How the engine is doing, now and later.
    pub fn state(&self) -> watch::Receiver<EngineState> {
        self.state.clone()
    }

    /// Stops the engine and waits for its end. Cancel-safe repetition is not
    /// needed: the watcher finishes the stop by itself once it was asked.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "engine watcher failed");
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Resolves with the reason when the engine is given up; never otherwise.
pub async fn given_up(mut state: watch::Receiver<EngineState>) -> String {
    loop {
        if let EngineState::Failed(reason) = &*state.borrow_and_update() {
            return reason.clone();
        }
        if state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

struct Watcher<E> {
    engine: E,
    state: watch::Sender<EngineState>,
    child_id: watch::Sender<Option<i32>>,
    stop: CancellationToken,
}

impl<E: Engine> Watcher<E> {
    async fn run(self, mut child: Child) {
        let mut deaths: Vec<Instant> = Vec::new();
        loop {
            let Some(end) = self.watch(&mut child).await else {
                stop_child(&self.engine, &mut child).await;
                self.child_id.send_replace(None);
                self.state.send_replace(EngineState::Stopped);
                return;
            };
            self.child_id.send_replace(None);
            self.state.send_replace(EngineState::Restarting);
            tracing::error!(engine = self.engine.name(), %end, "engine died, starting it again");
            match self.restart(&mut deaths, end).await {
                Some(next) => child = next,
                None => return,
            }
        }
    }

    /// Waits for the child's end (its description) or the request to stop.
    async fn watch(&self, child: &mut Child) -> Option<String> {
        let mut log_check = tokio::time::interval(LOG_CHECK_EVERY);
        let mut hang = std::pin::pin!(self.hang());
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = &mut hang => {
                    // No signal that it could ignore: it answers nothing.
                    if let Err(error) = child.kill().await {
                        tracing::error!(engine = self.engine.name(), %error, "cannot be killed");
                    }
                    return Some("it no longer answered".to_owned());
                }
                end = child.wait() => return Some(match end {
                    Ok(status) => status.to_string(),
                    Err(error) => error.to_string(),
                }),
                _ = log_check.tick() => self.engine.log().turn_over(),
            }
        }
    }

    /// Resolves when the engine lives and answers no more.
    async fn hang(&self) {
        let Some(every) = self.engine.pulse_every() else {
            return std::future::pending().await;
        };
        let mut missed = 0;
        while missed < PULSES_MISSED {
            tokio::time::sleep(every).await;
            missed = if self.engine.pulse().await { 0 } else { missed + 1 };
        }
    }

    /// Starts the engine again with growing pauses; `None` when it was given
    /// up or asked to stop, the state telling which.
    async fn restart(&self, deaths: &mut Vec<Instant>, mut reason: String) -> Option<Child> {
        loop {
            deaths.retain(|at| at.elapsed() < RESTART_WINDOW);
            deaths.push(Instant::now());
            if deaths.len() > RESTARTS_ALLOWED {
                let last = format!(
                    "{} died {} times within {} s: {reason}",
                    self.engine.name(),
                    deaths.len(),
                    RESTART_WINDOW.as_secs()
                );
                tracing::error!("{last}");
                self.state.send_replace(EngineState::Failed(last));
                return None;
            }
            let doublings = u32::try_from(deaths.len() - 1).unwrap_or(u32::MAX).min(10);
            let pause = (FIRST_BACKOFF * 2_u32.pow(doublings)).min(LONGEST_BACKOFF);
            tokio::select! {
                () = self.stop.cancelled() => {
                    self.state.send_replace(EngineState::Stopped);
                    return None;
                }
                () = tokio::time::sleep(pause) => {}
            }
            match launch(&self.engine).await {
                Ok(child) => {
                    self.child_id.send_replace(id_of(&child));
                    self.state.send_replace(EngineState::Ready);
                    tracing::info!(engine = self.engine.name(), "engine serves again");
                    return Some(child);
                }
                Err(error) => reason = error.to_string(),
            }
        }
    }
}

/// Mends, spawns and waits for readiness; on failure the child is ended.
async fn launch<E: Engine>(engine: &E) -> Result<Child, EngineError> {
    engine.mend().await?;
    let output = engine.log().open()?;
    let errors = output
        .try_clone()
        .map_err(EngineError::io(format!("write {}", engine.log().path().display())))?;
    let mut command = engine.command();
    // A group of its own: Ctrl-C in the terminal is for us, and we stop the
    // engines after the services that need them.
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
        .map_err(EngineError::io(format!("start {}", engine.name())))?;
    match await_ready(engine, &mut child).await {
        Ok(()) => Ok(child),
        Err(error) => {
            stop_child(engine, &mut child).await;
            Err(error)
        }
    }
}

async fn await_ready<E: Engine>(engine: &E, child: &mut Child) -> Result<(), EngineError> {
    let deadline = Instant::now() + engine.ready_deadline();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(EngineError::Failed {
                engine: engine.name(),
                reason: format!("ended at its start ({status}): {}", engine.log().last_words()),
            });
        }
        if engine.ready().await? {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(EngineError::Failed {
                engine: engine.name(),
                reason: format!(
                    "was not ready within {} s: {}",
                    engine.ready_deadline().as_secs(),
                    engine.log().last_words()
                ),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn stop_child<E: Engine>(engine: &E, child: &mut Child) {
    for (signal, limit) in engine.stop_plan() {
        let Some(pid) = id_of(child) else { return };
        process::signal(pid, *signal);
        if tokio::time::timeout(*limit, child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(engine = engine.name(), %signal, "engine did not stop in time");
    }
    if let Err(error) = child.kill().await {
        tracing::error!(engine = engine.name(), %error, "engine cannot be killed");
    }
}

fn id_of(child: &Child) -> Option<i32> {
    child.id().and_then(|id| i32::try_from(id).ok())
}
