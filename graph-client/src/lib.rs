//! Questions to the graph for programs in Rust. Storefront and console ask over REST
//! so far and do not use it; its documents are the gateway's known ones.
//!
//! Each type here is a document in `documents/`; a field that the schema does not
//! have, or a wrong variable, fails the compilation. The crate sends nothing: it
//! makes the body of a request and reads the body of an answer, so that it runs
//! in a browser, too.
//!
//! Invariant: every document is on the gateway's list of known ones
//! (`cargo xtask compose` renews it), so [`by_hash`] works where the
//! gateway answers no others.
//!
//! Start with [`ask`], then a document such as [`ProductPage`]. Answers to a
//! subscription such as [`OrderStatus`] come through [`Live`].

use std::marker::PhantomData;

use graphql_client::GraphQLQuery;
pub use graphql_client::{Error, QueryBody, Response};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared_types::{Amount, Timestamp, sse};

/// A moment, as the schema names it.
pub type DateTime = Timestamp;
/// A whole number of at most 53 bits, which JSON holds exactly, as the schema names it.
pub type Long = i64;

/// An exact decimal number: a string on the wire, never a float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal(pub Amount);

impl Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Decimal).map_err(serde::de::Error::custom)
    }
}

macro_rules! documents {
    ($($(#[$doc:meta])* $name:ident = $path:tt;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, GraphQLQuery)]
        #[graphql(
            schema_path = "../backend/contracts/graphql/schema.graphql",
            query_path = $path,
            response_derives = "Clone, Debug, PartialEq",
            variables_derives = "Clone, Debug, Default, PartialEq"
        )]
        pub struct $name;
    )*
        #[cfg(test)]
        const TEXTS: &[&str] = &[$(include_str!(concat!("../", $path))),*];
    };
}

documents! {
    /// All that a product's page shows.
    ProductPage = "documents/product_page.graphql";
    /// A page of products.
    ProductList = "documents/product_list.graphql";
    /// A page of orders: the caller's own, all for support.
    Orders = "documents/orders.graphql";
    /// One order with what happened to it.
    OrderPage = "documents/order_page.graphql";
    /// Pays an order.
    PayOrder = "documents/pay_order.graphql";
    /// Everything that happens to an order from now on; a subscription.
    OrderStatus = "documents/order_status.graphql";
    /// The stock of a product whenever it changes; a subscription.
    StockChanged = "documents/stock_changed.graphql";
}

/// The body of a request with the document's text.
pub fn ask<Q: GraphQLQuery>(variables: Q::Variables) -> QueryBody<Q::Variables> {
    Q::build_query(variables)
}

/// The body of a request that names the document by its hash: shorter, and
/// answered where only known documents are.
pub fn by_hash<Q: GraphQLQuery>(variables: Q::Variables) -> Value {
    let body = Q::build_query(variables);
    json!({
        "documentId": format!("sha256:{}", hash(body.query)),
        "operationName": body.operation_name,
        "variables": serde_json::to_value(&body.variables).unwrap_or(Value::Null),
    })
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What came back for a document.
///
/// # Errors
/// When the body is no answer to it.
pub fn read<Q: GraphQLQuery>(body: &[u8]) -> serde_json::Result<Response<Q::ResponseData>> {
    serde_json::from_slice(body)
}

/// What a request for a subscription accepts.
pub const EVENTS: &str = sse::MEDIA_TYPE;

const MAX_EVENT_BYTES: usize = 1 << 20;

/// Reads the answers to a subscription from the pieces in which they arrive.
///
/// A stream that ends before [`Live::is_complete`] was cut off. One that is complete
/// with an error of code `graph.away` or `graph.stream_over` may be opened again.
#[derive(Debug)]
pub struct Live<Q> {
    reader: sse::Reader,
    complete: bool,
    of: PhantomData<fn() -> Q>,
}

impl<Q: GraphQLQuery> Default for Live<Q> {
    fn default() -> Self {
        Live { reader: sse::Reader::new(MAX_EVENT_BYTES), complete: false, of: PhantomData }
    }
}

impl<Q: GraphQLQuery> Live<Q> {
    /// The answers that are whole with these `bytes`, in order.
    ///
    /// # Errors
    /// When one is no answer to the document, or too long.
    pub fn push(&mut self, bytes: &[u8]) -> serde_json::Result<Vec<Response<Q::ResponseData>>> {
        let too_long = |sse::TooLong| serde_json::Error::custom("an event is too long");
        let mut answers = Vec::new();
        for event in self.reader.push(bytes).map_err(too_long)? {
            match event.name.as_str() {
                "next" => answers.push(read::<Q>(event.data.as_bytes())?),
                "complete" => self.complete = true,
                _ => {}
            }
        }
        Ok(answers)
    }

    /// Whether the other side said that nothing more comes.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const KNOWN: &str = include_str!("../../backend/contracts/graphql/documents.json");

    #[test]
    fn every_document_is_a_known_one() {
        let known: BTreeMap<String, String> = serde_json::from_str(KNOWN).unwrap();
        let shipped = TEXTS.iter().map(|text| (hash(text), (*text).to_owned()));
        assert_eq!(known, shipped.collect());
        let asked = by_hash::<ProductPage>(product_page::Variables { id: "lamp".to_owned() });
        let hash = asked["documentId"].as_str().unwrap().trim_start_matches("sha256:");
        assert!(known[hash].contains("query ProductPage"), "{asked}");
    }

    #[test]
    fn an_answer_is_read_with_its_exact_amounts_and_its_errors() {
        let body = json!({
            "data": { "product": { "id": "Product:1", "productId": "1", "slug": "lamp", "title": "Lamp",
                "description": "", "categories": [], "availability": null, "media": [],
                "variants": [{ "sku": "L-1", "title": "", "availability": "LOW", "options": [],
                    "price": { "amount": "129.50", "currency": "USD" } }] } },
            "errors": [{ "message": "away", "path": ["product", "availability"],
                "extensions": { "code": "graph.part_away" } }]
        });
        let answer = read::<ProductPage>(body.to_string().as_bytes()).unwrap();
        let product = answer.data.unwrap().product.unwrap();
        assert_eq!(product.variants[0].price.amount.0.to_string(), "129.50");
        assert_eq!(answer.errors.unwrap()[0].message, "away");
    }

    #[test]
    fn answers_to_a_subscription_are_read_from_any_pieces_until_it_is_complete() {
        let order = json!({ "id": "Order:1", "status": "PAID", "stage": "CONFIRMING", "lastDecline": null,
            "refundedAmount": { "amount": "0.00", "currency": "USD" } });
        let update = json!({ "data": { "orderStatus": { "status": "PAID", "cause": "captured",
            "at": "2026-11-21T10:00:00Z", "order": order } } });
        let text = sse::write("next", &update.to_string()) + sse::HEARTBEAT;
        let text = text.clone() + &text + "event: complete\n\n";
        let mut live = Live::<OrderStatus>::default();
        let pieces = text.as_bytes().chunks(7);
        let answers: Vec<_> = pieces.flat_map(|piece| live.push(piece).unwrap()).collect();
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[1].data.as_ref().unwrap().order_status.cause, "captured");
        assert!(live.is_complete());
    }
}
