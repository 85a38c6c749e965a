//! A bench with inventory on it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::clients::fault::FaultSwitch;
use contracts::clients::{SetAsideClient, StockClient};
use contracts::generated::bellavista::inventory::v1 as proto;
use inventory::MIGRATIONS;
use platform::Service;
use platform::consumer::Consumer;
use platform::testing::{self, Bench, Client, TestAnswer};
use serde_json::Value;
use shared_types::{OrderId, ProductId, Role, Sku, UserId, VariantId};
use tonic::Status;

pub const DEFAULTS: &str = include_str!("../../../../bellavista/default.toml");

pub struct Shop {
    pub bench: Bench,
    pub stock: Arc<dyn StockClient>,
    pub set_asides: Arc<dyn SetAsideClient>,
    pub http: Client,
    pub consumer: Consumer,
    pub fault: FaultSwitch,
    pub product: ProductId,
    /// Behind a lock, because its tasks are not `Sync`.
    pub service: Mutex<Service>,
}

pub async fn shop() -> Shop {
    let bench = testing::house("inventory", &MIGRATIONS, DEFAULTS).await;
    let fault = FaultSwitch::default();
    let built = inventory::build(bench.ctx.clone(), fault.clone()).expect("builds");
    let mut service = built.service;
    Shop {
        http: bench.client(&service),
        consumer: service.consumer.take().expect("a consumer"),
        stock: built.client,
        set_asides: built.set_asides,
        fault,
        product: bench.id(),
        service: Mutex::new(service),
        bench,
    }
}

impl Shop {
    /// Opens stock of a new variant of the shop's product.
    pub async fn open(&self, sku: &str, qty: i64) -> VariantId {
        let variant: VariantId = self.bench.id();
        let opened = self.open_as(variant, sku, qty).await.expect("opened");
        assert_eq!(opened.on_hand, qty);
        variant
    }

    pub async fn open_as(
        &self,
        variant: VariantId,
        sku: &str,
        qty: i64,
    ) -> Result<proto::OpenStockResponse, Status> {
        let request = proto::OpenStockRequest {
            variant_id: variant.to_string(),
            sku: sku.to_owned(),
            qty,
            product_id: self.product.to_string(),
        };
        self.stock.open_stock(request).await
    }

    pub async fn reserve(
        &self,
        order: OrderId,
        lines: &[(&str, i64)],
    ) -> Result<proto::ReserveResponse, Status> {
        self.stock.reserve(reserve_request(order, lines)).await
    }

    /// Reserves for a new order and expects to get it.
    pub async fn hold(&self, lines: &[(&str, i64)]) -> OrderId {
        let order: OrderId = self.bench.id();
        let answer = self.reserve(order, lines).await.expect("answered");
        assert_eq!(answer.outcome(), proto::ReserveOutcome::Held, "{answer:?}");
        order
    }

    pub async fn confirm(&self, order: OrderId) -> proto::ConfirmOutcome {
        let request = proto::ConfirmRequest { order_id: order.to_string() };
        self.stock.confirm(request).await.expect("answered").outcome()
    }

    pub async fn release(&self, order: OrderId) -> bool {
        let request = proto::ReleaseRequest { order_id: order.to_string() };
        self.stock.release(request).await.expect("answered").released
    }

    pub async fn pin(&self, order: OrderId, pinned: bool, extend: bool) -> proto::PinHoldResponse {
        let request = proto::PinHoldRequest { order_id: order.to_string(), pinned, extend };
        self.stock.pin_hold(request).await.expect("answered")
    }

    pub async fn take_back(
        &self,
        return_id: uuid::Uuid,
        order: OrderId,
        lines: &[(&str, i64)],
    ) -> Result<bool, Status> {
        let lines = reserve_request(order, lines).lines;
        let (return_id, order_id) = (return_id.to_string(), order.to_string());
        let request = proto::ReturnStockRequest { return_id, order_id, lines };
        Ok(self.stock.return_stock(request).await?.returned)
    }

    /// on hand, held, allocated, available.
    pub async fn level(&self, sku: &str) -> [i64; 4] {
        let query = proto::StockQuery { skus: vec![sku.to_owned()] };
        let level = self.stock.query(query).await.expect("answered").levels.remove(0);
        assert!(level.known, "{sku} is not known");
        [level.on_hand, level.held, level.allocated, level.available]
    }

    /// Runs the background tasks until the end of the test.
    pub fn run_tasks(&self) {
        for (name, task) in std::mem::take(&mut self.service.lock().unwrap().tasks) {
            self.bench.ctx.lifecycle.spawn(name, task);
        }
    }

    /// Waits until `sku` shows `wanted`.
    pub async fn until(&self, sku: &str, wanted: [i64; 4]) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let level = self.level(sku).await;
            if level == wanted {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{sku} stays {level:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fails the test when a promise of the schema is broken.
    pub async fn prove(&self) {
        self.prove_books().await;
        let oversold: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM stock WHERE held + allocated + set_aside > on_hand",
        )
        .fetch_one(self.bench.pool())
        .await
        .unwrap();
        assert_eq!(oversold, 0, "oversold");
    }

    /// The same, but more may be promised than a count found.
    pub async fn prove_books(&self) {
        for sql in [
            "SELECT count(*) FROM ledger_violations",
            "SELECT count(*) FROM hold_violations",
            "SELECT count(*) FROM set_aside_violations",
            "SELECT count(*) FROM backorder_violations",
        ] {
            let rows: i64 = sqlx::query_scalar(sql).fetch_one(self.bench.pool()).await.unwrap();
            assert_eq!(rows, 0, "{sql}");
        }
    }

    /// Another instance of the service on the same schema.
    pub fn second_instance(&self) -> Arc<dyn StockClient> {
        inventory::build(self.bench.ctx.clone(), FaultSwitch::default()).expect("builds").client
    }

    /// A merchant's request.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> TestAnswer {
        let token = self.merchant();
        let request = match method {
            "GET" => return self.http.get(path).bearer(&token).send().await,
            "PUT" => self.http.put(path),
            _ => self.http.post(path),
        };
        request.bearer(&token).json(&body).send().await
    }

    pub fn merchant(&self) -> String {
        self.bench.token_for_user(self.bench.id::<UserId>(), &[Role::Merchant])
    }

    pub fn shopper(&self) -> String {
        self.bench.token_for_user(self.bench.id::<UserId>(), &[Role::Customer])
    }

    /// A second warehouse behind the first one.
    pub async fn second_warehouse(&self) {
        sqlx::query("INSERT INTO warehouses (code, name, priority) VALUES ('north', 'North', 2)")
            .execute(self.bench.pool())
            .await
            .unwrap();
    }
}

pub fn reserve_request(order: OrderId, lines: &[(&str, i64)]) -> proto::ReserveRequest {
    let line = |(sku, qty): &(&str, i64)| proto::Line {
        sku: (*sku).to_owned(),
        qty: *qty,
        sale_id: String::new(),
    };
    proto::ReserveRequest {
        order_id: order.to_string(),
        lines: lines.iter().map(line).collect(),
        ttl_seconds: 0,
        accept_backorder: false,
    }
}

pub fn sku(text: &str) -> Sku {
    text.parse().unwrap()
}

/// The stable code of a refusal.
pub fn code(status: &Status) -> &str {
    status.metadata().get("x-bv-code").and_then(|v| v.to_str().ok()).unwrap_or_default()
}
