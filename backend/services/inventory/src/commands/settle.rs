//! Confirming and giving back.

use std::collections::BTreeSet;

use contracts::events::inventory::{ReservationConfirmed, ReservationExpired, ReservationReleased};
use platform::outbox::NewEvent;
use platform::trace::{self, TraceContext};
use platform::{ApiError, Ids};
use shared_types::OrderId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::reserve::ReserveError;
use super::{Stockroom, effects};
use crate::domain::hold::{Hold, HoldStatus, Settlement};
use crate::domain::level::Moves;
use crate::domain::shelf::Shelf;
use crate::store;
use crate::store::shelf::{Effects, WriteError};

/// What is commanded about an order's hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Confirm,
    Release,
}

/// One order's command.
#[derive(Clone, Debug)]
pub struct Settle {
    pub order_id: OrderId,
    pub how: How,
    /// The piece of work its events belong to.
    pub context: TraceContext,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Confirmed, now or before; or given back, just now.
    pub done: bool,
    /// How the hold stood when the command met it; none: nothing was ever held.
    pub was: Option<HoldStatus>,
}

impl How {
    fn of(self, hold: &Hold) -> Settlement {
        match self {
            How::Confirm => hold.confirm(),
            How::Release => hold.release(),
        }
    }

    fn answer(self, was: HoldStatus, settlement: &Settlement) -> Settled {
        let done = match self {
            How::Confirm => *settlement != Settlement::Gone,
            How::Release => matches!(settlement, Settlement::Moves(..)),
        };
        Settled { done, was: Some(was) }
    }
}

/// Turns a hold into an allocation: not done when it is gone, expired, released
/// or never made. Idempotent.
pub async fn confirm(room: &Stockroom, order_id: OrderId) -> Result<Settled, ApiError> {
    let wish = Settle { order_id, how: How::Confirm, context: trace::current() };
    let settled = room.settling.ask(room, wish).await?;
    if settled.done {
        room.confirmed.note(order_id);
    }
    Ok(settled)
}

/// Whether the order's stock is allocated already, as far as this process knows.
pub fn is_confirmed(room: &Stockroom, order_id: OrderId) -> bool {
    room.confirmed.knows(&order_id)
}

/// Gives a hold or an allocation back; not done when there was nothing (left)
/// to give. An order that holds nothing yet is marked, so that a reservation
/// that arrives late holds nothing either. Idempotent.
pub async fn release(room: &Stockroom, order_id: OrderId) -> Result<Settled, ApiError> {
    let wish = Settle { order_id, how: How::Release, context: trace::current() };
    room.settling.ask(room, wish).await
}

/// One command on a transaction of its own.
pub async fn alone(room: &Stockroom, wish: &Settle) -> Result<Settled, ApiError> {
    let mut tx = room.pool.begin().await?;
    let settled = one_on(room, &mut tx, wish.order_id, wish.how).await?;
    tx.commit().await?;
    Ok(settled)
}

/// Confirms on a transaction of somebody else.
pub async fn confirm_on(
    room: &Stockroom,
    tx: &mut PgConnection,
    order: OrderId,
) -> Result<Settled, ApiError> {
    one_on(room, tx, order, How::Confirm).await
}

/// Releases on a transaction of somebody else.
pub async fn release_on(
    room: &Stockroom,
    tx: &mut PgConnection,
    order: OrderId,
) -> Result<Settled, ApiError> {
    one_on(room, tx, order, How::Release).await
}

async fn one_on(
    room: &Stockroom,
    tx: &mut PgConnection,
    order: OrderId,
    how: How,
) -> Result<Settled, ApiError> {
    let never = Settled { done: false, was: None };
    let hold = match store::holds::lock(tx, order.0).await? {
        Some(hold) => hold,
        None if how == How::Confirm => return Ok(never),
        None if store::holds::bury(tx, order.0, room.clock.now()).await? => return Ok(never),
        // A reservation was committed between the two statements.
        None => store::holds::lock(tx, order.0).await?.ok_or(ReserveError::Raced)?,
    };
    let settlement = how.of(&hold);
    let settled = how.answer(hold.status, &settlement);
    let reason = reason_of(how);
    let context = trace::current();
    carry_out(room, tx, vec![Decided { order: order.0, hold, settlement, context }], reason)
        .await?;
    Ok(settled)
}

const fn reason_of(how: How) -> &'static str {
    match how {
        How::Confirm => "confirmed",
        How::Release => "released",
    }
}

/// Many commands on one transaction. None: this one needs a transaction of its
/// own, because its hold keeps no units (any more), or there is none.
pub async fn together(
    room: &Stockroom,
    tx: &mut PgConnection,
    wishes: &[&Settle],
) -> Result<Vec<Option<Settled>>, ApiError> {
    let orders: Vec<Uuid> = wishes.iter().map(|w| w.order_id.0).collect();
    let mut holds = store::holds::lock_live(tx, &orders).await?;
    let (mut answers, mut decided) = (Vec::with_capacity(wishes.len()), Vec::new());
    for wish in wishes {
        let order = wish.order_id.0;
        let Some(hold) = holds.get_mut(&order) else {
            answers.push(None);
            continue;
        };
        let settlement = wish.how.of(hold);
        answers.push(Some(wish.how.answer(hold.status, &settlement)));
        let before = hold.clone();
        if let Settlement::Moves(status, _) | Settlement::Marks(status) = &settlement {
            hold.status = *status;
        }
        let context = wish.context.clone();
        decided.push(Decided { order, hold: before, settlement, context });
    }
    carry_out(room, tx, decided, "settled").await?;
    Ok(answers)
}

/// What was decided for a locked hold.
pub struct Decided {
    pub order: Uuid,
    pub hold: Hold,
    pub settlement: Settlement,
    pub context: TraceContext,
}

/// Writes what was decided for locked holds, and tells.
pub async fn carry_out(
    room: &Stockroom,
    tx: &mut PgConnection,
    decided: Vec<Decided>,
    reason: &str,
) -> Result<(), ApiError> {
    let mut effects = Effects::default();
    let mut moved: Vec<(Uuid, Hold, HoldStatus, TraceContext)> = Vec::new();
    let mut leaving: Vec<Uuid> = Vec::new();
    for Decided { order, hold, settlement, context } in decided {
        match settlement {
            Settlement::Moves(status, moves) => {
                effects.moves.merge(moves);
                effects.marked.insert(order, status);
                if !hold.open.is_empty() {
                    leaving.push(order);
                }
                moved.push((order, hold, status, context));
            }
            Settlement::Marks(status) => {
                effects.marked.insert(order, status);
            }
            Settlement::Already | Settlement::Gone => {}
        }
    }
    if effects.marked.is_empty() {
        return Ok(());
    }
    let mut shelf = lock_shelf(tx, &effects.moves).await?;
    shelf.route(&mut effects.moves);
    let before = effects::availability(&shelf);
    shelf.apply(&effects.moves);
    write(room, tx, &effects).await?;
    if !leaving.is_empty() {
        store::queue::leave(tx, &leaving).await?;
    }
    room.sold_out.learn(&shelf);
    let mut events = Vec::new();
    for (order, hold, status, context) in moved {
        let event = outcome(&room.ids, &shelf, order, &hold, status)?;
        events.extend(event.map(|event| event.under(context)));
    }
    events.extend(effects::stock_events(&room.ids, &before, &shelf, &effects.moves, reason)?);
    effects::publish(room, tx, events).await
}

/// Locks the skus that will move.
pub async fn lock_shelf(tx: &mut PgConnection, moves: &Moves) -> Result<Shelf, ApiError> {
    let keys: BTreeSet<&str> = moves.skus().collect();
    if keys.is_empty() {
        return Ok(Shelf::default());
    }
    let keys: Vec<&str> = keys.into_iter().collect();
    let mut shelf = store::shelf::lock(tx, &keys).await?;
    let sales: BTreeSet<Uuid> = moves.asides().map(|(key, _)| key.sale).collect();
    let sales: Vec<Uuid> = sales.into_iter().collect();
    store::shelf::add_asides(tx, &mut shelf, &sales).await?;
    Ok(shelf)
}

/// Writes effects that make no holds, and so cannot lose a race.
pub async fn write(
    room: &Stockroom,
    tx: &mut PgConnection,
    effects: &Effects,
) -> Result<(), ApiError> {
    store::shelf::write(tx, effects, room.clock.now()).await.map_err(|error| match error {
        WriteError::Raced => ReserveError::Raced.into(),
        WriteError::Database(error) => error.into(),
    })
}

fn outcome(
    ids: &Ids,
    shelf: &Shelf,
    order: Uuid,
    hold: &Hold,
    status: HoldStatus,
) -> Result<Option<NewEvent>, ApiError> {
    let (order_id, lines) = (OrderId(order), effects::held_lines(shelf, &hold.lines));
    let event = match status {
        HoldStatus::Held | HoldStatus::Waiting => return Ok(None),
        HoldStatus::Confirmed => effects::event(ids, &ReservationConfirmed { order_id, lines })?,
        HoldStatus::Released => effects::event(ids, &ReservationReleased { order_id, lines })?,
        HoldStatus::Expired => effects::event(ids, &ReservationExpired { order_id, lines })?,
    };
    Ok(Some(event))
}
