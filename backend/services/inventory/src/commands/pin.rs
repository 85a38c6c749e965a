//! Keeping a hold alive while a payment attempt runs.

use platform::ApiError;
use shared_types::{OrderId, Timestamp};

use super::Stockroom;
use crate::store;

/// Whether the units are still kept, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    pub held: bool,
    pub expires_at: Option<Timestamp>,
}

/// Pins or frees a hold; `extend` adds the configured time, the first time
/// only. Idempotent.
pub async fn pin(
    room: &Stockroom,
    order: OrderId,
    pinned: bool,
    extend: bool,
) -> Result<Pinned, ApiError> {
    if !extend && let Some(expires_at) = store::holds::pin_held(&room.pool, order.0, pinned).await?
    {
        return Ok(Pinned { held: true, expires_at });
    }
    let mut tx = room.pool.begin().await?;
    let Some(before) = store::holds::lock(&mut tx, order.0).await? else {
        return Ok(Pinned { held: false, expires_at: None });
    };
    let mut hold = before.clone();
    let held = hold.pin(pinned, extend.then(|| room.settings.hold_extension()));
    if hold != before {
        store::holds::write_pin(&mut tx, order.0, &hold).await?;
        tx.commit().await?;
    }
    Ok(Pinned { held, expires_at: hold.expires_at.filter(|_| held) })
}
