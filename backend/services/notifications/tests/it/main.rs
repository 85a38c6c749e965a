//! The service over real PostgreSQL and real sockets.

mod doors;
mod orders;

use std::net::SocketAddr;
use std::time::Duration;

use contracts::events::orders::{OrderCanceled, OrderConfirmed, OrderCreated, OrderPaid};
use futures_util::{SinkExt, StreamExt};
use platform::consumer::Consumer;
use platform::testing::{self, Bench};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared_types::live::ServerMessage;
use shared_types::{GuestId, OrderId, UserId};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const SETTINGS: &str = include_str!("../../../../bellavista/default.toml");
/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The service on a port of its own.
struct House {
    bench: Bench,
    address: SocketAddr,
    consumer: Consumer,
}

async fn house() -> House {
    house_with(SETTINGS).await
}

async fn house_with(settings: &str) -> House {
    let bench = testing::house("notifications", &notifications::MIGRATIONS, settings).await;
    let mut service = notifications::build(bench.ctx.clone()).unwrap();
    for (name, task) in service.tasks.drain(..) {
        bench.ctx.lifecycle.spawn(name, task);
    }
    let router = platform::http::finish(service.root, "notifications", bench.ctx.verifier.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    House { bench, address, consumer: service.consumer.unwrap() }
}

fn event<E: DeserializeOwned>(value: Value) -> E {
    serde_json::from_value(value).unwrap()
}

/// An order of `buyer` (`userId` or `guestId`, and who) that was just placed.
fn created(order: OrderId, buyer: (&str, String)) -> OrderCreated {
    let mut created = json!({
        "orderId": order, "orderNumber": "BV-100001", "userId": null, "guestId": null,
        "cartId": null, "reservation": "held", "totalAmount": 25.5, "currency": "USD",
        "items": [], "amounts": {"subtotal": 25.5, "discount": 0, "tax": 0, "shipping": 0}
    });
    created[buyer.0] = json!(buyer.1);
    event(created)
}

impl House {
    /// An order of `buyer` (`userId` or `guestId`, and who) that was just placed.
    async fn placed(&self, buyer: (&str, String)) -> OrderId {
        let order: OrderId = self.bench.id();
        self.bench.deliver(&self.consumer, &created(order, buyer)).await.unwrap();
        order
    }

    async fn placed_by(&self, user: UserId) -> OrderId {
        self.placed(("userId", user.to_string())).await
    }

    async fn placed_by_guest(&self, guest: GuestId) -> OrderId {
        self.placed(("guestId", guest.to_string())).await
    }

    fn payment(&self, order: OrderId) -> OrderPaid {
        let payment: shared_types::PaymentId = self.bench.id();
        event(json!({"orderId": order, "paymentId": payment, "amount": 25.5, "currency": "USD"}))
    }

    async fn paid(&self, order: OrderId) {
        self.bench.deliver(&self.consumer, &self.payment(order)).await.unwrap();
    }

    async fn confirmed(&self, order: OrderId) {
        let confirmed = json!({"orderId": order, "items": []});
        self.bench.deliver(&self.consumer, &event::<OrderConfirmed>(confirmed)).await.unwrap();
    }

    async fn canceled(&self, order: OrderId) {
        let canceled = json!({
            "orderId": order, "by": "user:1", "reason": "customer_request", "items": [],
            "totalAmount": 25.5, "currency": "USD", "refundedAmount": 0
        });
        self.bench.deliver(&self.consumer, &event::<OrderCanceled>(canceled)).await.unwrap();
    }

    /// Opens a door with further headers; the status when it stays shut.
    async fn open(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, answer)) => {
                let protocol = answer.headers().get("sec-websocket-protocol").cloned();
                Ok(Socket { socket, protocol })
            }
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// An authenticated socket at `path`.
    async fn enter(&self, path: &str, token: &str) -> Socket {
        let mut socket = self.open(path, &[]).await.unwrap();
        socket.say(json!({"type": "authenticate", "token": token})).await;
        assert_eq!(socket.hear().await, ServerMessage::Authenticated);
        socket
    }
}

struct Socket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The subprotocol that was agreed on.
    protocol: Option<HeaderValue>,
}

impl Socket {
    async fn say(&mut self, message: Value) {
        self.say_text(&message.to_string()).await;
    }

    async fn say_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    async fn subscribe(&mut self, order: OrderId, after: Option<i64>) {
        let mut message = json!({"type": "subscribe", "orderId": order});
        if let Some(after) = after {
            message["after"] = json!(after);
        }
        self.say(message).await;
        assert!(matches!(self.hear().await, ServerMessage::Subscribed { .. }));
    }

    /// The next message that is no heartbeat.
    async fn hear(&mut self) -> ServerMessage {
        loop {
            match self.next().await {
                Message::Text(text) => match ServerMessage::parse(&text).unwrap() {
                    ServerMessage::Heartbeat { .. } => {}
                    message => return message,
                },
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn next(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await;
        next.expect("nothing was said").expect("the socket ended").unwrap()
    }

    /// Number and status of the next change of an order.
    async fn change(&mut self) -> (i64, String) {
        match self.hear().await {
            ServerMessage::OrderStatus { seq, status, .. } => (seq, status.to_string()),
            ServerMessage::Order { seq, status, .. } => (seq, status.to_string()),
            other => panic!("{other:?}"),
        }
    }

    /// The code of the next message, which is an error.
    async fn error(&mut self) -> String {
        match self.hear().await {
            ServerMessage::Error { code, .. } => code,
            other => panic!("{other:?}"),
        }
    }

    /// The code with which the other side closes.
    async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Message::Close(Some(frame)) => return frame.code.into(),
                Message::Close(None) => return 1005,
                _ => {}
            }
        }
    }
}
