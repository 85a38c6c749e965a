//! Who may listen to what.

use std::time::Duration;

use http::{HeaderMap, header};
use platform::auth::{Principal, Subject};
use platform::{ApiError, Kind};
use shared_types::{OrderId, Role};

use crate::{App, store};

/// An order that was placed a moment ago may not have reached us yet.
const WAIT_FOR_EVENT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The caller behind a token, whatever kind it is.
pub async fn caller_of(app: &App, token: &str) -> Result<Principal, ApiError> {
    let bearer = app.ctx.verifier.principal(&format!("Bearer {token}")).await;
    match bearer {
        Ok(principal) => Ok(principal),
        Err(_) => app.ctx.verifier.principal(&format!("Order {token}")).await,
    }
}

/// A page of another site must not use the visitor's cookie.
pub fn same_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else { return Ok(()) };
    let site = origin.split_once("://").map(|(_, rest)| rest);
    let desktop = matches!(origin.split_once("://"), Some(("tauri", _)));
    if desktop || (site.is_some() && site == text(header::HOST)) {
        return Ok(());
    }
    Err(ApiError::new(Kind::Forbidden, "live.foreign_origin", "Open this from the shop itself."))
}

/// The target of an order, when `caller` may see it: its owner, the holder of
/// its token, or staff.
pub async fn order_target(
    app: &App,
    caller: &Principal,
    order: OrderId,
) -> Result<String, ApiError> {
    let target = store::order_target(order);
    if caller.holds_grant("order", &order.to_string()) || caller.has_role(Role::Support) {
        return Ok(target);
    }
    let deadline = tokio::time::Instant::now() + WAIT_FOR_EVENT;
    loop {
        let mut connection = app.ctx.pool.acquire().await?;
        let known = store::find_order(&mut connection, order).await?;
        drop(connection);
        match known {
            Some(owner) => {
                let theirs = match &caller.subject {
                    Subject::User(id) => owner.user_id == Some(*id),
                    Subject::Guest(id) => owner.guest_id == Some(*id),
                    _ => false,
                };
                return if theirs { Ok(target) } else { Err(not_found()) };
            }
            None if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            None => return Err(not_found()),
        }
    }
}

/// The caller's personal channel.
pub fn personal_target(caller: &Principal) -> Result<String, ApiError> {
    match &caller.subject {
        Subject::User(id) => Ok(format!("user:{id}")),
        Subject::Guest(id) => Ok(format!("guest:{id}")),
        _ => Err(not_found()),
    }
}

fn not_found() -> ApiError {
    ApiError::not_found("live.no_such_channel")
}
