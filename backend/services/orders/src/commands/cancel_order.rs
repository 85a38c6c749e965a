//! Canceling: the owner while nothing is paid, support until dispatch. Who may
//! is a policy, `policies/orders/cancel.rego`.

use http::StatusCode;
use platform::ApiError;
use platform::auth::Principal;
use platform::error::Kind;
use platform::validate::Checks;
use serde_json::json;
use shared_types::OrderId;
use shared_types::orders::{CancelOrder, Order, OrderStatus};

use super::access::{is_owner, is_staff, may_see, not_found};
use super::pay_order::refused;
use crate::app::App;
use crate::domain::saga::{Refusal, State};
use crate::queries;
use crate::sagas::apply::{store_decision, told};
use crate::store;
use crate::store::sagas::Loaded;

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
    let cause = if is_staff(caller) { "support_request" } else { "customer_request" };
    let decision =
        loaded.saga.cancel(cause, &caller.actor(), now).map_err(|r| refused(r, &loaded))?;
    permitted(app, caller, &loaded)?;
    let lease = app.worker.lease_beside(&loaded, &decision.saga, now);
    let note = Some(reason.as_str());
    let saga = store_decision(app, &mut tx, &loaded, decision, lease, note, now)
        .await?
        .ok_or_else(|| ApiError::internal(anyhow::anyhow!("a locked saga changed")))?;
    app.faults.pass("before a request is committed")?;
    tx.commit().await?;
    app.faults.pass("after a request is committed")?;
    told(app, &loaded, &saga);
    app.worker.wake(order_id);
    if saga.state == State::Refunding {
        listener.until(app.patience(), || is_canceled(app, order_id)).await?;
    }
    let order = queries::full_order(app, order_id).await?;
    let done = order.status == OrderStatus::Canceled;
    Ok((if done { StatusCode::OK } else { StatusCode::ACCEPTED }, order))
}

/// The policy's yes. A no to what nobody but staff may do any more is a matter
/// of the order's state; any other is one of rights.
fn permitted(app: &App, caller: &Principal, loaded: &Loaded) -> Result<(), ApiError> {
    let status = loaded.saga.status;
    let question = json!({
        "caller": {
            "owner": is_owner(caller, loaded.order_id, &loaded.owner),
            "roles": caller.roles.iter().map(|r| r.as_str()).collect::<Vec<_>>(),
            "service": caller.is_service(),
        },
        "order": { "status": status.as_str() },
    });
    if app.cancel_policy.allows(&question) {
        return Ok(());
    }
    if status != OrderStatus::Pending {
        return Err(refused(Refusal::IllegalTransition, loaded));
    }
    let detail = "You may not cancel this order.";
    Err(ApiError::new(Kind::Forbidden, "orders.cancel_forbidden", detail))
}

async fn is_canceled(app: &App, order_id: OrderId) -> Result<Option<()>, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    let stored = store::orders::find(&mut connection, order_id).await?;
    Ok(stored.filter(|s| s.order.status == OrderStatus::Canceled).map(|_| ()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::cancel_policy;

    #[test]
    fn the_policy_says_who_may_cancel_what() {
        let policy = cancel_policy().unwrap();
        let allows = |owner: bool, role: &str, service: bool, status: &str| {
            policy.allows(&json!({
                "caller": { "owner": owner, "roles": [role], "service": service },
                "order": { "status": status },
            }))
        };
        for status in OrderStatus::ALL.iter().copied() {
            let open =
                matches!(status, OrderStatus::Pending | OrderStatus::Paid | OrderStatus::Confirmed);
            let word = status.as_str();
            assert_eq!(allows(true, "CUSTOMER", false, word), status == OrderStatus::Pending);
            assert!(!allows(false, "CUSTOMER", false, word), "a stranger, {word}");
            assert!(!allows(false, "OPERATOR", false, word), "operations only, {word}");
            for staff in ["SUPPORT", "MERCHANT", "ADMIN"] {
                assert_eq!(allows(false, staff, false, word), open, "{staff}, {word}");
            }
            assert_eq!(allows(false, "SERVICE", true, word), open, "a service, {word}");
        }
        assert!(!policy.allows(&json!({})));
        assert!(
            !policy.allows(
                &json!({ "caller": { "owner": "true" }, "order": { "status": "PENDING" } })
            )
        );
    }
}
