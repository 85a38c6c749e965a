//! Subscriptions at the door of the graph, before a router that says what it is
//! told to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use platform::Clock;
use platform::testing::{Live, TestAnswer, TestRequest};
use serde_json::{Value, json};
use shared_types::sse;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

use crate::{House, house};

const EVENTS: &str = "text/event-stream";
const STATUS: &str = "subscription { orderStatus(orderId: \"1\") { status } }";
/// Said by the router, its connection breaks.
const BREAK: &str = "break";

/// A gateway before a router whose every stream says what `say` is given.
struct Door {
    house: House,
    say: broadcast::Sender<String>,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Script {
    say: broadcast::Sender<String>,
    asked: Arc<AtomicUsize>,
}

async fn router(
    State(script): State<Script>,
    headers: HeaderMap,
    body: String,
) -> impl IntoResponse {
    script.asked.fetch_add(1, Ordering::SeqCst);
    if !body.contains("subscription") {
        let headers = [("content-type", "application/json")];
        return (StatusCode::OK, headers, Body::from("{\"data\":{\"asked\":true}}"));
    }
    assert_eq!(headers["accept"], EVENTS);
    assert!(headers.contains_key("authorization"));
    let headers = [("content-type", EVENTS)];
    if body.contains("refused") {
        let error = json!({ "errors": [{ "message": "No such field.",
            "extensions": { "code": "GRAPHQL_VALIDATION_FAILED" } }] });
        let said = sse::write("next", &error.to_string()) + "event: complete\n\n";
        return (StatusCode::BAD_REQUEST, headers, Body::from(said));
    }
    let said = stream::unfold(script.say.subscribe(), |mut said| async move {
        let text = said.recv().await.ok()?;
        let broken = (text == BREAK).then(|| std::io::Error::other("gone"));
        Some((broken.map_or(Ok(text), Err), said))
    });
    (StatusCode::OK, headers, Body::from_stream(said))
}

async fn door(settings: &str) -> Door {
    let script = Script { say: broadcast::channel(1_000).0, asked: Arc::default() };
    let app = Router::new().fallback(router).with_state(script.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let settings = format!(
        "[gateway.graphql.subscriptions]\n{settings}\n[federation]\nmode = \"external\"\n\
         url = \"http://{address}/graphql\""
    );
    Door { house: house(&settings), say: script.say, asked: script.asked }
}

impl Door {
    fn request(&self, token: &str, query: &str) -> TestRequest {
        let body = json!({ "query": query });
        self.house.client.post("/graphql").bearer(token).header("accept", EVENTS).json(&body)
    }

    async fn subscribe(&self, token: &str) -> Live {
        Live::over(self.request(token, STATUS).open().await)
    }

    /// The router says it to all its streams.
    fn next(&self, answer: &Value) {
        self.say.send(sse::write("next", &answer.to_string())).unwrap();
    }

    /// Waits until a further subscription is let in.
    async fn let_in(&self, token: &str) -> Live {
        for _ in 0..1_000 {
            let response = self.request(token, STATUS).open().await;
            if response.status() == StatusCode::OK {
                return Live::over(response);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no place comes free")
    }
}

fn code(answer: &TestAnswer) -> String {
    answer.value()["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
}

async fn ends_with(mut live: Live, code: &str) {
    assert_eq!(live.next().await.unwrap().codes(), [code]);
    assert!(live.next().await.is_none());
    assert_eq!(live.event().await, None);
}

#[tokio::test]
async fn events_go_through_and_their_errors_tell_nothing_of_the_inside() {
    let door = door("").await;
    let mut live = door.subscribe(&door.house.user_token()).await;
    assert_eq!(live.headers["cache-control"], "no-store");
    let paid = json!({ "data": { "orderStatus": { "status": "PAID" } } });
    door.next(&paid);
    assert_eq!(live.next().await.unwrap().0, paid);
    door.next(&json!({ "data": { "orderStatus": null }, "extensions": { "plan": 1 }, "errors": [
        { "message": "127.0.0.1 refused", "extensions": { "code": "SUBREQUEST_HTTP_ERROR" } }] }));
    let failed = live.next().await.unwrap();
    assert_eq!(failed.codes(), ["graph.part_away"]);
    let text = failed.0.to_string();
    assert!(!text.contains("127.0.0.1") && !text.contains("plan"), "{text}");
    door.say.send("event: complete\n\n".into()).unwrap();
    assert!(live.next().await.is_none());
    assert_eq!(live.event().await, None);
}

#[tokio::test]
async fn who_does_not_accept_events_is_told_so_and_queries_may_come_as_events() {
    let door = door("").await;
    let token = door.house.user_token();
    let post = |accept: &str, query: &str| {
        let body = json!({ "query": query });
        let request = door.house.client.post("/graphql").bearer(&token);
        request.header("accept", accept).json(&body)
    };
    for accept in ["application/json", "*/*", "text/event-stream;q=0, application/json"] {
        let answer = post(accept, STATUS).send().await.expect(406);
        assert_eq!(code(&answer), "graph.accept_events", "{accept}");
    }
    assert_eq!(door.asked.load(Ordering::SeqCst), 0);
    let both = post("application/json, text/event-stream", STATUS).open().await;
    drop(Live::over(both));
    let query = "/graphql?query=subscription%20%7B%20orderStatus%20%7D";
    drop(Live::over(door.house.client.get(query).header("accept", EVENTS).open().await));
    let mut once = Live::over(post(EVENTS, "{ products { id } }").open().await);
    assert_eq!(once.data().await, json!({ "asked": true }));
    assert!(once.next().await.is_none());
}

#[tokio::test]
async fn a_subscription_is_one_field_and_hostile_ones_never_reach_the_router() {
    let door = door("").await;
    let token = door.house.user_token();
    for text in [
        "subscription { a: orderStatus(orderId: \"1\") { status } b: orderStatus { status } }",
        "subscription { stockChanged { productId } ...F } fragment F on Subscription { orderStatus }",
        "subscription { orderStatus { status } __typename }",
        "subscription { __typename }",
        "subscription($no: Boolean!) { orderStatus @skip(if: $no) { status } }",
        "subscription { ... @include(if: true) { orderStatus { status } } }",
    ] {
        let answer = door.request(&token, text).send().await.expect(400);
        assert_eq!(code(&answer), "graph.one_subscription", "{text}");
    }
    let deep = format!("subscription {{ orderStatus {} {} }}", "{ a ".repeat(20), "}".repeat(20));
    let answer = door.request(&token, &deep).send().await.expect(400);
    assert_eq!(code(&answer), "graph.too_deep");
    assert_eq!(door.asked.load(Ordering::SeqCst), 0);
    let refused = door.request(&token, "subscription { refused { a } }").send().await.expect(400);
    assert_eq!(code(&refused), "GRAPHQL_VALIDATION_FAILED");
}

#[tokio::test]
async fn callers_and_processes_have_so_many_streams_and_no_more() {
    let door = door("max_per_caller = 2\nmax_streams = 3").await;
    let (ada, bob) = (door.house.user_token(), door.house.user_token());
    let first = door.subscribe(&ada).await;
    let _second = door.subscribe(&ada).await;
    let refused = door.request(&ada, STATUS).send().await.expect(429);
    assert_eq!(code(&refused), "graph.too_many_streams");
    assert!(!refused.header("retry-after").is_empty());
    let _bobs = door.subscribe(&bob).await;
    let refused = door.request(&bob, STATUS).send().await.expect(503);
    assert_eq!(code(&refused), "graph.streams_full");
    // Whoever hangs up gives the place back.
    drop(first);
    door.let_in(&ada).await;
}

#[tokio::test]
async fn one_address_has_so_many_streams_whoever_asks() {
    let door = door("max_per_address = 1").await;
    let _open = door.subscribe(&door.house.user_token()).await;
    let refused = door.request(&door.house.user_token(), STATUS).send().await.expect(429);
    assert_eq!(code(&refused), "graph.too_many_streams");
}

#[tokio::test]
async fn a_router_that_dies_ends_the_stream_cleanly_and_one_can_come_again() {
    let door = door("").await;
    let token = door.house.user_token();
    let live = door.subscribe(&token).await;
    door.say.send(BREAK.into()).unwrap();
    ends_with(live, "graph.away").await;
    let mut again = door.subscribe(&token).await;
    door.next(&json!({ "data": 1 }));
    assert_eq!(again.data().await, 1);
}

#[tokio::test]
async fn a_stream_ends_with_the_token_with_age_and_with_the_process() {
    let door = door("longest_seconds = 4").await;
    let shape = |c: &mut platform::auth::Claims| c.roles = vec![shared_types::Role::Customer];
    let user = uuid::Uuid::new_v4().to_string();
    let now = Clock::System.now();
    let token = door.house.issuer.token(user, now, Duration::from_secs(2), shape).unwrap();
    let (short, old) =
        (door.subscribe(&token).await, door.subscribe(&door.house.user_token()).await);
    ends_with(short, "auth.invalid_token").await;
    ends_with(old, "graph.stream_over").await;
    let live = door.subscribe(&door.house.user_token()).await;
    door.house.lifecycle.drain();
    ends_with(live, "graph.away").await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped() {
    let door = door("max_streams = 1\npatience_ms = 100").await;
    let token = door.house.user_token();
    let mut slow = door.subscribe(&token).await;
    for n in 0..50 {
        door.next(&json!({ "data": n }));
        tokio::task::yield_now().await;
    }
    let _next = door.let_in(&token).await;
    let mut taken = 0;
    while slow.event().await.is_some() {
        taken += 1;
    }
    assert!((1..50).contains(&taken), "{taken} of 50 were kept for it");
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives() {
    let door = door("heartbeat_seconds = 1").await;
    let mut live = door.subscribe(&door.house.user_token()).await;
    for _ in 0..600 {
        let event = tokio::time::timeout(Duration::from_millis(50), live.event()).await;
        assert!(event.is_err(), "nothing is said: {event:?}");
        if live.heartbeats > 0 {
            return;
        }
    }
    panic!("not a sign of life");
}
