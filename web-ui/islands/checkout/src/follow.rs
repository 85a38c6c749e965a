//! Hears of the order's changes, one way or the other.

use serde::Deserialize;
use shared_types::{
    OrderId, Timestamp,
    live::{ClientMessage, ServerMessage},
    orders::{OrderStatus, OrderStatusView, Stage},
};

use crate::{
    Link, backoff,
    page::{self, Order},
    socket::Socket,
};

/// A server that says nothing for so long is gone; its heartbeat is shorter.
const SILENCE_MS: u32 = 60_000;
/// So many failures in a row count as "no socket to be had".
const PATIENCE: u32 = 2;

#[derive(Deserialize)]
struct LiveToken {
    token: String,
}

/// What is shown, and how far the channel has been read.
struct Shown {
    order: OrderId,
    status: OrderStatus,
    stage: Stage,
    at: Option<Timestamp>,
    /// `seq` of the last message, to resume behind it.
    after: Option<i64>,
}

/// Follows until the order is at rest.
pub async fn follow(order: Order, tell: impl Fn(Link)) {
    let mut shown =
        Shown { order: order.id, status: order.status, stage: order.stage, at: None, after: None };
    let mut failures = 0;
    while !shown.is_final() {
        if listen(&mut shown, &tell).await {
            failures = 0;
        }
        if shown.is_final() {
            break;
        }
        failures += 1;
        if failures > PATIENCE {
            tell(Link::Asking);
            shown.ask().await;
        } else {
            tell(Link::Connecting);
        }
        page::sleep(backoff::wait_ms(failures, js_sys::Math::random())).await;
    }
    tell(Link::Rest);
}

/// One connection from opening to end; whether it ever worked.
async fn listen(shown: &mut Shown, tell: &impl Fn(Link)) -> bool {
    let path = format!("/orders/{}/live-token", shown.order);
    let Some(token) = page::get_json::<LiveToken>(&path).await else { return false };
    let Some(mut socket) = Socket::open("/ws/orders") else { return false };
    if !socket.is_open(SILENCE_MS).await {
        return false;
    }
    socket.say(&ClientMessage::Authenticate { token: token.token });
    let mut worked = false;
    while let Some(text) = socket.hear(SILENCE_MS).await {
        // A kind of message that this island does not know is not for it.
        let Ok(message) = ServerMessage::parse(&text) else { continue };
        match message {
            ServerMessage::Authenticated => socket.say(&ClientMessage::Subscribe {
                order_id: Some(shown.order),
                channel: None,
                after: shown.after,
            }),
            ServerMessage::Subscribed { .. } => {
                worked = true;
                tell(Link::Live);
                // What happened between drawing the page and subscribing.
                shown.ask().await;
            }
            ServerMessage::OrderStatus { seq, order_id, status, stage, at } => {
                if order_id == shown.order {
                    shown.becomes(status, stage, at).await;
                    shown.after = Some(seq);
                    socket.say(&ClientMessage::Ack { seq });
                }
            }
            ServerMessage::Reset => shown.after = None,
            ServerMessage::Heartbeat { .. } => socket.say(&ClientMessage::Pong),
            ServerMessage::Error { .. } => return worked,
            ServerMessage::Order { .. } => {}
        }
        if shown.is_final() {
            return true;
        }
    }
    worked
}

impl Shown {
    fn is_final(&self) -> bool {
        let over = matches!(
            self.status,
            OrderStatus::Fulfilled | OrderStatus::Canceled | OrderStatus::Failed
        );
        over && self.stage == Stage::Done
    }

    async fn ask(&mut self) {
        let path = format!("/orders/{}/status.json", self.order);
        if let Some(view) = page::get_json::<OrderStatusView>(&path).await {
            self.becomes(view.status, view.stage, view.updated_at).await;
        }
    }

    async fn becomes(&mut self, status: OrderStatus, stage: Stage, at: Timestamp) {
        if self.at.is_some_and(|shown| at < shown) {
            return;
        }
        self.at = Some(at);
        if (self.status, self.stage) == (status, stage) {
            return;
        }
        (self.status, self.stage) = (status, stage);
        page::show(status, stage);
        page::refresh(&self.order).await;
    }
}
