//! A shop around the service: neighbours that do as they are told.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::clients::{CartClient, CatalogClient, PaymentsClient, StockClient};
use contracts::generated::bellavista::{
    cart::v1 as carts, catalog::v1 as catalog, inventory::v1 as stock, payments::v1 as pay,
};
use orders::{Clients, Crank, MIGRATIONS};
use platform::Service;
use platform::testing::{self, Bench, Client, TestAnswer};
use serde_json::{Value, json};
use shared_types::{GuestId, OrderId, Role, UserId};
use tonic::Status;

/// Failures of one step after which a person is told, as shipped.
pub const STUCK_AFTER: u32 = 48;

/// What a neighbour does with the next call of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The call never arrives.
    Away,
    /// It is carried out, but the answer is lost.
    LostAnswer,
    /// The answer with this name: `short`, `gone`, `declined`, `pending`, `not_sent`, …
    Say(&'static str),
}

/// What happened at the neighbours'.
#[derive(Default)]
pub struct World {
    script: HashMap<&'static str, VecDeque<Act>>,
    pub calls: Vec<String>,
    pub held: HashMap<String, Vec<(String, i64)>>,
    pub pinned: HashSet<String>,
    pub allocated: HashSet<String>,
    pub attempts: HashMap<String, (String, i64, &'static str)>,
    /// Minor units per order, each successful charge counted.
    pub charged: HashMap<String, i64>,
    pub refunds: HashMap<String, i64>,
    pub returned: HashMap<String, Vec<(String, i64)>>,
    pub variants: Vec<catalog::Variant>,
    pub carts: HashMap<String, (String, Vec<(String, i64)>)>,
    pub hold_until: i64,
}

/// Cheap to clone; clones are one world.
#[derive(Clone, Default)]
pub struct Neighbours(pub Arc<Mutex<World>>);

impl Neighbours {
    pub fn will(&self, call: &'static str, act: Act) {
        self.lock().script.entry(call).or_default().push_back(act);
    }

    pub fn lock(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Nothing was ever held, charged or refunded; products and carts stay.
    pub fn forget(&self) {
        let mut world = self.lock();
        let old = std::mem::take(&mut *world);
        world.variants = old.variants;
        world.carts = old.carts;
        world.hold_until = old.hold_until;
    }

    pub fn count(&self, call: &str) -> usize {
        self.lock().calls.iter().filter(|c| *c == call).count()
    }

    fn act(&self, call: &'static str) -> Result<(Option<&'static str>, bool), Status> {
        let mut world = self.lock();
        world.calls.push(call.to_owned());
        match world.script.get_mut(call).and_then(VecDeque::pop_front) {
            None => Ok((None, false)),
            Some(Act::Away) => Err(Status::unavailable("away")),
            Some(Act::LostAnswer) => Ok((None, true)),
            Some(Act::Say(word)) => Ok((Some(word), false)),
        }
    }
}

fn answer<T>(lost: bool, value: T) -> Result<T, Status> {
    if lost { Err(Status::unavailable("the answer is lost")) } else { Ok(value) }
}

fn pairs(lines: &[stock::Line]) -> Vec<(String, i64)> {
    lines.iter().map(|l| (l.sku.clone(), l.qty)).collect()
}

#[async_trait]
impl StockClient for Neighbours {
    async fn reserve(&self, r: stock::ReserveRequest) -> Result<stock::ReserveResponse, Status> {
        let (word, lost) = self.act("reserve")?;
        if word == Some("refuse") {
            return Err(Status::invalid_argument("no such stock, or none for this order"));
        }
        if word == Some("short") {
            let short = r.lines.iter().map(|l| stock::ShortLine {
                sku: l.sku.clone(),
                requested: l.qty,
                available: 0,
            });
            return Ok(stock::ReserveResponse {
                outcome: stock::ReserveOutcome::Short.into(),
                expires_at: None,
                short: short.collect(),
                waiting: Vec::new(),
            });
        }
        let mut world = self.lock();
        world.held.insert(r.order_id.clone(), pairs(&r.lines));
        let expires_at = Some(prost_types::Timestamp { seconds: world.hold_until, nanos: 0 });
        drop(world);
        let outcome = stock::ReserveOutcome::Held.into();
        let lines = r.lines.into_iter().filter(|_| word == Some("waiting"));
        let waiting = lines.map(|l| stock::WaitingLine { sku: l.sku, qty: l.qty }).collect();
        let short = Vec::new();
        answer(lost, stock::ReserveResponse { outcome, expires_at, short, waiting })
    }

    async fn release(&self, r: stock::ReleaseRequest) -> Result<stock::ReleaseResponse, Status> {
        let (_, lost) = self.act("release")?;
        let mut world = self.lock();
        world.pinned.remove(&r.order_id);
        let allocated = world.allocated.remove(&r.order_id);
        let released = world.held.remove(&r.order_id).is_some() || allocated;
        drop(world);
        answer(lost, stock::ReleaseResponse { released, ..Default::default() })
    }

    async fn confirm(&self, r: stock::ConfirmRequest) -> Result<stock::ConfirmResponse, Status> {
        let (word, lost) = self.act("confirm")?;
        let mut world = self.lock();
        if word == Some("gone") {
            world.held.remove(&r.order_id);
        }
        let held = world.held.remove(&r.order_id).is_some();
        if held {
            world.allocated.insert(r.order_id.clone());
        }
        let outcome = match world.allocated.contains(&r.order_id) {
            true => stock::ConfirmOutcome::Confirmed.into(),
            false => stock::ConfirmOutcome::HoldGone.into(),
        };
        drop(world);
        answer(lost, stock::ConfirmResponse { outcome, ..Default::default() })
    }

    async fn query(&self, _: stock::StockQuery) -> Result<stock::StockStatus, Status> {
        Ok(stock::StockStatus::default())
    }

    async fn open_stock(
        &self,
        _: stock::OpenStockRequest,
    ) -> Result<stock::OpenStockResponse, Status> {
        Ok(stock::OpenStockResponse::default())
    }

    async fn pin_hold(&self, r: stock::PinHoldRequest) -> Result<stock::PinHoldResponse, Status> {
        let (word, lost) = self.act(if r.pinned { "pin" } else { "unpin" })?;
        let mut world = self.lock();
        if word == Some("gone") {
            world.held.remove(&r.order_id);
        }
        let held = world.held.contains_key(&r.order_id);
        match r.pinned && held {
            true => world.pinned.insert(r.order_id.clone()),
            false => world.pinned.remove(&r.order_id),
        };
        let expires_at = Some(prost_types::Timestamp { seconds: world.hold_until, nanos: 0 });
        drop(world);
        answer(lost, stock::PinHoldResponse { held, expires_at })
    }

    async fn return_stock(
        &self,
        r: stock::ReturnStockRequest,
    ) -> Result<stock::ReturnStockResponse, Status> {
        let (_, lost) = self.act("return")?;
        let lines = pairs(&r.lines);
        let returned = self.lock().returned.insert(r.return_id, lines).is_none();
        answer(lost, stock::ReturnStockResponse { returned })
    }
}

pub const PAYMENT: &str = "0199aaaa-0000-7000-8000-00000000000a";

fn outcome_of(word: &str) -> pay::CaptureResponse {
    let outcome = match word {
        "captured" => pay::CaptureOutcome::Captured,
        "declined" => pay::CaptureOutcome::Declined,
        "not_sent" => pay::CaptureOutcome::NotSent,
        _ => pay::CaptureOutcome::Pending,
    };
    pay::CaptureResponse {
        outcome: outcome.into(),
        payment_id: if word == "captured" { PAYMENT.to_owned() } else { String::new() },
        decline_code: if word == "declined" { "card_declined".to_owned() } else { String::new() },
        known: true,
    }
}

#[async_trait]
impl PaymentsClient for Neighbours {
    async fn capture(&self, r: pay::CaptureRequest) -> Result<pay::CaptureResponse, Status> {
        let (word, lost) = self.act("capture")?;
        let mut world = self.lock();
        let by_token = if r.token == "tok_declined" { "declined" } else { "captured" };
        let known = world.attempts.get(&r.attempt_id).map(|(_, _, known)| *known);
        let word = known.unwrap_or(word.unwrap_or(by_token));
        if known.is_none() {
            world.attempts.insert(r.attempt_id, (r.order_id.clone(), r.amount_minor, word));
            if word == "captured" {
                *world.charged.entry(r.order_id).or_default() += r.amount_minor;
            }
        }
        drop(world);
        answer(lost, outcome_of(word))
    }

    async fn get_attempt(&self, r: pay::GetAttemptRequest) -> Result<pay::CaptureResponse, Status> {
        let (word, lost) = self.act("get_attempt")?;
        let mut world = self.lock();
        let mut charged = None;
        let found = world.attempts.get_mut(&r.attempt_id).map(|attempt| {
            if let Some(word) = word.filter(|_| attempt.2 == "pending") {
                attempt.2 = word;
                if word == "captured" {
                    charged = Some((attempt.0.clone(), attempt.1));
                }
            }
            attempt.2
        });
        if let Some((order_id, minor)) = charged {
            *world.charged.entry(order_id).or_default() += minor;
        }
        drop(world);
        answer(lost, found.map_or(pay::CaptureResponse::default(), outcome_of))
    }

    async fn refund(&self, r: pay::RefundRequest) -> Result<pay::RefundResponse, Status> {
        let (word, lost) = self.act("refund")?;
        let outcome = match word {
            Some("pending") => pay::RefundOutcome::RefundPending,
            Some("too_much") => pay::RefundOutcome::RefundTooMuch,
            _ => pay::RefundOutcome::Refunded,
        };
        if outcome == pay::RefundOutcome::Refunded {
            self.lock().refunds.insert(r.refund_id, r.amount_minor);
        }
        answer(lost, pay::RefundResponse { outcome: outcome.into(), refundable_minor: 0 })
    }
}

#[async_trait]
impl CatalogClient for Neighbours {
    async fn find_variants(
        &self,
        r: catalog::FindVariantsRequest,
    ) -> Result<catalog::FindVariantsResponse, Status> {
        self.act("find_variants")?;
        let wanted: Vec<String> = r.skus.iter().map(|s| s.to_lowercase()).collect();
        let world = self.lock();
        let known = world.variants.iter().filter(|v| wanted.contains(&v.sku.to_lowercase()));
        Ok(catalog::FindVariantsResponse { variants: known.cloned().collect() })
    }
}

#[async_trait]
impl CartClient for Neighbours {
    async fn get_lines(
        &self,
        r: carts::GetLinesRequest,
    ) -> Result<carts::GetLinesResponse, Status> {
        self.act("get_lines")?;
        let world = self.lock();
        let cart = world.carts.get(&r.cart_id).filter(|(owner, _)| *owner == r.owner);
        let lines = cart.map(|(_, lines)| lines.clone()).unwrap_or_default();
        let lines = lines.into_iter().map(|(sku, qty)| carts::CartLine { sku, qty }).collect();
        Ok(carts::GetLinesResponse { found: cart.is_some(), lines })
    }
}

/// The settings that ship, with short waits.
fn settings(extra: &str) -> String {
    let shipped = include_str!("../../../../bellavista/default.toml");
    let start = shipped.find("[orders]").expect("the section is there");
    let section = &shipped[start..];
    let end = section
        .match_indices("\n[")
        .find(|(at, _)| !section[at + 1..].starts_with("[orders"))
        .map_or(section.len(), |(at, _)| at);
    let mut text = section[..end].to_owned();
    for (key, value) in [
        ("answer_within_ms", "400"),
        ("poll_ms", "20"),
        ("retry_first_ms", "1"),
        ("reserve_timeout_ms", "500"),
    ] {
        text = with(&text, key, value);
    }
    for line in extra.lines().filter(|l| !l.trim().is_empty()) {
        let (key, value) = line.split_once('=').expect("key = value");
        text = with(&text, key.trim(), value.trim());
    }
    text
}

fn with(text: &str, key: &str, value: &str) -> String {
    let change = |line: &str| match line.split_once('=') {
        Some((name, _)) if name.trim() == key => format!("{key} = {value}"),
        _ => line.to_owned(),
    };
    text.lines().map(change).collect::<Vec<_>>().join("\n")
}

/// The service with its neighbours, a client, and a crank for the saga.
pub struct Shop {
    pub bench: Bench,
    pub world: Neighbours,
    pub service: Service,
    pub client: Client,
    pub crank: Crank,
    pub user: UserId,
    pub token: String,
    pub staff: String,
}

pub async fn shop() -> Shop {
    shop_with("").await
}

/// A shop with changed settings, `key = value` per line.
pub async fn shop_with(extra: &str) -> Shop {
    let bench = testing::house("orders", &MIGRATIONS, &settings(extra)).await;
    let world = Neighbours::default();
    world.lock().hold_until = bench.clock().now().unix() + 600;
    for (sku, price, currency, status) in [
        ("SHIRT-M", 2_500, "USD", "ACTIVE"),
        ("MUG", 999, "USD", "ACTIVE"),
        ("TEA", 333, "GBP", "ACTIVE"),
        ("DRAFT-1", 100, "USD", "DRAFT"),
    ] {
        let variant = catalog::Variant {
            variant_id: uuid::Uuid::new_v4().to_string(),
            product_id: uuid::Uuid::new_v4().to_string(),
            sku: sku.to_owned(),
            title: format!("The {sku}"),
            price_minor: price,
            currency: currency.to_owned(),
            status: status.to_owned(),
            product_version: 1,
            ..Default::default()
        };
        world.lock().variants.push(variant);
    }
    let (service, crank) = build(&bench, &world);
    let client = bench.client(&service);
    let user: UserId = bench.id();
    let token = bench.token_for_user(user, &[Role::Customer]);
    let staff = bench.token_for_user(bench.id(), &[Role::Support]);
    Shop { bench, world, service, client, crank, user, token, staff }
}

pub fn build(bench: &Bench, world: &Neighbours) -> (Service, Crank) {
    let shared = Arc::new(world.clone());
    let clients = Clients {
        stock: shared.clone(),
        payments: shared.clone(),
        catalog: shared.clone(),
        cart: shared,
    };
    orders::build_with_crank(bench.ctx.clone(), clients).unwrap()
}

pub fn placement(lines: Value) -> Value {
    json!({
        "lines": lines,
        "email": "ada@example.org",
        "shippingAddress": {"name": "Ada L", "line1": "1 Loop Road", "city": "Reno",
                            "postalCode": "89501", "region": "NV", "country": "US"},
        "shippingMethod": "standard",
    })
}

pub fn one_shirt() -> Value {
    placement(json!([{"sku": "SHIRT-M", "qty": 1}]))
}

pub fn with_method(mut order: Value, token: &str) -> Value {
    order["paymentMethod"] = json!({"type": "card", "token": token});
    order
}

pub fn method(token: &str) -> Value {
    json!({"paymentMethod": {"type": "card", "token": token}})
}

impl Shop {
    /// Runs the service's tasks in the background, as the runner would.
    pub fn run(&mut self) {
        for (name, task) in self.service.tasks.drain(..) {
            self.bench.ctx.lifecycle.spawn(name, task);
        }
    }

    pub async fn place(&self, key: &str, body: &Value) -> TestAnswer {
        self.client.post("/orders").bearer(&self.token).key(key).json(body).send().await
    }

    pub async fn placed(&self, key: &str, body: &Value) -> OrderId {
        let answer = self.place(key, body).await.expect(201);
        answer.value()["orderId"].as_str().unwrap().parse().unwrap()
    }

    pub async fn pay(&self, order: OrderId, key: &str, token: &str) -> TestAnswer {
        let path = format!("/orders/{order}/pay");
        self.client.post(&path).bearer(&self.token).key(key).json(&method(token)).send().await
    }

    pub async fn refund(&self, key: &str, body: &Value) -> TestAnswer {
        self.client.post("/payments/refund").bearer(&self.staff).key(key).json(body).send().await
    }

    pub async fn cancel(&self, order: OrderId, token: &str) -> TestAnswer {
        let path = format!("/orders/{order}/cancel");
        let body = json!({"reason": "changed my mind"});
        self.client.post(&path).bearer(token).json(&body).send().await
    }

    /// Status and stage.
    pub async fn status(&self, order: OrderId) -> (String, String) {
        let view = self.view(order).await;
        let text = |name: &str| view[name].as_str().unwrap().to_owned();
        (text("status"), text("stage"))
    }

    pub async fn view(&self, order: OrderId) -> Value {
        let path = format!("/orders/{order}/status");
        self.client.get(&path).bearer(&self.staff).send().await.expect(200).value()
    }

    pub async fn causes(&self, order: OrderId) -> Vec<String> {
        let view = self.view(order).await;
        let history = view["history"].as_array().unwrap().clone();
        history.iter().map(|h| h["cause"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for the running worker to bring the order there.
    pub async fn until(&self, order: OrderId, status: &str, stage: &str) {
        for _ in 0..500 {
            if self.status(order).await == (status.to_owned(), stage.to_owned()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?} instead of {status} {stage}", self.status(order).await);
    }

    /// Types of the events that wait to be published, without their prefix.
    pub async fn events(&self) -> Vec<String> {
        let rows = testing::outbox(self.bench.pool()).await;
        let short = |t: &str| t.trim_start_matches("ecommerce.order.order.").replace(".v1", "");
        rows.iter().map(|r| short(&r.event_type)).collect()
    }

    pub async fn count(&self, table: &str) -> i64 {
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(sql).fetch_one(self.bench.pool()).await.unwrap()
    }

    /// Brings a paid and confirmed order about, by hand.
    pub async fn confirmed(&self, key: &str, body: &Value) -> OrderId {
        let order = self.placed(key, &with_method(body.clone(), "tok_ok")).await;
        self.crank.run(order).await.unwrap();
        assert_eq!(self.status(order).await, ("CONFIRMED".into(), "done".into()));
        order
    }

    pub fn guest(&self) -> String {
        self.bench.guest_token(self.bench.id::<GuestId>())
    }
}
