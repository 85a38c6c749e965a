//! The door of the graph, before a router that says back what it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderMap, StatusCode};
use platform::testing::TestAnswer;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{House, house};

const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OWN: &str = "application/graphql-response+json";

struct Door {
    house: House,
    asked: Arc<AtomicUsize>,
}

/// A gateway before a router that answers with what it was asked, or with what
/// the document's first comment says.
async fn door(settings: &str) -> Door {
    async fn answer(
        State(asked): State<Arc<AtomicUsize>>,
        headers: HeaderMap,
        body: String,
    ) -> axum::response::Response {
        asked.fetch_add(1, Ordering::SeqCst);
        let body: Value = serde_json::from_str(&body).unwrap();
        let text = body["query"].as_str().unwrap().to_owned();
        if text.contains("slow") {
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        }
        match text.strip_prefix('#').and_then(|rest| rest.split_once('\n')) {
            Some((said, _)) if said.starts_with('5') => StatusCode::BAD_GATEWAY.into_response(),
            Some((said, _)) => said.to_owned().into_response(),
            None => {
                let headers: serde_json::Map<String, Value> = headers
                    .iter()
                    .map(|(n, v)| (n.to_string(), json!(String::from_utf8_lossy(v.as_bytes()))))
                    .collect();
                axum::Json(json!({ "data": { "asked": body, "headers": headers } })).into_response()
            }
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let router = Router::new().fallback(answer).with_state(asked.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let federation =
        format!("[federation]\nmode = \"external\"\nurl = \"http://{address}/graphql\"");
    Door { house: house(&format!("{settings}\n{federation}")), asked }
}

impl Door {
    async fn ask(&self, body: Value) -> TestAnswer {
        self.house.client.post("/graphql").json(&body).send().await
    }

    async fn query(&self, text: &str) -> TestAnswer {
        self.ask(json!({ "query": text })).await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn code(answer: &TestAnswer) -> String {
    let value = answer.value();
    value["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_document_goes_through_with_a_verified_token_and_its_trace() {
    let door = door("").await;
    let token = door.house.user_token();
    let asked = json!({ "query": "query A($n: Int) { products { id } }", "operationName": "A",
        "variables": { "n": 1 }, "extensions": { "x": 1 } });
    let answer = door
        .house
        .client
        .post("/graphql")
        .bearer(&token)
        .header("traceparent", GIVEN)
        .header("x-private", "1")
        .json(&asked)
        .send()
        .await
        .expect(200);
    assert!(answer.header("content-type").starts_with(OWN));
    assert_eq!(answer.header("cache-control"), "no-store");
    let seen = answer.value()["data"].clone();
    assert_eq!(seen["asked"]["variables"], json!({ "n": 1 }));
    assert_eq!(seen["asked"]["operationName"], "A");
    assert_eq!(seen["headers"]["authorization"], format!("Bearer {token}"));
    assert!(seen["headers"]["traceparent"].as_str().unwrap().contains("0af7651916cd43dd"));
    assert!(seen["headers"].get("x-private").is_none(), "{seen}");
}

#[tokio::test]
async fn whoever_comes_without_a_token_is_a_guest_here_too() {
    let door = door("").await;
    let answer = door.query("{ products { id } }").await.expect(200);
    assert!(answer.header("set-cookie").starts_with("bv_guest="));
    let seen = answer.value()["data"]["headers"]["authorization"].as_str().unwrap().to_owned();
    let claims = door.house.claims(seen.strip_prefix("Bearer ").unwrap()).await;
    assert!(claims.sub.starts_with("guest:"), "{}", claims.sub);
}

#[tokio::test]
async fn documents_beyond_a_limit_never_reach_the_router() {
    let door = door("").await;
    let deep = format!("{{ products {}{} }}", "{ a ".repeat(20), "}".repeat(20));
    let deeper = "{a".repeat(5_000);
    let aliases: String = (0..31).map(|n| format!("a{n}: __typename ")).collect();
    let wide: String = (0..11).map(|_| "products { id } ").collect();
    let directives = "@skip(if: false) ".repeat(31);
    let laughs: String = (0..20)
        .map(|n| format!("fragment F{n} on Query {{ ...F{} ...F{} }} ", n + 1, n + 1))
        .collect();
    let long = "a ".repeat(4_001);
    for (text, wanted) in [
        (deep, "graph.too_deep"),
        (deeper, "graph.too_deep"),
        (format!("{{ products {{ {aliases} }} }}"), "graph.too_many_aliases"),
        (format!("{{ {wide} }}"), "graph.too_many_fields"),
        (format!("{{ products {directives} {{ id }} }}"), "graph.too_many_directives"),
        (
            format!("{{ ...F0 }} {laughs} fragment F20 on Query {{ products {{ id }} }}"),
            "graph.too_many_fields",
        ),
        (format!("{{ ...F0 }} {laughs}"), "graph.too_costly"),
        (format!("{{ {long} }}"), "graph.too_long"),
        ("{ ...A } fragment A on Query { ...A }".into(), "graph.too_deep"),
        (
            "{ products(filter: { first: 200 }) { variants { options { name value } } } }".into(),
            "graph.too_costly",
        ),
        ("query A { a } query B { b }".into(), "OPERATION_RESOLUTION_FAILURE"),
        ("{ __schema { types { name } } }".into(), "graph.no_introspection"),
        ("{ products { id".into(), "GRAPHQL_PARSE_FAILED"),
        (String::new(), "GRAPHQL_PARSE_FAILED"),
    ] {
        let answer = door.query(&text).await.expect(400);
        assert_eq!(code(&answer), wanted, "{}", &text[..text.len().min(80)]);
        let asked = json!({ "query": text });
        let json = door.house.client.post("/graphql").header("accept", "application/json");
        let answer = json.json(&asked).send().await.expect(200);
        assert_eq!(code(&answer), wanted);
    }
    assert_eq!(door.asked(), 0);
}

#[tokio::test]
async fn a_variable_counts_as_the_number_it_holds() {
    let door = door("[gateway.graphql]\nmax_complexity = 300").await;
    let text = "query A($n: Int = 200) { products(filter: { first: $n }) { id title } }";
    for (variables, status) in
        [(json!({}), 400), (json!({ "n": 20 }), 200), (json!({ "n": 160 }), 400)]
    {
        door.ask(json!({ "query": text, "variables": variables })).await.expect(status);
    }
}

#[tokio::test]
async fn requests_that_are_none_have_the_status_that_http_has_for_them() {
    let door = door("[gateway.graphql]\nmax_body_bytes = 2000").await;
    let post = || door.house.client.post("/graphql");
    let query = json!({ "query": "{ a }" });
    post().body("text/plain", "{}").send().await.expect(415);
    post().header("accept", "text/css").json(&query).send().await.expect(406);
    for wrong in [json!([{ "query": "{ a }" }]), json!({}), json!({ "query": 7 }), json!("x")] {
        let answer = post().json(&wrong).send().await.expect(400);
        assert!(!code(&answer).is_empty());
    }
    let large = json!({ "query": format!("{{ a(b: \"{}\") }}", "x".repeat(3_000)) });
    assert_eq!(code(&post().json(&large).send().await.expect(413)), "request.too_large");
    let answer = door.house.client.delete("/graphql").send().await.expect(405);
    assert_eq!(answer.header("allow"), "GET, POST");
    let answer = post().bearer("nonsense").json(&query).send().await.expect(401);
    assert_eq!(code(&answer), "auth.invalid_token");
    assert!(answer.header("content-type").starts_with(OWN));
    assert_eq!(door.asked(), 0);
}

#[tokio::test]
async fn get_asks_and_never_changes() {
    let door = door("").await;
    let get = |path: &str| door.house.client.get(path).send();
    let answer =
        get("/graphql?query=%7B%20products%20%7B%20id%20%7D%20%7D&variables=%7B%22n%22%3A1%7D");
    assert_eq!(answer.await.expect(200).value()["data"]["asked"]["variables"]["n"], 1);
    assert_eq!(code(&get("/graphql?query=mutation%7Ba%7D").await.expect(405)), "request.method");
    get("/graphql?query=%7Ba%7D&variables=7").await.expect(400);
    get("/graphql").await.expect(400);
}

#[tokio::test]
async fn without_a_router_the_graph_is_away_and_the_rest_is_not() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let settings = format!("[federation]\nmode = \"external\"\nurl = \"http://{closed}/graphql\"");
    let house = house(&settings);
    let asked = json!({ "query": "{ products { id } }" });
    let answer = house.client.post("/graphql").json(&asked).send().await.expect(503);
    assert_eq!((code(&answer).as_str(), answer.header("retry-after")), ("graph.away", "2"));
    house.client.get("/api/v1/products").send().await.expect(200);
}

#[tokio::test]
async fn a_router_that_fails_dawdles_or_talks_nonsense_is_away() {
    let door = door("[gateway.graphql]\ntimeout_ms = 300").await;
    for (said, wanted) in [
        ("#500\n{ a }", "graph.away"),
        ("#nonsense\n{ a }", "graph.away"),
        ("{ slow }", "graph.timeout"),
    ] {
        let answer = door.query(said).await.expect(503);
        assert_eq!(code(&answer), wanted, "{said}");
        assert!(!answer.header("retry-after").is_empty());
    }
}

#[tokio::test]
async fn the_schema_and_its_page_are_shown_only_where_that_is_wanted() {
    let open = door("[gateway.graphql]\nintrospection = true").await;
    open.query("{ __schema { types { name } } }").await.expect(200);
    let page = |door: &Door| door.house.client.get("/graphql").header("accept", "text/html").send();
    let answer = page(&open).await.expect(200);
    assert!(answer.header("content-security-policy").contains("default-src 'none'"));
    assert!(!answer.text().contains("https://"), "the page needs nothing from elsewhere");
    page(&door("").await).await.expect(406);
    page(&door("[demo]\nenabled = true").await).await.expect(200);
}

#[tokio::test]
async fn where_only_known_documents_count_others_are_refused() {
    let door = door("[gateway.graphql]\ndocuments = \"known\"").await;
    assert_eq!(
        code(&door.query("{ products { id } }").await.expect(400)),
        "graph.document_unknown"
    );
    let hash = "0".repeat(64);
    let answer = door.ask(json!({ "documentId": format!("sha256:{hash}") })).await.expect(400);
    assert_eq!(code(&answer), "PERSISTED_QUERY_NOT_FOUND");
    assert_eq!(door.asked(), 0);
    let known: std::collections::BTreeMap<String, String> =
        serde_json::from_str(contracts::graph::DOCUMENTS).unwrap();
    for (hash, text) in known {
        let apollo =
            json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": hash } } });
        for asked in [json!({ "query": text }), json!({ "documentId": hash }), apollo] {
            if text.starts_with("subscription") {
                assert_eq!(code(&door.ask(asked).await.expect(406)), "graph.accept_events");
                continue;
            }
            let answer = door.ask(asked).await.expect(200);
            assert_eq!(answer.value()["data"]["asked"]["query"], text);
        }
    }
}

#[tokio::test]
async fn one_who_asks_too_much_is_told_so_in_graphqls_words() {
    let door = door("[gateway]\ncaller_per_second = 1\ncaller_burst = 1").await;
    let token = door.house.user_token();
    let ask = || {
        let asked = json!({ "query": "{ a }" });
        door.house.client.post("/graphql").bearer(&token).json(&asked).send()
    };
    ask().await.expect(200);
    let answer = ask().await.expect(429);
    assert_eq!(code(&answer), "rate.limited");
    assert!(!answer.header("retry-after").is_empty());
}
