//! A bench with cart on it, and a catalogue that answers as it is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cart::MIGRATIONS;
use contracts::clients::{CartClient, CatalogClient};
use contracts::events::products::{ProductUpdated, ProductVariant};
use contracts::generated::bellavista::catalog::v1 as proto;
use platform::Service;
use platform::consumer::Consumer;
use platform::testing::{self, Bench, Client, TestAnswer};
use serde_json::json;
use shared_types::cart::Cart;
use shared_types::catalog::{Media, ProductStatus};
use shared_types::{Currency, GuestId, Money, ProductId, Role, Sku, UserId};
use tonic::Status;

pub const DEFAULTS: &str = include_str!("../../../../bellavista/default.toml");

/// Knows what it is told; may be away.
#[derive(Default)]
pub struct TestCatalog {
    pub variants: Mutex<HashMap<String, proto::Variant>>,
    pub away: AtomicBool,
    pub asked: AtomicUsize,
}

#[async_trait]
impl CatalogClient for TestCatalog {
    async fn find_variants(
        &self,
        request: proto::FindVariantsRequest,
    ) -> Result<proto::FindVariantsResponse, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Err(Status::unavailable("away"));
        }
        let known = self.variants.lock().unwrap();
        let variants =
            request.skus.iter().filter_map(|s| known.get(&s.to_lowercase()).cloned()).collect();
        Ok(proto::FindVariantsResponse { variants })
    }
}

pub struct Shop {
    pub bench: Bench,
    pub http: Client,
    pub consumer: Consumer,
    pub catalog: Arc<TestCatalog>,
    pub carts: Arc<dyn CartClient>,
    pub service: Mutex<Service>,
}

pub async fn shop() -> Shop {
    let bench = testing::house("cart", &MIGRATIONS, DEFAULTS).await;
    let catalog = Arc::new(TestCatalog::default());
    let built = cart::build(bench.ctx.clone(), catalog.clone()).expect("builds");
    let mut service = built.service;
    Shop {
        http: bench.client(&service),
        consumer: service.consumer.take().expect("a consumer"),
        catalog,
        carts: built.client,
        service: Mutex::new(service),
        bench,
    }
}

pub fn sku(text: &str) -> Sku {
    text.parse().unwrap()
}

pub fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::USD)
}

impl Shop {
    /// An event about an active product with these skus and prices.
    pub fn product(
        &self,
        id: ProductId,
        version: i64,
        variants: &[(&str, Money)],
    ) -> ProductUpdated {
        let variant = |(name, price): &(&str, Money)| ProductVariant {
            id: self.bench.id(),
            sku: sku(name),
            title: String::new(),
            price: price.amount(),
            currency: price.currency,
            options: BTreeMap::new(),
            opening_stock: None,
        };
        ProductUpdated {
            product_id: id,
            version,
            slug: "mug".to_owned(),
            title: "Mug".to_owned(),
            description: String::new(),
            categories: Vec::new(),
            status: ProductStatus::Active,
            media: vec![Media { url: "/media/mug.svg".to_owned(), alt: "A mug".to_owned() }],
            variants: variants.iter().map(variant).collect(),
            updated_at: self.bench.clock().now(),
        }
    }

    /// Sells these skus at these prices.
    pub async fn sell(&self, variants: &[(&str, Money)]) -> ProductId {
        let id: ProductId = self.bench.id();
        let event = self.product(id, 1, variants);
        self.bench.deliver(&self.consumer, &event).await.expect("heard");
        id
    }

    pub fn guest(&self) -> (GuestId, String) {
        let id: GuestId = self.bench.id();
        (id, self.bench.guest_token(id))
    }

    pub fn user(&self) -> (UserId, String) {
        let id: UserId = self.bench.id();
        (id, self.bench.token_for_user(id, &[Role::Customer]))
    }

    pub async fn add(&self, token: &str, sku: &str, qty: i64) -> TestAnswer {
        let body = json!({"sku": sku, "qty": qty});
        self.http.post("/cart/items").bearer(token).json(&body).send().await
    }

    pub async fn cart(&self, token: &str) -> Cart {
        self.http.get("/cart").bearer(token).send().await.expect(200).json()
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.bench.pool()).await.unwrap()
    }
}

/// Skus and units.
pub fn contents(cart: &Cart) -> Vec<(String, i64)> {
    cart.items.iter().map(|i| (i.sku.to_string(), i.qty)).collect()
}

pub fn lines(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|(sku, qty)| ((*sku).to_owned(), *qty)).collect()
}
