//! What shoppers hear of their orders.

use std::time::Duration;

use serde_json::json;
use shared_types::live::ServerMessage;
use shared_types::{GuestId, Role, UserId};

use crate::{SETTINGS, created, house, house_with};

fn told(seq: i64, status: &str) -> (i64, String) {
    (seq, status.to_owned())
}

#[tokio::test]
async fn an_order_is_followed_from_its_picture_to_its_end_with_numbers_of_its_own() {
    let house = house().await;
    let user = house.bench.id();
    let other = house.placed_by(user).await;
    let order = house.placed_by(user).await;
    let mut socket =
        house.enter("/ws/orders", &house.bench.token_for_user(user, &[Role::Customer])).await;
    socket.subscribe(order, None).await;
    assert_eq!(socket.change().await, told(1, "PENDING"));
    house.paid(order).await;
    assert_eq!(socket.change().await, told(2, "PAID"));
    // News of another order, and a client that says nothing of use.
    house.canceled(other).await;
    socket.say(json!({"type": "ack", "seq": 2})).await;
    socket.say(json!({"type": "pong"})).await;
    house.confirmed(order).await;
    let ServerMessage::OrderStatus { seq, order_id, stage, at, .. } = socket.hear().await else {
        panic!("no change of an order")
    };
    assert_eq!((seq, order_id, stage.as_str()), (3, order, "done"));
    assert_eq!(at, house.bench.clock().now());
}

#[tokio::test]
async fn an_account_hears_of_all_its_orders_under_one_count() {
    let house = house().await;
    let (user, guest) = (house.bench.id(), house.bench.id());
    let mut socket =
        house.enter("/ws/orders", &house.bench.token_for_user(user, &[Role::Customer])).await;
    socket.say(json!({"type": "subscribe", "channel": "me"})).await;
    assert_eq!(
        socket.hear().await,
        ServerMessage::Subscribed { order_id: None, channel: Some("me".to_owned()) }
    );
    let first = house.placed_by(user).await;
    house.placed_by_guest(guest).await;
    house.placed_by(user).await;
    house.paid(first).await;
    for wanted in [told(1, "PENDING"), told(2, "PENDING"), told(3, "PAID")] {
        assert_eq!(socket.change().await, wanted);
    }
    let mut newcomer =
        house.enter("/ws/orders", &house.bench.token_for_user(user, &[Role::Customer])).await;
    newcomer.say(json!({"type": "subscribe", "channel": "me"})).await;
    newcomer.hear().await;
    for wanted in [told(2, "PENDING"), told(3, "PAID")] {
        assert_eq!(newcomer.change().await, wanted, "the picture is the newest of each order");
    }
}

#[tokio::test]
async fn who_comes_back_hears_what_was_missed() {
    let house = house().await;
    let guest = house.bench.id();
    let order = house.placed_by_guest(guest).await;
    house.paid(order).await;
    house.confirmed(order).await;
    let token = house.bench.guest_token(guest);
    let mut socket = house.enter("/ws/orders", &token).await;
    socket.subscribe(order, Some(1)).await;
    assert_eq!(socket.change().await, told(2, "PAID"));
    assert_eq!(socket.change().await, told(3, "CONFIRMED"));
    // Subscribing again starts again where it is told to.
    socket.subscribe(order, Some(2)).await;
    assert_eq!(socket.change().await, told(3, "CONFIRMED"));
    socket.subscribe(order, Some(3)).await;
    socket.subscribe(order, Some(0)).await;
    assert_eq!(socket.change().await, told(1, "PENDING"));
}

#[tokio::test]
async fn what_is_no_longer_kept_is_a_reset_and_a_picture() {
    let house = house().await;
    let user = house.bench.id();
    let order = house.placed_by(user).await;
    house.paid(order).await;
    house.confirmed(order).await;
    let mut socket =
        house.enter("/ws/orders", &house.bench.token_for_user(user, &[Role::Customer])).await;
    for unknown in [7, -1] {
        socket.subscribe(order, Some(unknown)).await;
        assert_eq!(socket.hear().await, ServerMessage::Reset, "after {unknown}");
        assert_eq!(socket.change().await, told(3, "CONFIRMED"));
    }
    let forget = |upto: i64| {
        sqlx::query("DELETE FROM live_messages WHERE seq <= $1")
            .bind(upto)
            .execute(house.bench.pool())
    };
    forget(2).await.unwrap();
    socket.subscribe(order, Some(1)).await;
    assert_eq!(socket.hear().await, ServerMessage::Reset);
    assert_eq!(socket.change().await, told(3, "CONFIRMED"));
    socket.subscribe(order, Some(2)).await;
    assert_eq!(socket.change().await, told(3, "CONFIRMED"));
    forget(3).await.unwrap();
    socket.subscribe(order, Some(3)).await;
    socket.subscribe(order, Some(2)).await;
    assert_eq!(socket.hear().await, ServerMessage::Reset, "number 3 is lost");
}

#[tokio::test]
async fn strangers_hear_nothing_of_an_order() {
    let house = house().await;
    let (owner, stranger) = (house.bench.id(), house.bench.id());
    let order = house.placed_by(owner).await;
    let tokens = [
        house.bench.token_for_user(stranger, &[Role::Customer]),
        house.bench.guest_token(house.bench.id()),
        house.bench.grant_token("order", &house.bench.id::<shared_types::OrderId>().to_string()),
    ];
    for token in tokens {
        let mut socket = house.enter("/ws/orders", &token).await;
        socket.say(json!({"type": "subscribe", "orderId": order})).await;
        assert_eq!(socket.error().await, "live.no_such_channel");
    }
    let support = house.bench.token_for_user(stranger, &[Role::Support]);
    let grant = house.bench.grant_token("order", &order.to_string());
    for token in [support, grant] {
        let mut socket = house.enter("/ws/orders", &token).await;
        socket.subscribe(order, None).await;
        assert_eq!(socket.change().await, told(1, "PENDING"));
    }
}

#[tokio::test]
async fn an_order_whose_news_is_still_on_the_way_is_waited_for() {
    let house = house().await;
    let order: shared_types::OrderId = house.bench.id();
    let grant = house.bench.grant_token("order", &order.to_string());
    let mut socket = house.enter("/ws/orders", &grant).await;
    socket.subscribe(order, Some(0)).await;
    let user: shared_types::UserId = house.bench.id();
    let late = house.placed_by(user).await;
    assert_ne!(late, order);
    let mut owner =
        house.enter("/ws/orders", &house.bench.token_for_user(user, &[Role::Customer])).await;
    owner.subscribe(late, Some(0)).await;
    assert_eq!(owner.change().await, told(1, "PENDING"));
}

#[tokio::test]
async fn another_account_on_the_same_socket_ends_the_first_ones_channels() {
    let house = house().await;
    let (first, second) = (house.bench.id(), house.bench.id());
    let (theirs, mine) = (house.placed_by(first).await, house.placed_by(second).await);
    let mut socket =
        house.enter("/ws/orders", &house.bench.token_for_user(first, &[Role::Customer])).await;
    socket.subscribe(theirs, None).await;
    socket.change().await;
    let token = house.bench.token_for_user(second, &[Role::Customer]);
    socket.say(json!({"type": "authenticate", "token": token})).await;
    assert_eq!(socket.hear().await, ServerMessage::Authenticated);
    socket.subscribe(mine, None).await;
    assert_eq!(socket.change().await, told(1, "PENDING"));
    house.paid(theirs).await;
    house.paid(mine).await;
    let ServerMessage::OrderStatus { order_id, .. } = socket.hear().await else { panic!() };
    assert_eq!(order_id, mine);
}

#[tokio::test]
async fn one_socket_has_so_many_channels_and_an_event_told_twice_is_one_message() {
    let house =
        house_with(&SETTINGS.replace("max_subscriptions = 50", "max_subscriptions = 2")).await;
    let user = house.bench.id();
    let orders =
        [house.placed_by(user).await, house.placed_by(user).await, house.placed_by(user).await];
    let mut socket =
        house.enter("/ws/orders", &house.bench.token_for_user(user, &[Role::Customer])).await;
    for order in &orders[..2] {
        socket.subscribe(*order, Some(1)).await;
    }
    socket.say(json!({"type": "subscribe", "orderId": orders[2]})).await;
    assert_eq!(socket.error().await, "live.subscriptions");
    socket.subscribe(orders[1], Some(1)).await;
    let event: contracts::events::orders::OrderConfirmed =
        crate::event(json!({"orderId": orders[0], "items": []}));
    let id = house.bench.ctx.ids.uuid();
    for _ in 0..2 {
        house.bench.deliver_as(&house.consumer, &event, id, 2).await.unwrap();
    }
    assert_eq!(socket.change().await, told(2, "CONFIRMED"));
    house.canceled(orders[1]).await;
    assert_eq!(socket.change().await, told(2, "CANCELED"));
}

#[tokio::test]
async fn a_quiet_socket_is_told_that_the_house_stands_until_its_token_ends() {
    let house =
        house_with(&SETTINGS.replace("heartbeat_seconds = 20", "heartbeat_seconds = 1")).await;
    let token = house.bench.token_for_user(house.bench.id(), &[Role::Customer]);
    let mut socket = house.enter("/ws/orders", &token).await;
    loop {
        if let tokio_tungstenite::tungstenite::Message::Text(text) = socket.next().await {
            let message = ServerMessage::parse(&text).unwrap();
            assert!(matches!(message, ServerMessage::Heartbeat { .. }), "{message:?}");
            break;
        }
    }
    house.bench.advance(Duration::from_secs(31 * 24 * 3_600));
    assert_eq!(socket.closed().await, 4401);
}

#[tokio::test]
async fn news_that_came_together_is_said_in_order_and_counted_without_gaps() {
    let house = house().await;
    let (user, guest): (UserId, GuestId) = (house.bench.id(), house.bench.id());
    let earlier = house.placed_by(user).await;
    let (first, second) = (house.bench.id(), house.bench.id());
    let created = |order, buyer| house.bench.received(&created(order, buyer)).unwrap();
    let paid = |order| house.bench.received(&house.payment(order)).unwrap();
    let events = [
        created(first, ("userId", user.to_string())),
        paid(earlier),
        created(second, ("guestId", guest.to_string())),
        paid(first),
    ];
    house.bench.deliver_together(&house.consumer, &events).await.unwrap();
    let mut socket =
        house.enter("/ws/orders", &house.bench.token_for_user(user, &[Role::Customer])).await;
    socket.say(json!({"type": "subscribe", "channel": "me", "after": 1})).await;
    socket.hear().await;
    for (seq, order, status) in [(2, first, "PENDING"), (3, earlier, "PAID"), (4, first, "PAID")] {
        let ServerMessage::OrderStatus { seq: heard, order_id, status: is, .. } =
            socket.hear().await
        else {
            panic!("no change of an order")
        };
        assert_eq!((heard, order_id, is.as_str()), (seq, order, status));
    }
    // An order that nobody knows: nothing of what came with it is said.
    let unknown = [paid(second), paid(house.bench.id())];
    assert!(house.bench.deliver_together(&house.consumer, &unknown).await.is_err());
    house.bench.deliver_together(&house.consumer, &unknown[..1]).await.unwrap();
    let mut socket = house.enter("/ws/orders", &house.bench.guest_token(guest)).await;
    socket.subscribe(second, Some(1)).await;
    assert_eq!(socket.change().await, told(2, "PAID"));
}
