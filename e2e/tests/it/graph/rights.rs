//! Role × operation × owner: what a caller may do is the same over REST and over
//! the graph, is what the table says, and the table has every operation.

use std::collections::BTreeSet;

use anyhow::Context as _;
use e2e::api::Api;
use e2e::shop::Shop;
use serde_json::json;

use super::operations::{self, NOBODY, Scene, root_of};
use super::{ask, new_product, router_is_there};
use crate::{fresh_key, order_of};

const SCHEMA: &str = include_str!("../../../../backend/contracts/graphql/schema.graphql");
/// Root fields that REST has no form of: what is asked by an id of any type, and
/// the account of whoever asks.
const OF_THE_GRAPH_ALONE: [&str; 2] = ["me", "node"];

/// The fields of a type of the schema, which is printed with one to a line.
fn fields_of(kind: &str) -> BTreeSet<&'static str> {
    let (_, rest) = SCHEMA.split_once(&format!("\ntype {kind} {{\n")).unwrap_or_default();
    let (body, _) = rest.split_once("\n}\n").unwrap_or_default();
    let mut in_words = false;
    let mut fields = BTreeSet::new();
    for line in body.lines() {
        let marks = line.matches("\"\"\"").count();
        if marks == 0 && !in_words {
            let field = line.strip_prefix("  ").unwrap_or(line);
            let end = field.find(['(', ':']).unwrap_or(0);
            if end > 0 && !field.starts_with([' ', ')']) {
                fields.insert(&field[..end]);
            }
        }
        in_words ^= marks == 1;
    }
    fields
}

#[test]
fn the_table_has_every_operation_of_the_schema() {
    let nothing = || String::from(NOBODY);
    let scene = Scene {
        order: nothing(),
        sku: nothing(),
        product: nothing(),
        payment: nothing(),
        owner: nothing(),
        guest: nothing(),
    };
    let table: BTreeSet<_> =
        operations::all(&scene).iter().map(|operation| root_of(operation.field)).collect();
    let (queries, mutations) = (fields_of("Query"), fields_of("Mutation"));
    assert!(queries.contains("product") && mutations.contains("placeOrder"), "{queries:?}");
    let schema: BTreeSet<_> = queries
        .into_iter()
        .chain(mutations)
        .filter(|field| !OF_THE_GRAPH_ALONE.contains(field))
        .collect();
    assert_eq!(table, schema);
}

/// A canceled order and a payment intent of `owner`, and a product.
async fn scene(nobody: &Api, owner: &Api, merchant: &Api) -> anyhow::Result<Scene> {
    let (sku, product) = new_product(merchant, 50).await?;
    let placed = owner.post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 1)).await?;
    let order = placed.expect(201).json()["orderId"].as_str().unwrap_or_default().to_owned();
    let why = json!({ "reason": "changed my mind" });
    owner.post(&format!("/api/v1/orders/{order}/cancel"), &why).await?.expect(200);
    let money = json!({ "amount": 5, "currency": "USD" });
    let made = owner.post_once("/api/v1/payments/intent", &fresh_key(), &money).await?;
    let payment = made.expect(201).json()["paymentId"].as_str().unwrap_or_default().to_owned();
    let me = ask(owner, "{ me { userId } }", json!({})).await?.json();
    let owner = me["data"]["me"]["userId"].as_str().context("nobody")?.to_owned();
    let guest = nobody.get("/api/v1/cart").await?;
    let cookie = guest.header("set-cookie").split(';').next().unwrap_or_default();
    let guest = cookie.strip_prefix("bv_guest=").context("no guest")?.to_owned();
    Ok(Scene { order, sku, product, payment, owner, guest })
}

#[tokio::test]
async fn every_role_may_do_the_same_over_rest_and_over_the_graph() -> anyhow::Result<()> {
    let nobody = Api::new(Shop::shared().await?);
    router_is_there(&nobody).await?;
    let (owner, merchant) = (nobody.demo("shopper").await?, nobody.demo("merchant").await?);
    let email = format!("stranger-{}@example.org", fresh_key());
    let person = json!({ "email": email, "password": "a long password", "firstName": "Eve", "lastName": "L" });
    nobody.post("/api/v1/users/register", &person).await?.expect(201);
    let scene = scene(&nobody, &owner, &merchant).await?;
    let callers = [
        ('o', owner),
        ('g', nobody.clone()),
        ('s', nobody.signed_in(&email, "a long password").await?),
        ('m', merchant),
        ('p', nobody.demo("partner").await?),
        ('O', nobody.demo("operator").await?),
        ('A', nobody.demo("admin").await?),
    ];
    let mut wrong = Vec::new();
    for (who, api) in &callers {
        for operation in operations::all(&scene) {
            let (rest, graph) = operation.both(api).await?;
            let may = operation.allowed.contains(*who);
            let let_in = |outcome: &operations::Outcome| {
                !outcome.barred || (operation.of_nothing && outcome.nothing)
            };
            // Where REST says why there is nothing, a query's null does not.
            let alike = rest.word == graph.word || (rest.nothing && graph.word == "nothing");
            if (let_in(&rest), let_in(&graph), alike) != (may, may, true) {
                let field = operation.field;
                wrong.push(format!("{who} {field}: table {may}, REST {rest:?}, graph {graph:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
