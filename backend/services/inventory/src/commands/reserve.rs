//! Holding stock for orders: all lines of an order or none.
//!
//! Several orders may share one transaction; they are served in the order of
//! their arrival, and each gets the answer it would have got alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use contracts::events::inventory::{HeldLine, ReservationHeld};
use platform::outbox::NewEvent;
use platform::trace::TraceContext;
use platform::{ApiError, Failure, Kind};
use shared_types::inventory::ShortLine;
use shared_types::{FieldError, OrderId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Stockroom, effects};
use crate::domain::hold::{self, Hold, HoldLine, HoldStatus, ReserveStep};
use crate::domain::level::Delta;
use crate::domain::shelf::{Shelf, ShortOf, Wanted};
use crate::store;
use crate::store::shelf::{Effects, NewHold, WriteError};

/// One order's wish.
#[derive(Clone, Debug)]
pub struct Reserve {
    pub order_id: OrderId,
    pub wanted: Wanted,
    pub ttl: Duration,
    /// The piece of work its events belong to.
    pub context: TraceContext,
}

/// The answer.
#[derive(Clone, Debug)]
pub enum Reserved {
    Held {
        expires_at: Option<Timestamp>,
        lines: Vec<HeldLine>,
        /// It was held before: no event was published now.
        repeated: bool,
    },
    /// Nothing was held; what was short and what there was.
    Short(Vec<ShortLine>),
}

#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    #[error("Nobody ever opened stock for {}.", .0.join(", "))]
    UnknownSkus(Vec<String>),
    #[error("This order holds other lines already.")]
    Differs,
    #[error("This order was given up; nothing can be held for it.")]
    Ended,
    #[error("Too many reservations wait; please try again in a moment.")]
    Overloaded,
    #[error("The hold kept changing; please try again in a moment.")]
    Raced,
}

impl Failure for ReserveError {
    fn kind(&self) -> Kind {
        match self {
            ReserveError::UnknownSkus(_) => Kind::Invalid,
            ReserveError::Differs | ReserveError::Ended => Kind::Refused,
            ReserveError::Overloaded | ReserveError::Raced => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            ReserveError::UnknownSkus(_) => "inventory.unknown_sku",
            ReserveError::Differs => "inventory.order_differs",
            ReserveError::Ended => "inventory.order_ended",
            ReserveError::Overloaded => "inventory.overloaded",
            ReserveError::Raced => "inventory.raced",
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        let ReserveError::UnknownSkus(skus) = self else { return Vec::new() };
        let error = |sku: &String| FieldError {
            field: "lines".to_owned(),
            code: "unknown_sku".to_owned(),
            message: format!("{sku} is not known"),
        };
        skus.iter().take(100).map(error).collect()
    }
}

/// Why a whole transaction of reservations came to nothing.
#[derive(Debug)]
pub enum BatchError {
    /// Somebody made one of the holds meanwhile: try again.
    Raced,
    Failed(ApiError),
}

impl From<sqlx::Error> for BatchError {
    fn from(error: sqlx::Error) -> Self {
        BatchError::Failed(error.into())
    }
}

impl From<ApiError> for BatchError {
    fn from(error: ApiError) -> Self {
        BatchError::Failed(error)
    }
}

impl From<WriteError> for BatchError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Raced => BatchError::Raced,
            WriteError::Database(error) => error.into(),
        }
    }
}

pub type Answer = Result<Reserved, ReserveError>;

/// Holds stock for one order, sharing a transaction with whoever asks at the
/// same time.
pub async fn reserve(room: &Stockroom, wish: Reserve) -> Result<Reserved, ApiError> {
    let started = Instant::now();
    let answer = room.lanes.reserve(room, wish).await;
    metrics::histogram!("inventory_reserve_duration_seconds")
        .record(started.elapsed().as_secs_f64());
    let failed = match &answer {
        Ok(Reserved::Held { .. }) => return answer,
        Ok(Reserved::Short(_)) => "short",
        Err(error) if error.kind == Kind::Invalid || error.kind == Kind::Refused => "refused",
        Err(_) => "error",
    };
    metrics::counter!("inventory_reservation_failures_total", "reason" => failed).increment(1);
    answer
}

/// Serves `wishes` on this transaction. Nothing was written when all answers
/// are refusals or repetitions.
pub async fn on(
    room: &Stockroom,
    tx: &mut PgConnection,
    wishes: &[&Reserve],
) -> Result<Vec<Answer>, BatchError> {
    let keys: BTreeSet<&str> =
        wishes.iter().flat_map(|w| w.wanted.keys().map(String::as_str)).collect();
    let keys: Vec<&str> = keys.into_iter().collect();
    let shelf = store::shelf::lock(tx, &keys).await?;
    // After the lock, so that whoever held for the same order is seen.
    let orders: Vec<Uuid> = wishes.iter().map(|w| w.order_id.0).collect();
    let known = store::holds::find(tx, &orders).await?;
    let mut batch = Batch::over(room, shelf, known);
    let answers: Vec<Answer> =
        wishes.iter().map(|wish| batch.serve(wish)).collect::<Result<_, ApiError>>()?;
    batch.write(tx).await?;
    Ok(answers)
}

struct Batch<'a> {
    room: &'a Stockroom,
    now: Timestamp,
    shelf: Shelf,
    before: BTreeMap<String, i64>,
    known: HashMap<Uuid, Hold>,
    effects: Effects,
    /// Orders whose expired hold makes way for a new one.
    renewed: Vec<Uuid>,
    events: Vec<NewEvent>,
    contexts: BTreeMap<String, TraceContext>,
}

impl<'a> Batch<'a> {
    fn over(room: &'a Stockroom, shelf: Shelf, known: HashMap<Uuid, Hold>) -> Self {
        Batch {
            room,
            now: room.clock.now(),
            before: effects::availability(&shelf),
            shelf,
            known,
            effects: Effects::default(),
            renewed: Vec::new(),
            events: Vec::new(),
            contexts: BTreeMap::new(),
        }
    }

    fn serve(&mut self, wish: &Reserve) -> Result<Answer, ApiError> {
        let unknown = self.shelf.unknown(&wish.wanted);
        if !unknown.is_empty() {
            let unknown = unknown.into_iter().map(str::to_owned).collect();
            return Ok(Err(ReserveError::UnknownSkus(unknown)));
        }
        let hold = self.known.get(&wish.order_id.0);
        match hold::reserve(hold, &wish.wanted) {
            ReserveStep::Take => self.take(wish),
            ReserveStep::TakeAgain => {
                let answer = self.take(wish)?;
                if let Ok(Reserved::Held { .. }) = &answer {
                    self.renewed.push(wish.order_id.0);
                }
                Ok(answer)
            }
            ReserveStep::Repeat { expires_at } => {
                let lines = hold.map(|h| effects::held_lines(&self.shelf, &h.lines));
                let lines = lines.unwrap_or_default();
                Ok(Ok(Reserved::Held { expires_at, lines, repeated: true }))
            }
            ReserveStep::Differs => Ok(Err(ReserveError::Differs)),
            ReserveStep::Ended => Ok(Err(ReserveError::Ended)),
        }
    }

    fn take(&mut self, wish: &Reserve) -> Result<Answer, ApiError> {
        let picks = match self.shelf.take(&wish.wanted) {
            Ok(picks) => picks,
            Err(short) => return Ok(Ok(Reserved::Short(self.short_lines(&short)))),
        };
        let expires_at = self.now.plus(wish.ttl);
        let lines = effects::picked_lines(&self.shelf, &picks);
        for pick in &picks {
            let delta = Delta { held: pick.qty, ..Delta::default() };
            self.effects.moves.add(&pick.sku_key, &pick.warehouse, delta);
            self.contexts.entry(pick.sku_key.clone()).or_insert_with(|| wish.context.clone());
        }
        let held = ReservationHeld {
            order_id: wish.order_id,
            lines: lines.clone(),
            expires_at: Some(expires_at),
        };
        let event = effects::event(&self.room.ids, &held)?.under(wish.context.clone());
        self.events.push(event);
        let hold = Hold {
            status: HoldStatus::Held,
            expires_at: Some(expires_at),
            pinned: false,
            extended: false,
            lines: picks
                .iter()
                .map(|p| HoldLine {
                    sku_key: p.sku_key.clone(),
                    warehouse: p.warehouse.clone(),
                    qty: p.qty,
                    dispatched: 0,
                    returned: 0,
                    brought_back: 0,
                })
                .collect(),
        };
        self.known.insert(wish.order_id.0, hold);
        self.effects.made.push(NewHold { order_id: wish.order_id.0, expires_at, picks });
        Ok(Ok(Reserved::Held { expires_at: Some(expires_at), lines, repeated: false }))
    }

    fn short_lines(&self, short: &[ShortOf]) -> Vec<ShortLine> {
        let line = |s: &ShortOf| {
            let sku = self.shelf.0.get(&s.sku_key)?.sku.clone();
            Some(ShortLine { sku, requested: s.requested, available: s.available })
        };
        short.iter().filter_map(line).collect()
    }

    async fn write(mut self, tx: &mut PgConnection) -> Result<(), BatchError> {
        if self.effects.made.is_empty() {
            return Ok(());
        }
        if !self.renewed.is_empty() {
            store::holds::clear_expired(tx, &self.renewed).await?;
        }
        store::shelf::write(tx, &self.effects, self.now).await?;
        let moved = effects::stock_events(
            &self.room.ids,
            &self.before,
            &self.shelf,
            &self.effects.moves,
            "reserved",
        )?;
        // A level that several orders moved is told under the first one's trace.
        self.events.extend(moved.into_iter().map(|event| {
            match self.contexts.get(&event.aggregate_id) {
                Some(context) => event.under(context.clone()),
                None => event,
            }
        }));
        effects::publish(self.room, tx, self.events).await?;
        Ok(())
    }
}
