//! Asking: the questions, where they are put, and what a right answer is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::header;
use serde::Deserialize;
use serde_json::{Value, json};

use super::catalogue::Shown;
use crate::bench::pace::{self, Pace, Paced, Word};
use crate::client::root_cause;

/// What the storefront asks for its product page.
const PRODUCT_PAGE: &str = include_str!("../../../../graph-client/documents/product_page.graphql");
/// The same without what only inventory knows.
const CATALOGUE_ALONE: &str = "query CataloguePart($id: ID!) { product(id: $id) {
    id productId slug title description categories media { url alt }
    variants { sku title price { amount currency } options { name value } } } }";

pub const RIGHT: &str = "right";
/// Everything else that was answered is cut to this length, so that like counts
/// with like.
const MAX_WORD: usize = 160;
const TIMEOUT: Duration = Duration::from_secs(20);

/// A question about one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Product, prices, availability: two subgraphs, one after the other.
    Page,
    /// What the catalogue answers by itself.
    Catalogue,
}

impl Question {
    fn document(self) -> &'static str {
        match self {
            Question::Page => PRODUCT_PAGE,
            Question::Catalogue => CATALOGUE_ALONE,
        }
    }
}

/// How a place is told who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// As a browser: a guest's cookie.
    Cookie,
    /// As the gateway: the token itself.
    Bearer,
}

/// Where questions are answered.
#[derive(Clone, Debug)]
pub struct Place {
    pub name: String,
    url: String,
    manner: Manner,
}

impl Place {
    /// The shop's front door.
    pub fn gateway(name: &str, url: &str) -> Self {
        Place { name: name.to_owned(), url: url.to_owned(), manner: Manner::Cookie }
    }

    /// Something that stands behind one.
    pub fn behind(name: &str, url: &str) -> Self {
        Place { name: name.to_owned(), url: url.to_owned(), manner: Manner::Bearer }
    }
}

/// Shoppers without an account, and what they look at. Cheap to clone.
#[derive(Clone)]
pub struct Crowd {
    http: reqwest::Client,
    /// Tokens; each may ask so often only.
    guests: Arc<Vec<String>>,
    catalogue: Arc<Vec<Shown>>,
    /// Goes round the catalogue: every request is about another product.
    next: Arc<AtomicUsize>,
}

impl Crowd {
    pub async fn gather(
        gateway: &Place,
        guests: usize,
        catalogue: Vec<Shown>,
    ) -> anyhow::Result<Self> {
        ensure!(!catalogue.is_empty(), "the catalogue is empty");
        let http = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(4_096)
            .build()?;
        let mut tokens = Vec::new();
        for _ in 0..guests {
            tokens.push(become_a_guest(&http, &gateway.url).await?);
        }
        Ok(Crowd {
            http,
            guests: Arc::new(tokens),
            catalogue: Arc::new(catalogue),
            next: Arc::default(),
        })
    }

    /// Asks at a pace; every answer is looked at.
    pub async fn ask(
        &self,
        place: &Place,
        question: Question,
        pace: Pace,
    ) -> anyhow::Result<Paced> {
        let (crowd, place) = (self.clone(), Arc::new(place.clone()));
        pace::run(pace, move |_| {
            let (crowd, place) = (crowd.clone(), place.clone());
            async move { crowd.one(&place, question).await }
        })
        .await
    }

    /// Asks once for every product; what was wrong with the answers.
    pub async fn ask_for_each(&self, place: &Place) -> Vec<Word> {
        use futures_util::StreamExt as _;
        const AT_ONCE: usize = 8;
        futures_util::stream::iter(0..self.catalogue.len())
            .map(|_| self.one(place, Question::Page))
            .buffer_unordered(AT_ONCE)
            .filter(|word| std::future::ready(word != RIGHT))
            .collect()
            .await
    }

    async fn one(&self, place: &Place, question: Question) -> Word {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let shown = &self.catalogue[turn % self.catalogue.len()];
        let guest = &self.guests[turn % self.guests.len()];
        let body = json!({ "query": question.document(), "variables": { "id": shown.id } });
        let request = self.http.post(&place.url).header(header::CONTENT_TYPE, "application/json");
        let request = match place.manner {
            Manner::Cookie => request.header(header::COOKIE, format!("bv_guest={guest}")),
            Manner::Bearer => request.bearer_auth(guest),
        };
        let answer = match request.body(body.to_string()).send().await {
            Ok(answer) => answer,
            Err(error) => return format!("no answer: {}", root_cause(&error)),
        };
        let status = answer.status().as_u16();
        let body = match answer.bytes().await {
            Ok(body) => body,
            Err(error) => return format!("half an answer: {}", root_cause(&error)),
        };
        match fault(status, &body, shown, question) {
            None => RIGHT.to_owned(),
            Some(fault) => fault.chars().take(MAX_WORD).collect(),
        }
    }
}

/// A guest's token, as the gateway gives it to a browser that has none.
async fn become_a_guest(http: &reqwest::Client, gateway: &str) -> anyhow::Result<String> {
    let ask = http.post(gateway).json(&json!({ "query": "{ __typename }" }));
    let answer = ask.send().await?.error_for_status().context("asking the graph")?;
    let cookies = answer.headers().get_all(header::SET_COOKIE).iter();
    let token = cookies.filter_map(|v| v.to_str().ok()?.strip_prefix("bv_guest=")).next();
    let token = token.and_then(|cookie| cookie.split(';').next());
    Ok(token.context("the gateway made no guest of us")?.to_owned())
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
    errors: Option<Value>,
}

#[derive(Deserialize)]
struct Data {
    product: Option<Product>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Product {
    product_id: String,
    title: String,
    availability: Option<String>,
    variants: Vec<Variant>,
}

#[derive(Deserialize)]
struct Variant {
    sku: String,
    price: Price,
    availability: Option<String>,
}

#[derive(Deserialize)]
struct Price {
    amount: String,
    currency: String,
}

/// What is wrong with an answer.
fn fault(status: u16, body: &[u8], shown: &Shown, question: Question) -> Option<String> {
    let text = || String::from_utf8_lossy(body).into_owned();
    if status != 200 {
        return Some(format!("{status}: {}", text()));
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return Some(format!("unreadable: {}", text()));
    };
    if let Some(errors) = answer.errors {
        return Some(format!("errors: {errors}"));
    }
    let Some(product) = answer.data.and_then(|data| data.product) else {
        return Some("no product".to_owned());
    };
    if product.product_id != shown.id || product.title != shown.title() {
        return Some("another product".to_owned());
    }
    let right = |told: &Variant, (sku, amount): (String, String)| {
        told.sku == sku && told.price.amount == amount && told.price.currency == "USD"
    };
    let told = &product.variants;
    if told.len() != shown.variants().count()
        || !told.iter().zip(shown.variants()).all(|(told, wanted)| right(told, wanted))
    {
        return Some("other variants or prices".to_owned());
    }
    let in_stock = |told: &Option<String>| told.as_deref() == Some("IN_STOCK");
    let stocked = in_stock(&product.availability)
        && product.variants.iter().all(|variant| in_stock(&variant.availability));
    (question == Question::Page && !stocked).then(|| "not in stock".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(change: impl FnOnce(&mut Value), question: Question) -> Option<String> {
        let shown = Shown::of("0199", 3, 2);
        let variants: Vec<Value> = shown
            .variants()
            .map(|(sku, amount)| {
                json!({ "sku": sku, "price": { "amount": amount, "currency": "USD" },
                        "availability": "IN_STOCK" })
            })
            .collect();
        let product = json!({ "productId": "0199", "title": shown.title(),
            "availability": "IN_STOCK", "variants": variants });
        let mut answer = json!({ "data": { "product": product } });
        change(&mut answer);
        fault(200, answer.to_string().as_bytes(), &shown, question)
    }

    #[test]
    fn only_the_right_product_with_its_prices_and_stock_is_a_right_answer() {
        let page = |change: fn(&mut Value)| judged(change, Question::Page);
        assert_eq!(page(|_| {}), None);
        for wrong in [
            (|a| a["data"]["product"]["productId"] = json!("0198")) as fn(&mut Value),
            |a| a["data"]["product"]["variants"][1]["price"]["amount"] = json!("1.00"),
            |a| a["data"]["product"]["variants"] = json!([]),
            |a| a["data"]["product"]["variants"][0]["availability"] = Value::Null,
            |a| a["data"]["product"]["availability"] = json!("OUT"),
            |a| a["data"]["product"] = Value::Null,
            |a| a["errors"] = json!([{ "message": "x" }]),
        ] {
            assert!(page(wrong).is_some());
        }
        let bare = |a: &mut Value| a["data"]["product"]["availability"] = Value::Null;
        assert_eq!(judged(bare, Question::Catalogue), None, "it does not know");
    }
}
