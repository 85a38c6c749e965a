//! Messages of the WebSocket channels `/ws/orders` and `/ws/admin`.

use serde::{Deserialize, Serialize};

use crate::{
    Amount, Currency, OrderId, Timestamp,
    orders::{OrderStatus, Stage},
};

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ClientMessage {
    /// First message, unless the subprotocol carried the token.
    Authenticate { token: String },
    /// One order, or `channel: "me"`; `after` resumes behind that `seq`.
    Subscribe {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order_id: Option<OrderId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<i64>,
    },
    /// Everything up to `seq` has arrived.
    Ack { seq: i64 },
    Pong,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum ServerMessage {
    #[serde(rename = "authenticated")]
    Authenticated,
    #[serde(rename = "subscribed")]
    Subscribed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order_id: Option<OrderId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
    },
    /// A change of one order; `seq` counts per subscription target.
    #[serde(rename = "order.status")]
    OrderStatus {
        seq: i64,
        order_id: OrderId,
        status: OrderStatus,
        stage: Stage,
        at: Timestamp,
    },
    /// `/ws/admin`: one row of the live list.
    #[serde(rename = "order")]
    Order {
        seq: i64,
        order_id: OrderId,
        order_number: String,
        status: OrderStatus,
        stage: Stage,
        total_amount: Amount,
        currency: Currency,
        at: Timestamp,
    },
    /// What was asked for is no longer kept; a snapshot follows.
    #[serde(rename = "reset")]
    Reset,
    #[serde(rename = "heartbeat")]
    Heartbeat { at: Timestamp },
    #[serde(rename = "error")]
    Error { code: String, message: String },
}
