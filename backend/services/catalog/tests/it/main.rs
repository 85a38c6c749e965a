//! The service over real PostgreSQL, with an inventory that can be sent away.

mod change;
mod create;
mod graph;
mod lists;
mod stock;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contracts::clients::fault::FaultSwitch;
use contracts::clients::{CatalogClient, StockClient};
use contracts::generated::bellavista::inventory::v1 as inventory;
use platform::Service;
use platform::consumer::Consumer;
use platform::testing::{self, Bench, Client, TestAnswer};
use serde_json::{Value, json};
use shared_types::Role;
use tonic::Status;

const SETTINGS: &str = include_str!("../../../../bellavista/default.toml");

/// An inventory that notes what it is given.
#[derive(Clone, Default)]
struct Shelf {
    away: FaultSwitch,
    /// Skus that it will not take.
    unwanted: Arc<Mutex<Vec<String>>>,
    opened: Arc<Mutex<Vec<(String, i64)>>>,
}

impl Shelf {
    fn opened(&self) -> Vec<(String, i64)> {
        self.opened.lock().unwrap().clone()
    }
}

fn unused<T>() -> Result<T, Status> {
    Err(Status::unimplemented("the catalogue does not ask for this"))
}

#[async_trait]
impl StockClient for Shelf {
    async fn open_stock(
        &self,
        request: inventory::OpenStockRequest,
    ) -> Result<inventory::OpenStockResponse, Status> {
        self.away.check()?;
        if self.unwanted.lock().unwrap().contains(&request.sku) {
            return Err(Status::invalid_argument("not this one"));
        }
        self.opened.lock().unwrap().push((request.sku, request.qty));
        Ok(inventory::OpenStockResponse::default())
    }
    async fn reserve(
        &self,
        _: inventory::ReserveRequest,
    ) -> Result<inventory::ReserveResponse, Status> {
        unused()
    }
    async fn release(
        &self,
        _: inventory::ReleaseRequest,
    ) -> Result<inventory::ReleaseResponse, Status> {
        unused()
    }
    async fn confirm(
        &self,
        _: inventory::ConfirmRequest,
    ) -> Result<inventory::ConfirmResponse, Status> {
        unused()
    }
    async fn query(&self, _: inventory::StockQuery) -> Result<inventory::StockStatus, Status> {
        unused()
    }
    async fn pin_hold(
        &self,
        _: inventory::PinHoldRequest,
    ) -> Result<inventory::PinHoldResponse, Status> {
        unused()
    }
    async fn return_stock(
        &self,
        _: inventory::ReturnStockRequest,
    ) -> Result<inventory::ReturnStockResponse, Status> {
        unused()
    }
}

/// The service with everything around it.
struct House {
    bench: Bench,
    client: Client,
    shelf: Shelf,
    merchant: String,
    service: Service,
    lookup: Arc<dyn CatalogClient>,
}

async fn house() -> House {
    let settings = SETTINGS.replace("opening_stock_retry_ms = 2000", "opening_stock_retry_ms = 20");
    let bench = testing::house("catalog", &catalog::MIGRATIONS, &settings).await;
    let shelf = Shelf::default();
    let built = catalog::build(bench.ctx.clone(), Arc::new(shelf.clone())).unwrap();
    let client = bench.client(&built.service);
    let merchant = bench.token_for_user(bench.id(), &[Role::Merchant]);
    House { bench, client, shelf, merchant, service: built.service, lookup: built.client }
}

impl House {
    fn consumer(&self) -> &Consumer {
        self.service.consumer.as_ref().unwrap()
    }

    async fn create(&self, product: &Value) -> TestAnswer {
        self.client.post("/products").bearer(&self.merchant).json(product).send().await
    }

    /// A product that is there: its document and its entity tag.
    async fn made(&self, product: &Value) -> (Value, String) {
        let answer = self.create(product).await.expect(201);
        (answer.value(), answer.etag().to_owned())
    }

    async fn put(&self, id: &Value, etag: &str, product: &Value) -> TestAnswer {
        let path = format!("/products/{}", id.as_str().unwrap());
        self.client.put(&path).bearer(&self.merchant).if_match(etag).json(product).send().await
    }

    /// As a visitor without any credential.
    async fn get(&self, path: &str) -> TestAnswer {
        self.client.get(path).send().await
    }

    async fn get_as_merchant(&self, path: &str) -> TestAnswer {
        self.client.get(path).bearer(&self.merchant).send().await
    }
}

fn variant(sku: &str, price: &str, stock: i64) -> Value {
    let price: Value = serde_json::from_str(price).unwrap();
    json!({"sku": sku, "title": "", "price": price, "currency": "USD", "stock": stock})
}

fn lamp(sku: &str) -> Value {
    json!({
        "title": "Lamp", "description": "Gives light.", "categories": ["Lighting"],
        "status": "ACTIVE", "variants": [variant(sku, "25.00", 7)]
    })
}
