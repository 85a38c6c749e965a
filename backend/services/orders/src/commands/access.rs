//! Whose order it is.

use platform::ApiError;
use platform::auth::{Principal, Subject};
use shared_types::{OrderId, Role};

/// Staff and service accounts see every order.
pub fn is_staff(caller: &Principal) -> bool {
    caller.has_role(Role::Support) || caller.is_service()
}

/// Whether `caller` placed the order or holds its token.
pub fn is_owner(caller: &Principal, order_id: OrderId, owner: &str) -> bool {
    let by_token = caller.holds_grant("order", &order_id.to_string());
    by_token || (caller.subject != Subject::GrantHolder && caller.actor() == owner)
}

/// 404 unless the caller may see the order: another person's is not there.
pub fn may_see(caller: &Principal, order_id: OrderId, owner: &str) -> Result<(), ApiError> {
    if is_owner(caller, order_id, owner) || is_staff(caller) {
        return Ok(());
    }
    Err(not_found())
}

pub fn not_found() -> ApiError {
    ApiError::not_found("orders.not_found")
}
