//! Sockets.

use std::time::Duration;

use e2e::api::Api;
use e2e::shop::Shop;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{card, fresh_key, new_sku, order_of};

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn open(port: u16, path: &str) -> anyhow::Result<Socket> {
    let (socket, _) =
        tokio_tungstenite::connect_async(format!("ws://127.0.0.1:{port}{path}")).await?;
    Ok(socket)
}

async fn say(socket: &mut Socket, message: Value) -> anyhow::Result<()> {
    Ok(socket.send(Message::text(message.to_string())).await?)
}

/// The next message of one of the wanted types.
async fn hear(socket: &mut Socket, wanted: &[&str]) -> anyhow::Result<Value> {
    let listen = async {
        while let Some(frame) = socket.next().await {
            let Message::Text(text) = frame? else { continue };
            let message: Value = serde_json::from_str(&text)?;
            if wanted.iter().any(|w| message["type"] == *w) {
                return Ok(message);
            }
        }
        anyhow::bail!("the socket closed while waiting for {wanted:?}")
    };
    tokio::time::timeout(Duration::from_secs(20), listen).await?
}

#[tokio::test]
async fn a_guest_watches_an_order_become_confirmed_and_resumes() -> anyhow::Result<()> {
    let port = Shop::shared().await?;
    let nobody = Api::new(port);
    let sku = new_sku(&nobody.demo("merchant").await?, 5).await?;
    let placed = nobody
        .post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 1))
        .await?
        .expect(201)
        .json();
    let (id, token) = (placed["orderId"].as_str().unwrap(), placed["orderToken"].as_str().unwrap());

    let mut socket = open(port, "/ws/orders").await?;
    say(&mut socket, json!({"type": "authenticate", "token": token})).await?;
    say(&mut socket, json!({"type": "subscribe", "orderId": id})).await?;
    let first = hear(&mut socket, &["order.status"]).await?;
    assert_eq!((&first["status"], &first["seq"]), (&json!("PENDING"), &json!(1)));
    let owner = nobody.order_token(token);
    owner
        .post_once(&format!("/api/v1/orders/{id}/pay"), &fresh_key(), &card("tok_ok"))
        .await?
        .expect(200);
    let mut told = vec![];
    while told.last() != Some(&json!("CONFIRMED")) {
        told.push(hear(&mut socket, &["order.status"]).await?["status"].clone());
    }
    assert_eq!(told, ["PAID", "CONFIRMED"]);
    drop(socket);

    let mut again = open(port, "/ws/orders").await?;
    say(&mut again, json!({"type": "authenticate", "token": token})).await?;
    say(&mut again, json!({"type": "subscribe", "orderId": id, "after": 1})).await?;
    let next = hear(&mut again, &["order.status", "reset"]).await?;
    assert_eq!((&next["type"], &next["seq"]), (&json!("order.status"), &json!(2)));
    Ok(())
}

#[tokio::test]
async fn strangers_hear_nothing_and_staff_hear_everything() -> anyhow::Result<()> {
    let port = Shop::shared().await?;
    let nobody = Api::new(port);
    let sku = new_sku(&nobody.demo("merchant").await?, 5).await?;
    let login = json!({"email": "admin@demo.bellavista.test", "password": e2e::api::DEMO_PASSWORD});
    let tokens = nobody.post("/api/v1/users/login", &login).await?.expect(200).json();
    let mut staff = open(port, "/ws/admin").await?;
    say(&mut staff, json!({"type": "authenticate", "token": tokens["accessToken"]})).await?;
    say(&mut staff, json!({"type": "subscribe", "channel": "admin"})).await?;
    hear(&mut staff, &["subscribed"]).await?;

    let placed = nobody
        .post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 1))
        .await?
        .expect(201)
        .json();
    loop {
        let row = hear(&mut staff, &["order"]).await?;
        if row["orderId"] == placed["orderId"] {
            assert_eq!(row["orderNumber"], placed["orderNumber"]);
            break;
        }
    }
    let mut stranger = open(port, "/ws/orders").await?;
    say(&mut stranger, json!({"type": "subscribe", "orderId": placed["orderId"]})).await?;
    assert_eq!(hear(&mut stranger, &["error", "order.status"]).await?["type"], "error");
    Ok(())
}
