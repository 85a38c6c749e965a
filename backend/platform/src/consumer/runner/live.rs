//! What happens to one message from its topic, until it is settled.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::attempt::{self, Origin, Outcome};
use super::message::{Failure, Incoming, REDRIVE_OF};
use super::{Shared, chunk, parking, redrive};
use crate::consumer::{HandleError, RawMessage, TakeRaw};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const NO_ROOM_PAUSE: Duration = Duration::from_millis(500);

/// Works on `message` until it is handled, parked or buried. False when `stop`
/// came first: then nothing is settled and it will come again.
pub async fn settle(shared: &Shared, message: &Incoming, stop: &CancellationToken) -> bool {
    let mut pause = FIRST_PAUSE;
    loop {
        if stop.is_cancelled() {
            return false;
        }
        let step = match &shared.permits.acquire().await {
            Ok(_permit) => once(shared, message).await,
            // The semaphore is never closed.
            Err(_) => return false,
        };
        let wait = match step {
            Ok(Step::Settled) => {
                shared.resume();
                return true;
            }
            Ok(Step::NoRoom) => {
                shared.pause("too many parked messages");
                NO_ROOM_PAUSE
            }
            Err(error) => {
                shared.pause(&super::message::presentable(&format!("{error:#}")));
                pause
            }
        };
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(wait) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Handles a whole chunk in one transaction. False when nothing was done and
/// each message has to be settled by itself.
pub async fn settle_together(shared: &Shared, messages: &[Incoming]) -> bool {
    let consumer = &shared.consumer;
    if !consumer.together
        || messages.len() < 2
        || messages.iter().any(|m| m.redriven || m.headers.contains_key(REDRIVE_OF))
        || messages.iter().any(|m| consumer.raw_taker(&m.topic).is_some())
    {
        return false;
    }
    let Ok(_permit) = shared.permits.acquire().await else { return false };
    let now = shared.ctx.clock.now();
    match chunk::run(consumer, &shared.ctx.pool, now, messages).await {
        Ok(all_done) => {
            if all_done {
                shared.resume();
            }
            all_done
        }
        Err(error) => {
            tracing::debug!(consumer = consumer.name, %error, "handled one by one");
            false
        }
    }
}

enum Step {
    Settled,
    /// Nothing more can be parked now.
    NoRoom,
}

/// An error here is an outage: the same step is taken again later.
async fn once(shared: &Shared, message: &Incoming) -> anyhow::Result<Step> {
    if let Some(taker) = shared.consumer.raw_taker(&message.topic) {
        take(shared, taker.as_ref(), message).await?;
        return Ok(Step::Settled);
    }
    if message.redriven && redrive::settle(shared, message).await? {
        return Ok(Step::Settled);
    }
    let error = match handle(shared, message).await {
        Ok(Outcome::Behind) if !shared.has_room() => return Ok(Step::NoRoom),
        Ok(Outcome::Behind) => {
            return Ok(match parking::park_behind(shared, message).await? {
                Some(new) => parked(shared, new),
                None => Step::NoRoom,
            });
        }
        Ok(_) => return Ok(Step::Settled),
        Err(HandleError::Dependency(error)) => return Err(error),
        Err(error) => error,
    };
    if !shared.has_room() {
        return Ok(Step::NoRoom);
    }
    let failure = Failure::of(&error);
    let new = match error {
        HandleError::Poison { .. } => parking::bury_new(shared, message, &failure).await?,
        _ => parking::park_failed(shared, message, &failure).await?,
    };
    Ok(parked(shared, new))
}

fn parked(shared: &Shared, new: bool) -> Step {
    if new {
        shared.parked_one_more();
    }
    Step::Settled
}

async fn handle(shared: &Shared, message: &Incoming) -> Result<Outcome, HandleError> {
    let event = attempt::decode(&message.value)?;
    let origin = Origin::Live { topic: &message.topic, key: &message.key };
    let (pool, now) = (&shared.ctx.pool, shared.ctx.clock.now());
    let receipt = redrive::receipt(shared, message);
    attempt::run_from(&shared.consumer, pool, now, &event, origin, receipt).await
}

async fn take(shared: &Shared, taker: &dyn TakeRaw, message: &Incoming) -> anyhow::Result<()> {
    let mut tx = shared.ctx.pool.begin().await?;
    let raw = RawMessage {
        topic: message.topic.clone(),
        partition: message.partition,
        offset: message.offset,
        key: message.key.clone(),
        value: message.value.clone(),
        headers: message.headers.clone(),
    };
    taker.take(&mut tx, &raw).await?;
    Ok(tx.commit().await?)
}
