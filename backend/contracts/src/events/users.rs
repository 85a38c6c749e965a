//! What happened to accounts. No personal data: by reference only.

use serde::{Deserialize, Serialize};
use shared_types::{SessionId, UserId};
use utoipa::ToSchema;

use super::event;
use crate::topics::USER;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserRegistered {
    pub user_id: UserId,
}

/// Tokens of this session are no longer good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionRevoked {
    pub user_id: UserId,
    pub session_id: SessionId,
    /// `logout`, `refresh_reuse`.
    pub reason: String,
}

event!(UserRegistered, "ecommerce.user.user.registered.v1", USER, key = user_id);
event!(SessionRevoked, "ecommerce.user.session.revoked.v1", USER, key = user_id);
