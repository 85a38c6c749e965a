//! Canceling: the owner while nothing is paid, support until dispatch.

use http::StatusCode;
use platform::ApiError;
use platform::auth::Principal;
use platform::validate::Checks;
use shared_types::OrderId;
use shared_types::orders::{CancelOrder, Order, OrderStatus};

use super::access::{is_staff, may_see, not_found};
use super::pay_order::refused;
use crate::app::App;
use crate::domain::saga::State;
use crate::queries;
use crate::sagas::apply::{store_decision, told};
use crate::store;

/// The order as it is then; 202 while money is still on its way back.
pub async fn cancel_order(
    app: &App,
    caller: &Principal,
    order_id: OrderId,
    input: &CancelOrder,
) -> Result<(StatusCode, Order), ApiError> {
    let mut checks = Checks::new();
    let reason = checks.text("reason", &input.reason, 1..=500);
    checks.finish()?;
    let listener = app.signals.listen(order_id);
    let mut tx = app.ctx.pool.begin().await?;
    let loaded = store::sagas::lock(&mut tx, order_id).await?.ok_or_else(not_found)?;
    may_see(caller, order_id, &loaded.owner)?;
    let now = app.ctx.clock.now();
    let decision = loaded
        .saga
        .cancel(is_staff(caller), &caller.actor(), now)
        .map_err(|r| refused(r, &loaded))?;
    let lease = app.worker.lease_beside(&loaded, &decision.saga, now);
    let note = Some(reason.as_str());
    let saga = store_decision(app, &mut tx, &loaded, decision, lease, note, now)
        .await?
        .ok_or_else(|| ApiError::internal(anyhow::anyhow!("a locked saga changed")))?;
    tx.commit().await?;
    told(app, &loaded, &saga);
    app.worker.wake(order_id);
    if saga.state == State::Refunding {
        listener.until(app.patience(), || is_canceled(app, order_id)).await?;
    }
    let order = queries::full_order(app, order_id).await?;
    let done = order.status == OrderStatus::Canceled;
    Ok((if done { StatusCode::OK } else { StatusCode::ACCEPTED }, order))
}

async fn is_canceled(app: &App, order_id: OrderId) -> Result<Option<()>, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    let stored = store::orders::find(&mut connection, order_id).await?;
    Ok(stored.filter(|s| s.order.status == OrderStatus::Canceled).map(|_| ()))
}
