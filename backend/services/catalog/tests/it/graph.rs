//! The catalogue's part of the graph.

use platform::testing::{Graph, Statements};
use serde_json::{Value, json};
use shared_types::Role;

use crate::{House, house, lamp, variant};

impl House {
    fn graph(&self) -> Graph {
        Graph::of(&self.service)
    }

    async fn lamps(&self, count: usize) -> Vec<Value> {
        let mut made = Vec::new();
        for n in 0..count {
            made.push(self.made(&lamp(&format!("L-{n}"))).await.0);
        }
        made
    }
}

const PRODUCT: &str = "{ id productId slug title status price { amount currency } version
    variants { sku price { amount currency } } }";

#[tokio::test]
async fn the_schema_is_what_service_tells_and_shows_no_table() {
    let house = house().await;
    let subgraph = house.service.graph.clone().unwrap();
    let told = house.graph().ask("{ _service { sdl } }", json!({})).await.data();
    let told = told["_service"]["sdl"].as_str().unwrap().replace('\t', "  ");
    assert_eq!(told.trim(), subgraph.sdl.trim());
    for table in ["product_categories", "from_minor", "sku_key", "opening_stock", "variant_stock"] {
        assert!(!subgraph.sdl.contains(table), "{table} leaks");
    }
}

#[tokio::test]
async fn a_product_is_found_by_node_id_plain_id_and_slug() {
    let house = house().await;
    let made = house.lamps(1).await.remove(0);
    let id = made["id"].as_str().unwrap();
    let query = format!("query($id: ID!) {{ product(id: $id) {PRODUCT} }}");
    for name in [id, &format!("Product:{id}"), made["slug"].as_str().unwrap()] {
        let product =
            house.graph().ask(&query, json!({"id": name})).await.data()["product"].clone();
        assert_eq!(product["id"], format!("Product:{id}"), "{name}");
        assert_eq!(product["productId"], id);
        assert_eq!(product["price"], json!({"amount": "25.00", "currency": "USD"}));
        assert_eq!(product["version"], 1);
    }
    for unknown in ["Order:1", "nothing", "00000000-0000-7000-8000-000000000000", "a\u{0}b"] {
        let data = house.graph().ask(&query, json!({"id": unknown})).await.data();
        assert_eq!(data["product"], Value::Null, "{unknown}");
    }
}

#[tokio::test]
async fn a_node_id_is_enough_to_ask_again() {
    let house = house().await;
    let made = house.lamps(1).await.remove(0);
    let query = "query($id: ID!) { node(id: $id) { __typename id ... on Product { title } } }";
    let ask =
        async |id: &str| house.graph().ask(query, json!({"id": id})).await.data()["node"].clone();
    let id = format!("Product:{}", made["id"].as_str().unwrap());
    assert_eq!(ask(&id).await, json!({"__typename": "Product", "id": id, "title": "Lamp"}));
    let order = "Order:00000000-0000-7000-8000-000000000000";
    assert_eq!(ask(order).await, json!({"__typename": "Order", "id": order}));
    for nothing in ["Product:00000000-0000-7000-8000-000000000000", "Order:x", "Mutation:1", "x"] {
        assert_eq!(ask(nothing).await, Value::Null, "{nothing}");
    }
}

#[tokio::test]
async fn what_shoppers_may_not_see_is_null_and_price_histories_are_for_merchants() {
    let house = house().await;
    let draft = json!({"title": "Secret", "variants": [variant("D-1", "1", 1)]});
    let (draft, _) = house.made(&draft).await;
    let query = format!("query($id: ID!) {{ product(id: $id) {PRODUCT} }}");
    let id = json!({"id": draft["id"]});
    assert_eq!(house.graph().ask(&query, id.clone()).await.data()["product"], Value::Null);
    let seen = house.graph().bearer(&house.merchant).ask(&query, id).await.data();
    assert_eq!(seen["product"]["status"], "DRAFT");

    let lamp = house.lamps(1).await.remove(0);
    let query =
        "query($id: ID!) { product(id: $id) { title prices { nodes { price { amount } } } } }";
    let variables = json!({"id": lamp["id"]});
    let shopper = house.bench.token_for_user(house.bench.id(), &[Role::Customer]);
    for (graph, code) in [
        (house.graph(), "auth.invalid_token"),
        (house.graph().bearer(&shopper), "auth.role_missing"),
    ] {
        let answer = graph.ask(query, variables.clone()).await;
        assert_eq!(answer.codes(), [code]);
        assert_eq!(answer.0["data"]["product"], json!({"title": "Lamp", "prices": null}));
    }
    let seen = house.graph().bearer(&house.merchant).ask(query, variables).await.data();
    assert_eq!(seen["product"]["prices"]["nodes"], json!([{"price": {"amount": "25.00"}}]));
}

#[tokio::test]
async fn pages_lead_from_one_to_the_next_and_lists_tell_what_rest_tells() {
    let house = house().await;
    house.lamps(5).await;
    let query = "query($after: String) { productsConnection(first: 2, after: $after,
        filter: {sort: TITLE}) { nodes { slug } pageInfo { hasNextPage endCursor } } }";
    let (mut slugs, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = house.graph().ask(query, json!({"after": after})).await.data();
        let page = &page["productsConnection"];
        slugs.extend(page["nodes"].as_array().unwrap().iter().map(|n| n["slug"].clone()));
        if page["pageInfo"]["hasNextPage"] != true {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
        assert!(slugs.len() < 10);
    }
    let rest = house.get("/products?sort=title").await.expect(200).value();
    let told: Vec<_> =
        rest["items"].as_array().unwrap().iter().map(|p| p["slug"].clone()).collect();
    assert_eq!(slugs, told);
    let list = house.graph().ask("{ products(filter: {sort: TITLE}) { slug } }", json!({})).await;
    let list = list.data()["products"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["slug"].clone())
        .collect::<Vec<_>>();
    assert_eq!(list, told);
}

#[tokio::test]
async fn statements_do_not_grow_with_the_number_of_objects() {
    let house = house().await;
    let made = house.lamps(12).await;
    let graph = house.graph().bearer(&house.merchant);
    let list = "query($n: Int) { products(filter: {first: $n}) { title variants { sku }
        prices(first: 3) { nodes { price { amount } } } } }";
    let entities = |count: usize| -> Value {
        made.iter().take(count).map(|p| json!({"__typename": "Product", "id": p["id"]})).collect()
    };
    let skus = |count: usize| -> Value {
        (0..count).map(|n| json!({"__typename": "Variant", "sku": format!("L-{n}")})).collect()
    };
    let counted = Statements::counted();
    let mut seen = Vec::new();
    for count in [2, 12] {
        graph.ask(list, json!({"n": count})).await.data();
        let of_list = counted.take();
        let found =
            graph.entities(entities(count), "... on Product { title variants { sku } }").await;
        assert_eq!(found.len(), count);
        let of_products = counted.take();
        let found = graph.entities(skus(count), "... on Variant { sku price { amount } }").await;
        assert_eq!(found.len(), count);
        seen.push((of_list, of_products, counted.take()));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[1], (3, 2, 2));
}

#[tokio::test]
async fn an_entity_that_is_not_there_is_null_and_takes_no_other_with_it() {
    let house = house().await;
    let made = house.lamps(1).await.remove(0);
    let asked = json!([
        {"__typename": "Product", "id": "Product:00000000-0000-7000-8000-000000000000"},
        {"__typename": "Product", "id": made["id"]},
        {"__typename": "Variant", "sku": "NO-SUCH"},
        {"__typename": "Product", "id": "Order:7"},
    ]);
    let found = house.graph().entities(asked, "... on Product { title }").await;
    assert_eq!(found[0], Value::Null);
    assert_eq!(found[1]["title"], "Lamp");
    assert_eq!((&found[2], &found[3]), (&Value::Null, &Value::Null));
}

const CREATE: &str = "mutation($input: ProductInput!, $key: String) {
    createProduct(input: $input, idempotencyKey: $key) { __typename
        ... on ProductCreated { product { productId version title } }
        ... on InvalidInput { code fields { field code } }
        ... on Refusal { code message } } }";

fn input(sku: &str) -> Value {
    json!({"title": "Vase", "status": "ACTIVE", "variants": [
        {"sku": sku, "price": "12.50", "currency": "USD", "stock": 3,
         "options": [{"name": "Size", "value": "M"}]}]})
}

#[tokio::test]
async fn a_mutation_makes_and_refuses_as_rest_does() {
    let house = house().await;
    let graph = house.graph().bearer(&house.merchant);
    let variables = json!({"input": input("V-1"), "key": "vase-one"});
    let made = graph.ask(CREATE, variables.clone()).await.data()["createProduct"].clone();
    assert_eq!(made["__typename"], "ProductCreated");
    let again = graph.ask(CREATE, variables).await.data()["createProduct"].clone();
    assert_eq!(again, made, "the key makes it one");

    let other = json!({"input": input("V-2"), "key": "vase-one"});
    let refused = graph.ask(CREATE, other).await.data()["createProduct"].clone();
    assert_eq!(
        (&refused["__typename"], &refused["code"]),
        (&json!("Refused"), &json!("idempotency.mismatch"))
    );

    let taken = json!({"input": input("v-1")});
    let refused = graph.ask(CREATE, taken).await.data()["createProduct"].clone();
    assert_eq!(
        (&refused["__typename"], &refused["code"]),
        (&json!("Conflict"), &json!("catalog.sku_taken"))
    );

    let mut wrong = input("V-3");
    wrong["title"] = json!("");
    wrong["variants"][0]["price"] = json!("1.234");
    let refused = graph.ask(CREATE, json!({"input": wrong})).await.data()["createProduct"].clone();
    let fields: Vec<_> =
        refused["fields"].as_array().unwrap().iter().map(|f| f["field"].clone()).collect();
    assert_eq!(fields, ["title", "variants[0].price"]);

    let answer = house.graph().ask(CREATE, json!({"input": input("V-4")})).await;
    assert_eq!(answer.codes(), ["auth.invalid_token"]);
}

#[tokio::test]
async fn a_change_names_its_version_and_a_product_can_be_taken_out() {
    let house = house().await;
    let graph = house.graph().bearer(&house.merchant);
    let (made, _) = house.made(&lamp("L-1")).await;
    let update = "mutation($id: ID!, $v: Int!, $input: ProductInput!) {
        updateProduct(id: $id, version: $v, input: $input) { __typename
            ... on ProductUpdated { product { title version } } ... on Refusal { code } } }";
    let mut input = input("L-1");
    input["variants"][0]["stock"] = Value::Null;
    let ask = |version: i64, id: Value| json!({"id": id, "v": version, "input": input});
    let changed =
        graph.ask(update, ask(1, made["id"].clone())).await.data()["updateProduct"].clone();
    assert_eq!(changed["product"], json!({"title": "Vase", "version": 2}), "{changed}");
    let stale = graph.ask(update, ask(1, made["id"].clone())).await.data()["updateProduct"].clone();
    assert_eq!(stale, json!({"__typename": "Stale", "code": "request.stale"}));
    let unknown = graph.ask(update, ask(1, json!("x"))).await.data()["updateProduct"].clone();
    assert_eq!(unknown, json!({"__typename": "NotFound", "code": "catalog.no_such_product"}));

    let archive = "mutation($id: ID!) { archiveProduct(id: $id, version: 2) { __typename } }";
    let gone = graph.ask(archive, json!({"id": made["id"]})).await.data();
    assert_eq!(gone["archiveProduct"]["__typename"], "ProductArchived");
    let query = "query($id: ID!) { product(id: $id) { title } }";
    let data = house.graph().ask(query, json!({"id": made["id"]})).await.data();
    assert_eq!(data["product"], Value::Null);
}

#[tokio::test]
async fn hostile_documents_are_refused_before_they_cost_anything() {
    let house = house().await;
    let graph = house.graph();
    let of_type = "ofType { ".repeat(30);
    let deep = format!("{{ __schema {{ types {{ {of_type} name {} }} }} }}", "}".repeat(30));
    let wide: String =
        (0..400).map(|n| format!("a{n}: products(filter: {{first: 200}}) {{ title }} ")).collect();
    let nested = format!("{{ {} {} }}", "a { ".repeat(200), "}".repeat(200));
    let directives =
        format!("{{ product(id: \"x\") {{ title {} }} }}", "@include(if: true) ".repeat(40));
    let counted = Statements::counted();
    for document in [
        &format!("{{ {wide} }}"),
        &nested,
        &directives,
        &deep,
        "{ nothing }",
        "{ product }",
        "{ products(filter: {first: \"x\"}) { title } }",
        "query { product(id: 1) { title }",
        "fragment A on Product { ...B } fragment B on Product { ...A } { product(id: 1) { ...A } }",
        "",
    ] {
        let answer = graph.send(document, json!({})).await;
        assert_eq!(answer.status, 400, "{document:.80} {}", answer.text());
        assert!(
            answer.value()["data"].is_null() && answer.value()["errors"][0]["message"].is_string()
        );
        assert_eq!(answer.header("content-type"), "application/graphql-response+json");
    }
    assert_eq!(counted.take(), 0);
    for (wrong, status) in [("nope", 401), ("", 401)] {
        let answer = graph.bearer(wrong).send("{ products { title } }", json!({})).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.value()["errors"][0]["extensions"]["code"], "auth.invalid_token");
    }
    let range = graph.ask("{ products(filter: {first: 0}) { title } }", json!({})).await;
    assert_eq!(range.codes(), ["request.paging"]);
    assert_eq!(range.0["data"], json!({"products": null}));
}
