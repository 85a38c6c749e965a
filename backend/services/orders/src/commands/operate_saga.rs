//! What operators do with a saga that does not get on: each under the saga's
//! lock, audited in the same transaction.

use platform::ApiError;
use platform::audit::Entry;
use platform::auth::Principal;
use platform::error::Kind;
use platform::validate::Checks;
use serde_json::json;
use shared_types::sagas::{SagaAction, SagaDetail};
use shared_types::{OrderId, Role};

use super::access::not_found;
use super::pay_order::refused;
use crate::app::App;
use crate::domain::saga::{Decision, Refusal, Saga};
use crate::queries::sagas::saga_by_order;
use crate::sagas::apply::{store_decision, told};
use crate::store;
use crate::store::sagas::Loaded;

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Retry,
    Compensate,
    Resolve,
}

impl Action {
    const fn audited_as(self) -> &'static str {
        match self {
            Action::Retry => "saga.retry",
            Action::Compensate => "saga.compensate",
            Action::Resolve => "saga.resolve",
        }
    }

    /// What it would come to now.
    pub fn decide(self, app: &App, loaded: &Loaded, actor: &str) -> Result<Decision, Refusal> {
        let (saga, now) = (&loaded.saga, app.ctx.clock.now());
        match self {
            Action::Retry => saga.retry(now),
            Action::Compensate => saga.compensate(actor, now),
            Action::Resolve => {
                let refund = loaded.refund.as_ref().map(|r| r.amount_minor);
                saga.resolve(refund, actor, &app.rules, now)
            }
        }
    }
}

/// 401 or 403 unless the caller runs the shop.
pub fn require_operator(caller: &Principal) -> Result<(), ApiError> {
    if caller.has_role(Role::Admin) {
        return Ok(());
    }
    caller.require_role(Role::Operator)
}

/// The saga as it is after the action.
pub async fn operate_saga(
    app: &App,
    caller: &Principal,
    order_id: OrderId,
    action: Action,
    input: &SagaAction,
) -> Result<SagaDetail, ApiError> {
    require_operator(caller)?;
    let mut checks = Checks::new();
    let reason = checks.text("reason", &input.reason, 1..=500);
    checks.finish()?;
    let mut tx = app.ctx.pool.begin().await?;
    let loaded = store::sagas::lock(&mut tx, order_id).await?.ok_or_else(not_found)?;
    if input.version.is_some_and(|version| version != loaded.version) {
        let detail = "The saga has moved on since it was looked at.";
        return Err(ApiError::new(Kind::Conflict, "sagas.changed", detail)
            .with_extension("version", loaded.version.into()));
    }
    let (actor, now) = (caller.actor(), app.ctx.clock.now());
    let decision = action.decide(app, &loaded, &actor).map_err(|r| refused(r, &loaded))?;
    let lease = app.worker.lease_beside(&loaded, &decision.saga, now);
    let saga = store_decision(app, &mut tx, &loaded, decision, lease, Some(&reason), now)
        .await?
        .ok_or_else(|| ApiError::internal(anyhow::anyhow!("a locked saga changed")))?;
    let entry = Entry::new(actor, action.audited_as(), format_args!("order:{order_id}"))
        .before(&outline(&loaded.saga))
        .after(&outline(&saga))
        .because(reason);
    app.ctx.audit.record(&mut tx, entry).await?;
    app.faults.pass("before a request is committed")?;
    tx.commit().await?;
    app.faults.pass("after a request is committed")?;
    metrics::counter!("saga_operator_actions_total", "action" => action.audited_as()).increment(1);
    told(app, &loaded, &saga);
    app.worker.wake(order_id);
    saga_by_order(app, caller, order_id).await
}

/// What the audit log's hashes are over.
fn outline(saga: &Saga) -> serde_json::Value {
    json!({
        "state": saga.state.as_str(),
        "status": saga.status.as_str(),
        "stuck": saga.stuck,
        "retries": saga.retries,
        "capturedMinor": saga.captured_minor,
        "refundedMinor": saga.refunded_minor,
    })
}
