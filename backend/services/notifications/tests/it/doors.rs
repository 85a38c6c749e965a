//! Who gets in, and how one is sent away.

use serde_json::json;
use shared_types::Role;
use shared_types::live::ServerMessage;
use tokio_tungstenite::tungstenite::Message;

use crate::{SETTINGS, house, house_with};
use futures_util::SinkExt;

#[tokio::test]
async fn staff_see_every_order_and_nobody_else_does() {
    let house = house().await;
    let support = house.bench.token_for_user(house.bench.id(), &[Role::Support]);
    let mut staff = house.enter("/ws/admin", &support).await;
    staff.say(json!({"type": "subscribe", "channel": "admin"})).await;
    staff.hear().await;
    let order = house.placed_by_guest(house.bench.id()).await;
    house.placed_by(house.bench.id()).await;
    let ServerMessage::Order { seq, order_id, order_number, total_amount, currency, .. } =
        staff.hear().await
    else {
        panic!("no row of the live list")
    };
    assert_eq!((seq, order_id, order_number.as_str()), (1, order, "BV-100001"));
    assert_eq!(
        (total_amount.to_string().as_str(), currency.to_string().as_str()),
        ("25.50", "USD")
    );
    assert_eq!(staff.change().await, (2, "PENDING".to_owned()));

    let shopper = house.bench.token_for_user(house.bench.id(), &[Role::Customer]);
    for token in [shopper, house.bench.guest_token(house.bench.id())] {
        let mut stranger = house.open("/ws/admin", &[]).await.unwrap();
        stranger.say(json!({"type": "authenticate", "token": token})).await;
        assert_eq!(stranger.error().await, "auth.role_missing");
        assert_eq!(stranger.closed().await, 4403);
    }
}

#[tokio::test]
async fn a_token_may_come_with_the_handshake_as_subprotocol_or_header() {
    let house = house().await;
    let user = house.bench.id();
    let order = house.placed_by(user).await;
    let token = house.bench.token_for_user(user, &[Role::Customer]);
    let protocol = format!("other, bearer.{token}");
    let mut socket =
        house.open("/ws/orders", &[("sec-websocket-protocol", &protocol)]).await.unwrap();
    let agreed = socket.protocol.as_ref().and_then(|v| v.to_str().ok());
    assert_eq!(agreed, Some(format!("bearer.{token}").as_str()));
    assert_eq!(socket.hear().await, ServerMessage::Authenticated);
    socket.subscribe(order, None).await;
    assert_eq!(socket.change().await, (1, "PENDING".to_owned()));

    let grant = house.bench.grant_token("order", &order.to_string());
    let protocol = format!("bearer.{grant}");
    let mut socket =
        house.open("/ws/orders", &[("sec-websocket-protocol", &protocol)]).await.unwrap();
    assert_eq!(socket.hear().await, ServerMessage::Authenticated);

    let header = format!("Bearer {token}");
    let mut socket = house.open("/ws/orders", &[("authorization", &header)]).await.unwrap();
    assert_eq!(socket.hear().await, ServerMessage::Authenticated);

    let wrong = [("sec-websocket-protocol", "bearer.not-a-token")];
    assert_eq!(house.open("/ws/orders", &wrong).await.err(), Some(401));
}

#[tokio::test]
async fn pages_of_other_sites_are_turned_away() {
    let house = house().await;
    for foreign in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        for door in ["/ws/orders", "/ws/admin"] {
            assert_eq!(
                house.open(door, &[("origin", foreign)]).await.err(),
                Some(403),
                "{foreign}"
            );
        }
    }
    let own = format!("http://{}", house.address);
    for own in [own.as_str(), "tauri://localhost"] {
        assert!(house.open("/ws/orders", &[("origin", own)]).await.is_ok(), "{own}");
    }
}

#[tokio::test]
async fn nonsense_is_answered_and_the_conversation_goes_on() {
    let house = house().await;
    let user = house.bench.id();
    let order = house.placed_by(user).await;
    let mut socket =
        house.enter("/ws/orders", &house.bench.token_for_user(user, &[Role::Customer])).await;
    for nonsense in ["", "{", "[]", r#"{"type":"dance"}"#, r#"{"type":"subscribe","orderId":"7"}"#]
    {
        socket.say_text(nonsense).await;
        assert_eq!(socket.error().await, "live.unparseable", "{nonsense}");
    }
    for wrong in [
        json!({"type": "subscribe"}),
        json!({"type": "subscribe", "channel": "admin"}),
        json!({"type": "subscribe", "channel": "me", "orderId": order}),
    ] {
        socket.say(wrong.clone()).await;
        assert_eq!(socket.error().await, "live.channel", "{wrong}");
    }
    socket.subscribe(order, None).await;
    assert_eq!(socket.change().await, (1, "PENDING".to_owned()));
    socket.socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(socket.closed().await, 1003);
}

#[tokio::test]
async fn who_does_not_say_who_they_are_gets_nothing() {
    let house = house().await;
    let order = house.placed_by(house.bench.id()).await;
    let mut socket = house.open("/ws/orders", &[]).await.unwrap();
    socket.say(json!({"type": "subscribe", "orderId": order})).await;
    assert_eq!(socket.closed().await, 4401);
    let mut socket = house.open("/ws/orders", &[]).await.unwrap();
    socket.say(json!({"type": "authenticate", "token": "nonsense"})).await;
    assert_eq!(socket.error().await, "auth.invalid_token");
    assert_eq!(socket.closed().await, 4401);
}

#[tokio::test]
async fn a_full_house_says_so_and_a_draining_one_sends_everybody_elsewhere() {
    let house = house_with(&SETTINGS.replace("max_sockets = 10000", "max_sockets = 0")).await;
    assert_eq!(house.open("/ws/orders", &[]).await.err(), Some(503));
    let house = crate::house().await;
    let token = house.bench.token_for_user(house.bench.id(), &[Role::Customer]);
    let mut socket = house.enter("/ws/orders", &token).await;
    house.bench.ctx.lifecycle.drain();
    assert_eq!(socket.closed().await, 1012);
}
