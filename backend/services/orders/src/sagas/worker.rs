//! Drives sagas: at once when something in this process touched them, else
//! when they are due. A lease in the row keeps two processes apart, a map in
//! memory two tasks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use platform::telemetry::{self, SpanKind};
use platform::{ApiError, instance, trace};
use shared_types::{OrderId, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::apply::{Applied, apply};
use super::{steps, trace_of};
use crate::app::App;
use crate::domain::saga::{Saga, State, next_step};
use crate::store;
use crate::store::sagas::{Lease, Loaded};

/// Orders that may wait to be taken up; beyond that polling finds them.
const QUEUE: usize = 16_384;
/// A saga that takes more steps than this in one go lets others go first.
const MAX_STEPS: usize = 64;
/// How often leases of processes that are gone are looked for.
const WAKE_EVERY: Duration = Duration::from_secs(1);
/// Holders of leases that are looked at in one go.
const MOST_HOLDERS: i64 = 100;
/// A lease of this process that is so old and on which nobody here works was left
/// by a failure: the answer to a commit was lost, or letting go failed.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(1);
/// A step must end so long before the lease does.
const LEASE_MARGIN: Duration = Duration::from_secs(4);

/// Where the rest of the service hands orders to the worker.
pub struct WorkerHandle {
    /// Names this process in leases.
    instance: Uuid,
    lease: Duration,
    longest_step: Duration,
    queue: mpsc::Sender<Touched>,
    waiting: Mutex<Option<mpsc::Receiver<Touched>>>,
}

/// An order to look at.
enum Touched {
    Known(Box<Loaded>),
    Changed(OrderId),
}

impl WorkerHandle {
    pub fn new(lease: Duration, longest_step: Duration) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let waiting = Mutex::new(Some(waiting));
        WorkerHandle { instance: instance::here(), lease, longest_step, queue, waiting }
    }

    /// Takes the order up now. When the queue is full, polling finds it.
    pub fn wake(&self, order_id: OrderId) {
        let _ = self.queue.try_send(Touched::Changed(order_id));
    }

    /// Takes a new order up now, as it was stored with a lease of ours.
    pub fn start(&self, loaded: Loaded) {
        let _ = self.queue.try_send(Touched::Known(Box::new(loaded)));
    }

    /// Until when a lease must hold for a step to begin.
    fn lease_needed(&self, now: Timestamp) -> Timestamp {
        now.plus(self.longest_step + LEASE_MARGIN)
    }

    fn mine(&self, now: Timestamp) -> Lease {
        Lease { owner: self.instance, until: now.plus(self.lease) }
    }

    /// The lease of a saga that this worker has just moved: kept while there
    /// is more to do.
    pub fn lease_after_step(&self, saga: &Saga, now: Timestamp) -> Option<Lease> {
        is_due(saga, now).then(|| self.mine(now))
    }

    /// The lease of a new saga that is due at once: ours, so that nobody needs
    /// to claim it first, unless the queue could not take it.
    pub fn lease_of_new(&self, saga: &Saga, now: Timestamp) -> Option<Lease> {
        (is_due(saga, now) && self.queue.capacity() > 0).then(|| self.mine(now))
    }

    /// The lease of a saga that was changed from outside the worker: whoever
    /// works on it now goes on, else it is ours.
    pub fn lease_beside(&self, loaded: &Loaded, saga: &Saga, now: Timestamp) -> Option<Lease> {
        match loaded.lease {
            Some(lease) if lease.until > now => Some(lease),
            _ => self.lease_of_new(saga, now),
        }
    }
}

fn is_due(saga: &Saga, now: Timestamp) -> bool {
    saga.next_run_at.is_some_and(|at| at <= now)
}

/// The worker's task: ends with the drain, after the steps under way.
pub async fn run(app: Arc<App>) -> anyhow::Result<()> {
    let receiver = app.worker.waiting.lock().unwrap_or_else(|p| p.into_inner()).take();
    let mut queue = receiver.ok_or_else(|| anyhow::anyhow!("the saga worker runs already"))?;
    let mut tasks: JoinSet<OrderId> = JoinSet::new();
    // Orders under way, and whether they were touched meanwhile.
    let mut running: HashMap<OrderId, bool> = HashMap::new();
    let mut tick = tokio::time::interval(Duration::from_millis(app.config.poll_ms));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut wake = tokio::time::interval(WAKE_EVERY);
    wake.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let free = app.config.concurrency.saturating_sub(tasks.len());
        tokio::select! {
            () = app.ctx.lifecycle.draining() => break,
            Some(done) = tasks.join_next() => finished(&app, &mut tasks, &mut running, done),
            Some(touched) = queue.recv(), if free > 0 => {
                start(&app, &mut tasks, &mut running, touched);
            }
            _ = wake.tick() => free_from_the_dead(&app).await,
            _ = tick.tick(), if free > 0 => {
                for order_id in due(&app, free, &running).await {
                    start(&app, &mut tasks, &mut running, Touched::Changed(order_id));
                }
            }
        }
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

fn start(
    app: &Arc<App>,
    tasks: &mut JoinSet<OrderId>,
    running: &mut HashMap<OrderId, bool>,
    touched: Touched,
) {
    let (order_id, known) = match touched {
        Touched::Known(loaded) => (loaded.order_id, Some(*loaded)),
        Touched::Changed(order_id) => (order_id, None),
    };
    if let Some(touched) = running.get_mut(&order_id) {
        *touched = true;
        return;
    }
    running.insert(order_id, false);
    let app = app.clone();
    tasks.spawn(async move {
        // A panic must not take the order's place in `running` for ever.
        let work = std::panic::AssertUnwindSafe(run_known(&app, order_id, known));
        match futures_util::FutureExt::catch_unwind(work).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%order_id, ?error, "a saga stopped; it is tried again");
                let owner = app.worker.instance;
                if let Err(error) = store::sagas::let_go(&app.ctx.pool, order_id, owner).await {
                    tracing::warn!(%order_id, %error, "its lease ends by itself");
                }
            }
            Err(_) => tracing::error!(%order_id, "a saga panicked; it is tried again"),
        }
        order_id
    });
}

fn finished(
    app: &Arc<App>,
    tasks: &mut JoinSet<OrderId>,
    running: &mut HashMap<OrderId, bool>,
    done: Result<OrderId, tokio::task::JoinError>,
) {
    let Ok(order_id) = done else { return };
    if running.remove(&order_id) == Some(true) {
        start(app, tasks, running, Touched::Changed(order_id));
    }
}

/// A process that is gone holds nothing: what it worked on need not wait for the
/// end of its leases.
async fn free_from_the_dead(app: &App) {
    let work = async {
        let now = app.ctx.clock.now();
        let mut holders = store::sagas::holders(&app.ctx.pool, now, MOST_HOLDERS).await?;
        holders.retain(|holder| instance::is_gone(*holder));
        if holders.is_empty() {
            return Ok(0);
        }
        store::sagas::free(&app.ctx.pool, &holders, now).await
    };
    match work.await {
        Ok(0) => {}
        Ok(freed) => tracing::info!(freed, "sagas of a process that is gone are taken up"),
        Err::<_, sqlx::Error>(error) => tracing::warn!(%error, "leases could not be looked at"),
    }
}

async fn due(app: &App, limit: usize, running: &HashMap<OrderId, bool>) -> Vec<OrderId> {
    let now = app.ctx.clock.now();
    let forgotten = store::sagas::Forgotten {
        until: now.plus(app.worker.lease.saturating_sub(FORGOTTEN_AFTER)),
        except: running.keys().map(|order| order.0).collect(),
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mine = app.worker.mine(now);
    match store::sagas::claim_due(&app.ctx.pool, mine, now, &forgotten, limit).await {
        Ok(orders) => orders,
        Err(error) => {
            tracing::warn!(%error, "due sagas could not be looked for");
            Vec::new()
        }
    }
}

/// Takes steps until the saga rests.
pub async fn run_order(app: &App, order_id: OrderId) -> Result<(), ApiError> {
    run_known(app, order_id, None).await
}

/// The same for a saga that may need no loading.
async fn run_known(
    app: &App,
    order_id: OrderId,
    mut known: Option<Loaded>,
) -> Result<(), ApiError> {
    for _ in 0..MAX_STEPS {
        if app.ctx.lifecycle.is_draining() {
            break;
        }
        match step(app, order_id, known.take()).await? {
            Next::Rest => break,
            Next::Again => {}
            Next::On(loaded) => known = Some(*loaded),
        }
    }
    Ok(())
}

/// Takes one step; false when there is none to take.
pub async fn step_order(app: &App, order_id: OrderId) -> Result<bool, ApiError> {
    Ok(!matches!(step(app, order_id, None).await?, Next::Rest))
}

/// What follows a step.
enum Next {
    Rest,
    /// Load it and look.
    Again,
    /// As it was stored, so that it need not be loaded.
    On(Box<Loaded>),
}

/// What the next step would load, on the straight way only: elsewhere a
/// decision changes rows that are loaded with the saga. Should somebody else
/// have changed it meanwhile, its version tells.
fn carried_on(app: &App, before: Loaded, saga: Saga, now: Timestamp) -> Next {
    let straight = matches!(before.saga.state, State::Authorizing | State::Deciding)
        && saga.state == State::Confirming
        && before.refund.is_none();
    if !straight {
        return Next::Again;
    }
    let (version, lease) = (before.version + 1, Some(app.worker.mine(now)));
    Next::On(Box::new(Loaded { saga, version, lease, attempt: None, ..before }))
}

/// Takes one step, on the saga as `known` or as it is loaded.
async fn step(app: &App, order_id: OrderId, known: Option<Loaded>) -> Result<Next, ApiError> {
    let now = app.ctx.clock.now();
    let long_enough = app.worker.lease_needed(now);
    let known = known
        .filter(|loaded| loaded.lease.is_some_and(|lease| lease.until >= long_enough))
        .and_then(|loaded| next_step(&loaded.saga, now).map(|step| (loaded, step)));
    let taken = match known {
        Some(known) => Some(known),
        None => taken_up(app, order_id).await?,
    };
    let Some((loaded, step)) = taken else { return Ok(Next::Rest) };
    let started = std::time::Instant::now();
    let work = async {
        app.faults.pass("before the calls of a step")?;
        let input = steps::perform(app, &loaded, step).await?;
        app.faults.pass("after the calls of a step")?;
        tracing::debug!(%order_id, ?step, ?input, "saga step");
        apply(app, &loaded, input).await
    };
    let context = trace_of(&loaded);
    let span =
        telemetry::begin("orders", SpanKind::Internal, &context, || format!("saga {step:?}"));
    let applied = trace::within(context, work).await;
    span.end(applied.is_err());
    let applied = applied?;
    metrics::histogram!("saga_step_seconds", "step" => format!("{step:?}"))
        .record(started.elapsed().as_secs_f64());
    let now = app.ctx.clock.now();
    Ok(match applied {
        Applied::Moved(saga) if is_due(&saga, now) => carried_on(app, loaded, *saga, now),
        Applied::Stale => Next::Again,
        Applied::Moved(_) | Applied::Nothing => Next::Rest,
    })
}

/// Loads the order and makes sure that it is ours for as long as a step takes.
pub async fn taken_up(
    app: &App,
    order_id: OrderId,
) -> Result<Option<(Loaded, crate::domain::saga::Step)>, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    let Some(loaded) = store::sagas::find(&mut connection, order_id).await? else {
        return Ok(None);
    };
    drop(connection);
    let now = app.ctx.clock.now();
    let Some(step) = next_step(&loaded.saga, now) else { return Ok(None) };
    let needed = app.worker.lease_needed(now);
    let mine = app.worker.mine(now);
    let ours = match loaded.lease {
        Some(lease) if lease.owner == mine.owner && lease.until >= needed => true,
        Some(lease) if lease.owner == mine.owner && lease.until > now => {
            store::sagas::renew(&app.ctx.pool, order_id, loaded.version, mine).await?
        }
        Some(lease) if lease.until > now => false,
        // Loaded before it was ours: load again.
        _ => {
            if !store::sagas::claim(&app.ctx.pool, order_id, mine, now).await? {
                return Ok(None);
            }
            return Ok(store::sagas::find(&mut *app.ctx.pool.acquire().await?, order_id)
                .await?
                .and_then(|loaded| next_step(&loaded.saga, now).map(|step| (loaded, step))));
        }
    };
    Ok(ours.then_some((loaded, step)))
}
