//! Reading events: one transaction per event, once each, in order per key.
//!
//! A service has one [`Consumer`], named after it, which is its Kafka group. A
//! handler works on the transaction that also holds the inbox row. What it
//! answers decides: done, retry later (1, 2, 4 s, then dead letter), pause (a
//! dependency is down), or a dead letter at once.

pub mod faults;
pub mod runner;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sqlx::PgConnection;

use crate::error::{ApiError, Disposition};
use crate::outbox::{Envelope, Event};

/// An event with its payload still unparsed.
pub type Received = Envelope<Box<RawValue>>;

/// Work to do once the transaction of an event is committed.
pub type AfterCommit = Box<dyn FnOnce() + Send>;

/// What became of an event that was handled.
#[derive(Default)]
pub struct Done {
    pub after_commit: Option<AfterCommit>,
}

impl Done {
    pub fn quietly() -> Self {
        Done::default()
    }

    /// Runs `work` after the commit: waking a task, telling sockets.
    pub fn then(work: impl FnOnce() + Send + 'static) -> Self {
        Done { after_commit: Some(Box::new(work)) }
    }
}

/// Why an event could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// Tried again after 1, 2 and 4 s, then a dead letter.
    #[error("{code}: {error:#}")]
    Retry { code: &'static str, error: anyhow::Error },
    /// Something it needs is away: the consumer pauses, no attempt is burnt.
    #[error("dependency away: {0:#}")]
    Dependency(anyhow::Error),
    /// Can never be handled: a dead letter at once.
    #[error("{code}: {error:#}")]
    Poison { code: &'static str, error: anyhow::Error },
}

impl From<ApiError> for HandleError {
    fn from(error: ApiError) -> Self {
        let (code, pause) = (error.code, error.kind.disposition() == Disposition::Pause);
        let error = anyhow::anyhow!("{error:?}");
        if pause { HandleError::Dependency(error) } else { HandleError::Retry { code, error } }
    }
}

impl From<sqlx::Error> for HandleError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                HandleError::Dependency(error.into())
            }
            sqlx::Error::Database(refusal) if is_outage(refusal.code().as_deref()) => {
                HandleError::Dependency(sqlx::Error::Database(refusal).into())
            }
            other => HandleError::Retry { code: "database", error: other.into() },
        }
    }
}

/// SQLSTATE of a server that is stopping, starting, out of room or of
/// connections, or gone: nothing that the message is to blame for.
fn is_outage(code: Option<&str>) -> bool {
    code.is_some_and(|c| {
        matches!(c, "57P01" | "57P02" | "57P03") || c.starts_with("08") || c.starts_with("53")
    })
}

impl From<anyhow::Error> for HandleError {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<sqlx::Error>() {
            Ok(error) => error.into(),
            Err(error) => HandleError::Retry { code: "internal", error },
        }
    }
}

/// Handles one type of event on the consumer's transaction.
#[async_trait]
pub trait Handler: Send + Sync {
    async fn handle(&self, tx: &mut PgConnection, event: &Received) -> Result<Done, HandleError>;

    /// Whether the event would change nothing, as far as this process knows
    /// without asking anybody. See [`Handle::is_known`].
    fn is_known(&self, _event: &Received) -> bool {
        false
    }
}

/// Handles a typed event; the payload is parsed before, and what cannot be
/// parsed is poison.
#[async_trait]
pub trait Handle<E: Event>: Send + Sync {
    async fn handle(&self, tx: &mut PgConnection, event: &Envelope<E>)
    -> Result<Done, HandleError>;

    /// True only when handling would change nothing now and for ever, such as
    /// the echo of a command whose answer is stored already. Then the event is
    /// passed over without a transaction and without an inbox row.
    fn is_known(&self, _event: &Envelope<E>) -> bool {
        false
    }
}

/// Handles all events that came together, on one transaction: what a handler of
/// single events writes row by row goes into one statement for all.
#[async_trait]
pub trait HandleAll: Send + Sync {
    /// `events` are of one partition, in their order; only one when an earlier
    /// try of several failed. Types that were not asked for are not among them.
    async fn handle_all(
        &self,
        tx: &mut PgConnection,
        events: &[&Received],
    ) -> Result<Done, HandleError>;
}

/// One who handles all, asked for one.
struct OneOf(Arc<dyn HandleAll>);

#[async_trait]
impl Handler for OneOf {
    async fn handle(&self, tx: &mut PgConnection, event: &Received) -> Result<Done, HandleError> {
        self.0.handle_all(tx, &[event]).await
    }
}

/// The payload of an event as the type it is declared as.
pub fn payload<P: DeserializeOwned>(event: &Received) -> Result<P, HandleError> {
    serde_json::from_str(event.payload.get()).map_err(|e| HandleError::Poison {
        code: "undecodable",
        error: anyhow::anyhow!("payload of {}: {e}", event.event_type),
    })
}

struct Typed<E, H> {
    handler: Arc<H>,
    event: std::marker::PhantomData<fn() -> E>,
}

#[async_trait]
impl<E: Event + 'static, H: Handle<E>> Handler for Typed<E, H> {
    async fn handle(&self, tx: &mut PgConnection, event: &Received) -> Result<Done, HandleError> {
        let typed = decode::<E>(event)?;
        self.handler.handle(tx, &typed).await
    }

    fn is_known(&self, event: &Received) -> bool {
        decode::<E>(event).is_ok_and(|typed| self.handler.is_known(&typed))
    }
}

fn decode<P: DeserializeOwned>(event: &Received) -> Result<Envelope<P>, HandleError> {
    Ok(Envelope {
        payload: payload(event)?,
        event_id: event.event_id,
        event_type: event.event_type.clone(),
        occurred_at: event.occurred_at,
        producer: event.producer.clone(),
        trace_id: event.trace_id.clone(),
        correlation_id: event.correlation_id.clone(),
        causation_id: event.causation_id,
        schema_version: event.schema_version.clone(),
        partition_key: event.partition_key.clone(),
        aggregate_id: event.aggregate_id.clone(),
        aggregate_version: event.aggregate_version,
        tenant: event.tenant.clone(),
    })
}

/// A message of a topic that is taken as it is, such as a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMessage {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Empty for messages without one.
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: BTreeMap<String, String>,
}

/// Takes messages that are not read as events. There is no inbox row and no
/// dead letter behind it: it must know a message it has seen by its place, and
/// whatever it answers with an error is brought again until it is taken.
#[async_trait]
pub trait TakeRaw: Send + Sync {
    async fn take(&self, tx: &mut PgConnection, message: &RawMessage) -> anyhow::Result<()>;
}

/// What a service listens to.
pub struct Consumer {
    /// The service's name; also the Kafka group.
    pub name: &'static str,
    /// How long a fetch may wait at the broker: short where a buyer waits.
    pub fetch_wait: Duration,
    handlers: BTreeMap<&'static str, Arc<dyn Handler>>,
    raw: BTreeMap<&'static str, Arc<dyn TakeRaw>>,
    faults: Option<faults::Faults>,
    topics: Vec<&'static str>,
    /// What came together is handled in one transaction.
    together: bool,
    /// Who handles all of it at once.
    all: Option<Arc<dyn HandleAll>>,
}

impl Consumer {
    pub fn new(name: &'static str, fetch_wait: Duration) -> Self {
        Consumer {
            name,
            fetch_wait,
            handlers: BTreeMap::new(),
            raw: BTreeMap::new(),
            faults: None,
            topics: Vec::new(),
            together: false,
            all: None,
        }
    }

    /// Handles events that came together in one transaction, which saves most
    /// commits under load. Their rows stay locked until the last is done: right
    /// where no caller waits for those rows. When one of them fails, each gets
    /// a transaction of its own.
    pub fn together(mut self) -> Self {
        self.together = true;
        self
    }

    /// Listens to events of type `E`.
    pub fn on<E: Event + 'static, H: Handle<E> + 'static>(mut self, handler: Arc<H>) -> Self {
        if !self.topics.contains(&E::TOPIC) {
            self.topics.push(E::TOPIC);
        }
        let typed = Typed { handler, event: std::marker::PhantomData };
        self.handlers.insert(E::TYPE, Arc::new(typed));
        self
    }

    /// Listens to events of the type `E` by [`HandleAll`], which one object does
    /// for all types of this consumer. What came together is handled together.
    pub fn on_all<E: Event>(mut self, handler: Arc<dyn HandleAll>) -> Self {
        if !self.topics.contains(&E::TOPIC) {
            self.topics.push(E::TOPIC);
        }
        self.handlers.insert(E::TYPE, Arc::new(OneOf(handler.clone())));
        self.all = Some(handler);
        self.together()
    }

    /// Takes every message of `topic` as it is; nothing of it is read as an event.
    pub fn on_raw(mut self, topic: &'static str, taker: Arc<dyn TakeRaw>) -> Self {
        if !self.topics.contains(&topic) {
            self.topics.push(topic);
        }
        self.raw.insert(topic, taker);
        self
    }

    /// Fails on purpose from now on; only for drills and proofs.
    pub fn failing(mut self, faults: faults::Faults) -> Self {
        self.faults = Some(faults);
        self
    }

    /// Who takes the messages of `topic` as they are.
    pub fn raw_taker(&self, topic: &str) -> Option<&Arc<dyn TakeRaw>> {
        self.raw.get(topic)
    }

    pub fn topics(&self) -> &[&'static str] {
        &self.topics
    }

    /// Who handles at once what came together, where somebody does.
    pub fn all(&self) -> Option<&Arc<dyn HandleAll>> {
        self.all.as_ref()
    }

    /// The handler of an event type; types nobody listens to have none.
    pub fn handler(&self, event_type: &str) -> Option<&Arc<dyn Handler>> {
        self.handlers.get(event_type)
    }
}
