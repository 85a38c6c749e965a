//! The federation router for real, over two small subgraphs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::routing::post;
use axum::{Json, Router as Routes};
use http::HeaderMap;
use nix::sys::signal::Signal;
use platform::engines::binary::{Sources, resolve};
use platform::engines::home::Home;
use platform::engines::pins::pin;
use platform::engines::router::{Router, RouterConfig, stop_leftovers};
use platform::engines::{Progress, process};
use serde_json::{Value, json};

use crate::engines::free_port;

const SUPERGRAPH: &str = include_str!("router/supergraph.graphql");

/// Who asks, after a moment in which others may ask the same.
async fn whoami(headers: HeaderMap, Json(asked): Json<Value>) -> Json<Value> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    let who = headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or("nobody");
    let trace = headers.get("traceparent").and_then(|v| v.to_str().ok()).unwrap_or("none");
    let asked = asked["query"].as_str().unwrap_or_default();
    Json(match asked.contains("_entities") {
        true => {
            json!({ "data": { "_entities": [{ "__typename": "Thing", "label": trace }] } })
        }
        false => json!({ "data": { "whoami": who } }),
    })
}

async fn first(Json(_): Json<Value>) -> Json<Value> {
    let thing = json!({ "__typename": "Thing", "id": "1", "title": "Lamp" });
    Json(json!({ "data": { "things": [thing] } }))
}

async fn serve(router: Routes) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

struct Bench {
    router: Router,
    home: Home,
    port: u16,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

/// A router over a first subgraph and, unless it is away, a second.
async fn bench(second_is_there: bool) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::open(folder.path()).expect("a state folder");
    let sources = Sources {
        cache: PathBuf::from(std::env::var("HOME").expect("HOME")).join(".cache/bellavista"),
        archives: std::env::var("BV_ENGINE_CACHE").ok().map(PathBuf::from),
    };
    let pin = pin("router").expect("pinned");
    let program = resolve(&pin, &sources, &Progress::quiet()).await.expect("the program");
    let first = serve(Routes::new().route("/", post(first))).await;
    let second = match second_is_there {
        true => serve(Routes::new().route("/", post(whoami))).await.port(),
        false => free_port(),
    };
    let url = |port: u16| format!("http://127.0.0.1:{port}/");
    let subgraphs = BTreeMap::from([
        ("first".to_owned(), url(first.port())),
        ("second".to_owned(), url(second)),
    ]);
    let port = free_port();
    let router = Router::start(RouterConfig {
        home: home.clone(),
        program,
        port,
        supergraph: SUPERGRAPH,
        subgraphs,
        introspection: false,
    })
    .await
    .expect("the router starts");
    Bench { router, home, port, client: reqwest::Client::new(), _folder: folder }
}

impl Bench {
    async fn ask(&self, who: &str, query: &str) -> Option<Value> {
        let answer = self
            .client
            .post(format!("http://127.0.0.1:{}/graphql", self.port))
            .header("authorization", format!("Bearer {who}"))
            .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .json(&json!({ "query": query }))
            .send()
            .await
            .ok()?;
        answer.json().await.ok()
    }

    /// The router's next process, and how long it took until it answered.
    async fn successor_of(&self, first: i32) -> Duration {
        let began = Instant::now();
        loop {
            let other = self.router.process_id().is_some_and(|pid| pid != first);
            if other && self.ask("a", "{ whoami }").await.is_some() {
                return began.elapsed();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "no router came back");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_question_joins_subgraphs_and_callers_never_share_an_answer() {
    let bench = bench(true).await;
    let joined = bench.ask("a", "{ things { title label } }").await.expect("answered");
    assert_eq!(joined["data"]["things"][0]["title"], "Lamp");
    let trace = joined["data"]["things"][0]["label"].as_str().expect("a trace");
    assert!(trace.contains("0af7651916cd43dd8448eb211c80319c"), "{joined}");

    let names: Vec<String> = (0..40).map(|n| format!("caller-{}", n % 8)).collect();
    let asked = names.iter().map(|name| bench.ask(name, "{ whoami }"));
    for (name, answer) in names.iter().zip(futures_util::future::join_all(asked).await) {
        assert_eq!(answer.expect("answered")["data"]["whoami"], format!("Bearer {name}"));
    }
    bench.router.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subgraph_that_is_away_costs_its_own_fields_only() {
    let bench = bench(false).await;
    let answer = bench.ask("a", "{ things { title label } }").await.expect("answered");
    assert_eq!(answer["data"]["things"], json!([{ "title": "Lamp", "label": null }]));
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1), "{answer}");
    let answer = bench.ask("a", "{ __schema { queryType { name } } }").await.expect("answered");
    assert!(answer["data"]["__schema"].is_null(), "{answer}");
    bench.router.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_router_is_back_and_so_is_a_hanging_one() {
    let bench = bench(true).await;
    let first = bench.router.process_id().expect("a process");
    process::signal(first, Signal::SIGKILL);
    let took = bench.successor_of(first).await;
    eprintln!("a killed router was replaced after {took:?}");

    let second = bench.router.process_id().expect("a process");
    process::signal(second, Signal::SIGSTOP);
    let took = bench.successor_of(second).await;
    eprintln!("a hanging router was replaced after {took:?}");
    assert!(!process::is_alive(second));
    let last = bench.router.process_id().expect("a process");
    // What a killed shop would leave behind.
    stop_leftovers(&bench.home).await;
    assert!(!process::is_alive(last));
    bench.router.stop().await;
}
