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
    Authenticate {
        token: String,
    },
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
    Ack {
        seq: i64,
    },
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
    OrderStatus { seq: i64, order_id: OrderId, status: OrderStatus, stage: Stage, at: Timestamp },
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

/// The fields of [`ServerMessage::Order`] by themselves.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderFields {
    seq: i64,
    order_id: OrderId,
    order_number: String,
    status: OrderStatus,
    stage: Stage,
    total_amount: Amount,
    currency: Currency,
    at: Timestamp,
}

impl ServerMessage {
    /// Reads one text frame. Serde's tagged enums buffer their fields and so lose
    /// the digits of an [`Amount`]; read messages with this, not with `from_str`.
    ///
    /// # Errors
    /// Not JSON, an unknown `type`, or a field that cannot be read.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(rename = "type", borrow)]
            kind: std::borrow::Cow<'a, str>,
        }
        if serde_json::from_str::<Kind<'_>>(text)?.kind != "order" {
            return serde_json::from_str(text);
        }
        let o: OrderFields = serde_json::from_str(text)?;
        Ok(ServerMessage::Order {
            seq: o.seq,
            order_id: o.order_id,
            order_number: o.order_number,
            status: o.status,
            stage: o.stage,
            total_amount: o.total_amount,
            currency: o.currency,
            at: o.at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_message_keeps_every_digit_of_its_amount() {
        let text = r#"{"type":"order","seq":7,"orderId":"01890a5d-ac96-774b-bcce-b302099a8057","orderNumber":"BV-100001","status":"PAID","stage":"confirming","totalAmount":90071992547409.93,"currency":"USD","at":"2026-11-20T10:15:00.000Z"}"#;
        let message = ServerMessage::parse(text).unwrap();
        let ServerMessage::Order { seq, total_amount, .. } = &message else {
            panic!("{message:?}")
        };
        assert_eq!((*seq, total_amount.to_string().as_str()), (7, "90071992547409.93"));
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
    }

    #[test]
    fn other_messages_and_unknown_ones() {
        assert_eq!(ServerMessage::parse(r#"{"type":"reset"}"#).unwrap(), ServerMessage::Reset);
        assert!(ServerMessage::parse(r#"{"type":"weather"}"#).is_err());
        assert!(ServerMessage::parse("[]").is_err());
    }
}
