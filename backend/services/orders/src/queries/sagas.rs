//! Looking at sagas: for `ADMIN` and `OPERATOR`.

use platform::ApiError;
use platform::auth::Principal;
use platform::db::searching;
use platform::error::Kind;
use platform::paging::{Paging, page};
use serde::{Deserialize, Serialize};
use shared_types::sagas::{SagaDetail, SagaStep, SagaSummary};
use shared_types::{Amount, Currency, OrderId, Page, Timestamp};

use super::{bad, parsed};
use crate::app::App;
use crate::commands::access::not_found;
use crate::commands::operate_saga::{Action, require_operator};
use crate::domain::saga::State;
use crate::store;
use crate::store::saga_lists::{SagaFilter, SagaOrder, SagaRow};

/// Filters of `GET /admin/sagas`. Texts, so that a wrong one is answered by name.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct SagaQuery {
    /// `reserving`, `backordered`, `awaiting_payment`, `authorizing`, `deciding`,
    /// `confirming`, `refunding`, `releasing`, `settling`, `done`; without one
    /// all that are not at rest.
    pub state: Option<String>,
    /// `true`: only those that need a person; `false`: only the others.
    pub stuck: Option<String>,
    /// In their state for at least so many seconds.
    #[serde(rename = "olderThanSeconds")]
    pub older_than_seconds: Option<String>,
    /// Worth at least this, in `currency`.
    #[serde(rename = "minAmount")]
    pub min_amount: Option<String>,
    /// Of `minAmount`; USD when absent.
    pub currency: Option<String>,
    /// `age` (longest in its state first) or `amount` (largest first).
    pub sort: Option<String>,
}

/// Where the next page begins.
#[derive(Serialize, Deserialize)]
enum Position {
    Age(Timestamp, OrderId),
    Amount(i64, OrderId),
}

const LONGEST_AGE_SECONDS: u64 = 10 * 365 * 24 * 3600;

impl SagaQuery {
    fn read(&self, now: Timestamp, paging: &Paging) -> Result<SagaFilter, ApiError> {
        let given = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
        let state = match given(&self.state) {
            Some(text) => match State::parse(&text) {
                Some(state) => Some(state),
                None => return Err(bad("state", "is no state of a saga")),
            },
            None => None,
        };
        let age = match given(&self.older_than_seconds).map(|t| t.parse::<u64>()) {
            Some(Ok(seconds)) if seconds <= LONGEST_AGE_SECONDS => Some(seconds),
            Some(_) => return Err(bad("olderThanSeconds", "must be a number of seconds")),
            None => None,
        };
        let currency = parsed::<Currency>("currency", &self.currency)?;
        let at_least = match parsed::<Amount>("minAmount", &self.min_amount)? {
            Some(amount) => {
                let currency = currency.unwrap_or(Currency::USD);
                let money = amount.in_currency(currency);
                let money = money.map_err(|error| bad("minAmount", &error.to_string()))?;
                Some((money.minor, currency))
            }
            None => None,
        };
        let after: Option<Position> = paging.position()?;
        let order = match (given(&self.sort).as_deref().unwrap_or("age"), after) {
            ("age", None) => SagaOrder::Age(None),
            ("age", Some(Position::Age(at, id))) => SagaOrder::Age(Some((at, id))),
            ("amount", None) => SagaOrder::Amount(None),
            ("amount", Some(Position::Amount(minor, id))) => SagaOrder::Amount(Some((minor, id))),
            ("age" | "amount", Some(_)) => {
                let detail = "after is not a cursor of this order.";
                return Err(ApiError::new(Kind::Unparseable, "request.paging", detail));
            }
            _ => return Err(bad("sort", "must be age or amount")),
        };
        Ok(SagaFilter {
            state,
            stuck: parsed::<bool>("stuck", &self.stuck)?,
            in_state_before: age.map(|s| now.minus(std::time::Duration::from_secs(s))),
            at_least,
            order,
        })
    }
}

/// Sagas under way, or those that the filter names.
pub async fn list_sagas(
    app: &App,
    caller: &Principal,
    query: &SagaQuery,
    paging: &Paging,
) -> Result<Page<SagaSummary>, ApiError> {
    require_operator(caller)?;
    let (now, limit) = (app.ctx.clock.now(), paging.limit()?);
    let filter = query.read(now, paging)?;
    let mut tx = searching(&app.ctx.pool).await?;
    let rows = store::saga_lists::list(&mut tx, &filter, limit + 1).await?;
    let key = |row: &SagaRow| match filter.order {
        SagaOrder::Age(_) => Position::Age(row.state_since, row.order_id),
        SagaOrder::Amount(_) => Position::Amount(row.total_minor, row.order_id),
    };
    let Page { items, page_info } = page(rows, limit, key);
    let items = items.into_iter().map(|row| summary(row, now)).collect();
    Ok(Page { items, page_info })
}

fn summary(row: SagaRow, now: Timestamp) -> SagaSummary {
    let since = |at: Timestamp| i64::try_from(now.since(at).as_secs()).unwrap_or(i64::MAX);
    SagaSummary {
        order_id: row.order_id,
        order_number: row.order_number,
        status: row.status,
        stage: row.stage,
        state: row.state,
        total_amount: store::amount(row.total_minor, row.currency),
        currency: row.currency,
        retries: u32::try_from(row.retries).unwrap_or(0),
        stuck: row.stuck_reason.is_some(),
        stuck_reason: row.stuck_reason,
        age_seconds: since(row.created_at),
        state_seconds: since(row.state_since),
        created_at: row.created_at,
        updated_at: row.updated_at,
        next_run_at: row.next_run_at,
        version: row.version,
    }
}

/// Everything that `orders` knows of one saga.
pub async fn saga_by_order(
    app: &App,
    caller: &Principal,
    order_id: OrderId,
) -> Result<SagaDetail, ApiError> {
    require_operator(caller)?;
    let mut connection = app.ctx.pool.acquire().await?;
    let tx = &mut connection;
    let row = store::saga_lists::find(tx, order_id).await?.ok_or_else(not_found)?;
    let loaded = store::sagas::find(tx, order_id).await?.ok_or_else(not_found)?;
    let (saga, currency) = (&loaded.saga, loaded.currency);
    let actor = caller.actor();
    let possible = [
        ("retry", Action::Retry),
        ("compensate", Action::Compensate),
        ("resolve", Action::Resolve),
    ];
    let actions = possible
        .into_iter()
        .filter(|(_, action)| action.decide(app, &loaded, &actor).is_ok())
        .map(|(name, _)| name.to_owned())
        .collect();
    let steps = saga
        .diagram()
        .into_iter()
        .map(|(name, mark)| SagaStep { name: name.to_owned(), state: mark.as_str().to_owned() })
        .collect();
    Ok(SagaDetail {
        summary: summary(row, app.ctx.clock.now()),
        steps,
        actions,
        captured_amount: store::amount(saga.captured_minor, currency),
        refunded_amount: store::amount(saga.refunded_minor, currency),
        declines: saga.declines,
        payment_id: saga.payment,
        leased_until: loaded.lease.map(|l| l.until),
        trace_id: loaded.trace_id.clone(),
        correlation_id: loaded.correlation_id.clone(),
        attempts: store::saga_lists::attempts(tx, order_id).await?,
        refunds: store::saga_lists::refunds(tx, order_id, currency).await?,
        history: store::saga_lists::history(tx, order_id).await?,
    })
}
