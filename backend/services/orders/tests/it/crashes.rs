//! The matrix: every flow, dying at every place where something is stored or
//! was just stored, gone on with by another instance.

use std::time::Duration;

use serde_json::json;
use shared_types::OrderId;

use crate::support::{Act, Shop, build, one_shirt, shop_with, with_method};

/// What a buyer and the shop do in one flow.
#[derive(Clone, Copy, Debug)]
enum Flow {
    Straight,
    Declined,
    StockLost,
    PaidLater,
    Undecided,
    WithoutInventory,
    Backordered,
    CanceledByBuyer,
    CanceledBySupport,
    Compensated,
}

impl Flow {
    fn prepare(self, shop: &Shop) {
        let world = &shop.world;
        match self {
            Flow::Undecided | Flow::Compensated => world.will("capture", Act::LostAnswer),
            Flow::WithoutInventory => (0..3).for_each(|_| world.will("reserve", Act::Away)),
            Flow::Backordered => world.will("reserve", Act::Say("waiting")),
            _ => {}
        }
    }

    /// What changes once the order is placed.
    fn afterwards(self, shop: &Shop) {
        if let Flow::StockLost = self {
            shop.world.will("confirm", Act::Say("gone"));
            shop.world.will("reserve", Act::Say("short"));
        }
    }

    fn placement(self) -> serde_json::Value {
        match self {
            Flow::PaidLater | Flow::CanceledByBuyer => one_shirt(),
            Flow::Declined => with_method(one_shirt(), "tok_declined"),
            _ => with_method(one_shirt(), "tok_ok"),
        }
    }

    /// What is asked for once the order is placed; after how many rounds of work.
    fn request(self) -> Option<(usize, &'static str)> {
        match self {
            Flow::PaidLater => Some((0, "pay")),
            Flow::CanceledByBuyer | Flow::CanceledBySupport => Some((2, "cancel")),
            Flow::Compensated => Some((1, "compensate")),
            _ => None,
        }
    }
}

/// A shop whose first instance may die, and the second that goes on.
struct Pair {
    shop: Shop,
    second: platform::testing::Client,
    other: orders::Crank,
}

impl Pair {
    async fn new() -> Self {
        let shop = shop_with("answer_within_ms = 1").await;
        let (service, other) = build(&shop.bench, &shop.world);
        let second = shop.bench.client(&service);
        Pair { shop, second, other }
    }

    /// Sends to the first instance and, when that dies, again to the second.
    async fn send(&self, path: &str, key: &str, token: &str, body: &serde_json::Value) -> u16 {
        for client in [&self.shop.client, &self.second] {
            let answer = client.post(path).bearer(token).key(key).json(body).send().await;
            if answer.status.as_u16() != 500 {
                return answer.status.as_u16();
            }
        }
        panic!("the second instance failed too: {path}");
    }

    async fn place(&self, key: &str, body: &serde_json::Value) -> OrderId {
        self.send("/orders", key, &self.shop.token, body).await;
        let answer = self.second.post("/orders").bearer(&self.shop.token).key(key).json(body);
        let answer = answer.send().await;
        assert_eq!(answer.header("idempotency-replayed"), "true", "{}", answer.text());
        answer.value()["orderId"].as_str().unwrap().parse().unwrap()
    }

    /// Works on the order until it rests: the first instance while it lives.
    async fn rounds(&self, order: OrderId, rounds: usize) {
        for _ in 0..rounds {
            let alive = self.shop.crank.run(order).await.is_ok();
            if !alive {
                self.shop.bench.advance(Duration::from_secs(61));
                self.other.run(order).await.unwrap();
            }
            self.shop.bench.advance(Duration::from_secs(61));
        }
    }

    async fn ask(&self, what: &str, flow: Flow, order: OrderId, key: &str) {
        let path = format!("/orders/{order}/{what}");
        let shop = &self.shop;
        let operator = shop.bench.token_for_user(shop.bench.id(), &[shared_types::Role::Operator]);
        let why = json!({ "reason": "matrix" });
        match (what, flow) {
            ("pay", _) => {
                let body = crate::support::method("tok_ok");
                self.send(&path, &format!("pay-{key}"), &shop.token, &body).await;
            }
            ("cancel", Flow::CanceledByBuyer) => {
                self.send(&path, key, &shop.token, &why).await;
            }
            ("cancel", _) => {
                self.send(&path, key, &shop.staff, &why).await;
            }
            _ => {
                let path = format!("/admin/sagas/{order}/{what}");
                self.send(&path, key, &operator, &why).await;
            }
        }
    }

    /// What must be true of every order at rest, however it came there.
    async fn assert_sound(&self, order: OrderId, what: &str) {
        let shop = &self.shop;
        let (status, stage) = shop.status(order).await;
        assert_eq!(stage, "done", "{what}: {status}");
        let id = order.to_string();
        let charged = shop.world.lock().charged.get(&id).copied().unwrap_or(0);
        let refunded: i64 = shop.world.lock().refunds.values().sum();
        let allocated = shop.world.lock().allocated.contains(&id);
        assert!(shop.world.lock().held.is_empty(), "{what}: stock is still held");
        assert!(matches!(charged, 0 | 2_990), "{what}: charged {charged}");
        match status.as_str() {
            "CONFIRMED" => assert_eq!((charged, refunded, allocated), (2_990, 0, true), "{what}"),
            "CANCELED" | "FAILED" => {
                assert_eq!((charged - refunded, allocated), (0, false), "{what}");
            }
            other => panic!("{what}: at rest as {other}"),
        }
        let causes = shop.causes(order).await;
        let once = ["placed", "captured", "stock_confirmed", "late_capture"];
        for cause in once {
            let times = causes.iter().filter(|c| *c == cause).count();
            assert!(times <= 1, "{what}: {causes:?}");
        }
        let rows = platform::testing::outbox(shop.bench.pool()).await;
        let mine: Vec<_> = rows.iter().filter(|r| r.partition_key == id).collect();
        let ends = |r: &&&platform::testing::OutboxRow| {
            ["canceled", "failed"].iter().any(|e| r.event_type.contains(e))
        };
        let over = usize::from(status != "CONFIRMED");
        assert_eq!(mine.iter().filter(ends).count(), over, "{what}: {causes:?}");
        let versions: Vec<_> = mine.iter().map(|r| r.aggregate_version).collect();
        assert_eq!(versions, (1..=mine.len() as i64).collect::<Vec<_>>(), "{what}");
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM payment_attempts WHERE order_id = $1 AND token_sealed IS NOT NULL",
        )
        .bind(order)
        .fetch_one(shop.bench.pool())
        .await
        .unwrap();
        assert_eq!(open, 0, "{what}: a card token was left behind");
    }
}

/// Dies at every place in turn; gives how many there were.
async fn every_death(flow: Flow) -> usize {
    let pair = Pair::new().await;
    let shop = &pair.shop;
    for place in 0..100 {
        let what = format!("{flow:?} dying at place {place}");
        shop.world.forget();
        shop.world.lock().hold_until = shop.bench.clock().now().unix() + 100_000;
        flow.prepare(shop);
        shop.crank.die_at(place);
        let key = format!("{flow:?}-{place}");
        let order = pair.place(&key, &flow.placement()).await;
        flow.afterwards(shop);
        let mut rounds = 14;
        if let Some((before, request)) = flow.request() {
            pair.rounds(order, before).await;
            pair.ask(request, flow, order, &key).await;
            rounds -= before;
        }
        pair.rounds(order, rounds).await;
        let died = shop.crank.died();
        shop.crank.die_at(-1);
        pair.assert_sound(order, &what).await;
        if !died {
            return place as usize;
        }
    }
    panic!("{flow:?} has no end");
}

macro_rules! matrix {
    ($($name:ident: $flow:ident, at least $places:literal;)+) => {$(
        #[tokio::test]
        async fn $name() {
            let places = every_death(Flow::$flow).await;
            assert!(places >= $places, "only {places} places to die at");
        }
    )+};
}

matrix! {
    a_straight_order_survives_every_death: Straight, at least 12;
    a_declined_order_survives_every_death: Declined, at least 12;
    lost_stock_survives_every_death: StockLost, at least 20;
    an_order_paid_later_survives_every_death: PaidLater, at least 14;
    an_undecided_payment_survives_every_death: Undecided, at least 16;
    a_placement_without_inventory_survives_every_death: WithoutInventory, at least 16;
    a_backorder_survives_every_death: Backordered, at least 12;
    a_cancellation_by_the_buyer_survives_every_death: CanceledByBuyer, at least 8;
    a_cancellation_by_support_survives_every_death: CanceledBySupport, at least 20;
    a_compensation_survives_every_death: Compensated, at least 16;
}

#[tokio::test]
async fn two_instances_on_one_schema_share_the_work_and_never_do_it_twice() {
    const ORDERS: usize = 60;
    let mut shop = shop_with("").await;
    let (mut service, _other) = build(&shop.bench, &shop.world);
    let second = shop.bench.client(&service);
    shop.run();
    for (name, task) in service.tasks.drain(..) {
        shop.bench.ctx.lifecycle.spawn(name, task);
    }
    let mut orders = Vec::new();
    for n in 0..ORDERS {
        // One more would open the breaker.
        if n % 16 == 0 {
            shop.world.will("confirm", Act::LostAnswer);
        }
        let token = if n % 5 == 0 { "tok_declined" } else { "tok_ok" };
        let client = if n % 2 == 0 { &shop.client } else { &second };
        let body = with_method(one_shirt(), token);
        let placed = client.post("/orders").bearer(&shop.token).key(&format!("k{n}")).json(&body);
        let answer = placed.send().await.expect(201);
        let order: OrderId = answer.value()["orderId"].as_str().unwrap().parse().unwrap();
        orders.push((order, if n % 5 == 0 { "FAILED" } else { "CONFIRMED" }));
    }
    let clock = shop.bench.clock().clone();
    shop.bench.ctx.lifecycle.spawn("time", async move {
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            clock.advance(Duration::from_millis(50));
        }
        Ok(())
    });
    for (order, status) in &orders {
        shop.until(*order, status, "done").await;
    }
    shop.bench.ctx.lifecycle.stop(Duration::from_secs(5)).await.unwrap();
    assert_eq!(shop.world.count("capture"), ORDERS, "one capture each");
    assert_eq!(shop.world.lock().charged.len(), ORDERS - ORDERS / 5);
    assert!(shop.world.lock().charged.values().all(|minor| *minor == 2_990));
    assert_eq!(shop.world.lock().allocated.len(), ORDERS - ORDERS / 5);
    assert!(shop.world.lock().held.is_empty());
}
