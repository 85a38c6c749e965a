//! Holding stock for orders: all lines of an order or none.
//!
//! Several orders may share one transaction; they are served in the order of
//! their arrival, and each gets the answer it would have got alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use contracts::events::inventory::{HeldLine, ReservationHeld};
use platform::outbox::NewEvent;
use platform::trace::TraceContext;
use platform::{ApiError, Failure, Kind};
use shared_types::inventory::ShortLine;
use shared_types::{FieldError, OrderId, Sku, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Stockroom, effects};
use crate::domain::hold::{self, Hold, ReserveStep};
use crate::domain::shelf::{Ask, Queued, Shelf, ShortOf, Units, Wanted};
use crate::store;
use crate::store::shelf::{Effects, NewHold, WriteError};

/// One order's wish.
#[derive(Clone, Debug)]
pub struct Reserve {
    pub order_id: OrderId,
    pub wanted: Wanted,
    pub ttl: Duration,
    /// May wait for units that are not there, where the sku allows it.
    pub accept_backorder: bool,
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
        /// Units that the order waits its turn for.
        waiting: Vec<(Sku, i64)>,
    },
    /// Nothing was held; what was short and what there was.
    Short(Vec<ShortLine>),
}

#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    #[error("Nobody ever opened stock for {}.", .0.join(", "))]
    UnknownSkus(Vec<String>),
    #[error("There is no such sale of {}.", .0.join(", "))]
    UnknownSale(Vec<String>),
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
            ReserveError::UnknownSkus(_) | ReserveError::UnknownSale(_) => Kind::Invalid,
            ReserveError::Differs | ReserveError::Ended => Kind::Refused,
            ReserveError::Overloaded | ReserveError::Raced => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            ReserveError::UnknownSkus(_) => "inventory.unknown_sku",
            ReserveError::UnknownSale(_) => "inventory.unknown_sale",
            ReserveError::Differs => "inventory.order_differs",
            ReserveError::Ended => "inventory.order_ended",
            ReserveError::Overloaded => "inventory.overloaded",
            ReserveError::Raced => "inventory.raced",
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        let (skus, code, what) = match self {
            ReserveError::UnknownSkus(skus) => (skus, "unknown_sku", "is not known"),
            ReserveError::UnknownSale(skus) => (skus, "unknown_sale", "is in no such sale"),
            _ => return Vec::new(),
        };
        let error = |sku: &String| FieldError {
            field: "lines".to_owned(),
            code: code.to_owned(),
            message: format!("{sku} {what}"),
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
    let answer = room.reserving.ask(room, wish).await;
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
    let keys = keys_of(wishes);
    let mut shelf = store::shelf::lock(tx, &keys).await?;
    let sales: BTreeSet<Uuid> = asks_of(wishes).filter_map(|ask| ask.sale).collect();
    let sales: Vec<Uuid> = sales.into_iter().collect();
    store::shelf::add_asides(tx, &mut shelf, &sales).await?;
    // After the lock, so that whoever held for the same order is seen.
    let orders: Vec<Uuid> = wishes.iter().map(|w| w.order_id.0).collect();
    let known = store::holds::find(tx, &orders).await?;
    let mut batch = Batch::over(room, shelf, known);
    let answers: Vec<Answer> =
        wishes.iter().map(|wish| batch.serve(wish)).collect::<Result<_, ApiError>>()?;
    room.sold_out.learn(&batch.shelf);
    batch.write(tx).await?;
    Ok(answers)
}

/// Refuses without a transaction what is sold out beyond doubt: the stock is
/// read once for all of `wishes` and after they came, so that a unit that came
/// free before a buyer asked is never denied. None: only a transaction can tell.
pub async fn refuse(
    room: &Stockroom,
    wishes: &[&Reserve],
) -> Result<Vec<Option<Answer>>, sqlx::Error> {
    let keys = keys_of(wishes);
    let mut connection = room.pool.acquire().await?;
    let shelf = store::shelf::read(&mut connection, &keys).await?;
    room.sold_out.learn(&shelf);
    let short: Vec<Vec<ShortOf>> = wishes
        .iter()
        .map(|wish| if plain(wish) { shelf.short(&wish.wanted) } else { Vec::new() })
        .collect();
    // Read after the stock: whoever holds now may have held then.
    let asked = wishes.iter().zip(&short).filter(|(_, short)| !short.is_empty());
    let asked: Vec<Uuid> = asked.map(|(wish, _)| wish.order_id.0).collect();
    if asked.is_empty() {
        return Ok(wishes.iter().map(|_| None).collect());
    }
    let known: HashSet<Uuid> =
        store::holds::known(&mut connection, &asked).await?.into_iter().collect();
    let refusal = |(wish, short): (&&Reserve, Vec<ShortOf>)| {
        let sure = !short.is_empty()
            && shelf.unknown(&wish.wanted).is_empty()
            && !known.contains(&wish.order_id.0);
        sure.then(|| Ok(Reserved::Short(short_lines(&shelf, &short))))
    };
    Ok(wishes.iter().zip(short).map(refusal).collect())
}

/// Whether a wish can be refused by looking at ordinary stock alone.
fn plain(wish: &Reserve) -> bool {
    !wish.accept_backorder && wish.wanted.keys().all(|ask| ask.sale.is_none())
}

/// Whether it may be worth looking before locking.
pub fn looks_sold_out(room: &Stockroom, wish: &Reserve) -> bool {
    plain(wish) && wish.wanted.keys().any(|ask| room.sold_out.suspects(&ask.sku_key))
}

fn asks_of<'a>(wishes: &[&'a Reserve]) -> impl Iterator<Item = &'a Ask> {
    wishes.iter().flat_map(|w| w.wanted.keys()).collect::<Vec<_>>().into_iter()
}

/// Every sku of these wishes once, in order.
fn keys_of<'a>(wishes: &[&'a Reserve]) -> Vec<&'a str> {
    let keys: BTreeSet<&str> = asks_of(wishes).map(|ask| ask.sku_key.as_str()).collect();
    keys.into_iter().collect()
}

fn short_lines(shelf: &Shelf, short: &[ShortOf]) -> Vec<ShortLine> {
    let line = |s: &ShortOf| {
        let sku = shelf.items.get(&s.sku_key)?.sku.clone();
        Some(ShortLine { sku, requested: s.requested, available: s.available })
    };
    short.iter().filter_map(line).collect()
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
        let strange = self.shelf.unknown_sales(&wish.wanted);
        if !strange.is_empty() {
            let strange = strange.into_iter().map(|ask| ask.sku_key.clone()).collect();
            return Ok(Err(ReserveError::UnknownSale(strange)));
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
                let waiting = hold.map(|h| self.waiting(&h.open)).unwrap_or_default();
                Ok(Ok(Reserved::Held { expires_at, lines, repeated: true, waiting }))
            }
            ReserveStep::Differs => Ok(Err(ReserveError::Differs)),
            ReserveStep::Ended => Ok(Err(ReserveError::Ended)),
        }
    }

    fn take(&mut self, wish: &Reserve) -> Result<Answer, ApiError> {
        let (picks, open, moves) = match self.shelf.take(&wish.wanted) {
            Ok((picks, moves)) => (picks, Units::new(), moves),
            Err(short) if wish.accept_backorder => match self.shelf.queue(&wish.wanted) {
                Ok(Queued { picks, open, moves }) => (picks, open, moves),
                Err(_) => return Ok(Ok(Reserved::Short(short_lines(&self.shelf, &short)))),
            },
            Err(short) => return Ok(Ok(Reserved::Short(short_lines(&self.shelf, &short)))),
        };
        for ((sku_key, _), _) in moves.iter() {
            if !self.contexts.contains_key(sku_key) {
                self.contexts.insert(sku_key.clone(), wish.context.clone());
            }
        }
        self.effects.moves.merge(moves);
        let hold = Hold::new(&picks, open.clone(), self.now.plus(wish.ttl));
        let (order_id, expires_at) = (wish.order_id, hold.expires_at);
        let lines = effects::picked_lines(&self.shelf, &picks);
        let waiting = self.waiting(&open);
        if waiting.is_empty() {
            let held = ReservationHeld { order_id, lines: lines.clone(), expires_at };
            let event = effects::event(&self.room.ids, &held)?.under(wish.context.clone());
            self.events.push(event);
        }
        self.known.insert(order_id.0, hold);
        self.effects.made.push(NewHold { order_id: order_id.0, expires_at, picks, open });
        Ok(Ok(Reserved::Held { expires_at, lines, repeated: false, waiting }))
    }

    fn waiting(&self, open: &Units) -> Vec<(Sku, i64)> {
        let sku = |key: &String| Some(self.shelf.items.get(key)?.sku.clone());
        open.iter().filter_map(|(key, units)| Some((sku(key)?, *units))).collect()
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
