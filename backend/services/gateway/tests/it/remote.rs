//! Services in other processes: over real HTTP, sockets included.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ws::{Message as Frame, WebSocketUpgrade};
use axum::routing::{any, get};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::{House, echo, house};

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

/// Repeats every text.
async fn parrot(upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade.protocols(["bearer.x"]).on_upgrade(async |mut socket| {
        while let Some(Ok(Frame::Text(text))) = socket.recv().await {
            if socket.send(Frame::Text(text)).await.is_err() {
                break;
            }
        }
    })
}

/// A gateway on a port, and a service behind it on another.
async fn split() -> (House, SocketAddr) {
    let gone = (
        StatusCode::GONE,
        [("connection", "x-private"), ("x-private", "1"), ("x-open", "2")],
        "gone",
    );
    let service = Router::new()
        .route("/api/v1/orders/gone", any(async move || gone))
        .route("/ws/orders", get(parrot))
        .route("/ws/shut", any(async || (StatusCode::FORBIDDEN, "shut")))
        .fallback(echo);
    let service = serve(service).await;
    let upstreams = format!(
        "[gateway.upstreams]\norders = \"http://{service}/\"\nnotifications = \"http://{service}\""
    );
    let house = house(&upstreams);
    let address = serve(house.public.clone()).await;
    (house, address)
}

#[tokio::test]
async fn a_request_arrives_whole_and_so_does_its_answer() {
    let (house, gateway) = split().await;
    let token = house.user_token();
    let client = reqwest::Client::new();
    let body = "x".repeat(200_000);
    let answer = client
        .post(format!("http://{gateway}/api/v1/orders/7/pay?a=%20b&c"))
        .header("authorization", format!("Bearer {token}"))
        .header("idempotency-key", "k-1")
        .header("connection", "keep-alive, x-hop")
        .header("x-hop", "1")
        .header("x-bv-client-address", "203.0.113.9")
        .body(body.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let seen: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!((&seen["method"], &seen["path"]), (&"POST".into(), &"/api/v1/orders/7/pay".into()));
    assert_eq!((&seen["query"], seen["body"].as_str()), (&"a=%20b&c".into(), Some(body.as_str())));
    let headers = &seen["headers"];
    assert_eq!(headers["authorization"], format!("Bearer {token}"));
    assert_eq!(
        (&headers["idempotency-key"], &headers["x-bv-client-address"]),
        (&"k-1".into(), &"127.0.0.1".into())
    );
    assert_eq!(
        headers["host"],
        gateway.to_string(),
        "the service knows by which name it was asked"
    );
    assert_eq!(headers.get("x-hop"), None, "{headers}");

    let gone = client.get(format!("http://{gateway}/api/v1/orders/gone")).send().await.unwrap();
    assert_eq!((gone.status().as_u16(), &gone.headers()["x-open"]), (410, &"2".parse().unwrap()));
    assert!(!gone.headers().contains_key("x-private"));
    assert!(gone.headers().contains_key("set-cookie"), "guests get their cookie here too");
    assert_eq!(gone.text().await.unwrap(), "gone");
}

#[tokio::test]
async fn a_socket_goes_through_until_the_gateway_stops() {
    let (house, gateway) = split().await;
    let mut request = format!("ws://{gateway}/ws/orders").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "bearer.x".parse().unwrap());
    let (mut socket, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "bearer.x");
    for n in 0..50 {
        let text = format!("{n} {}", "y".repeat(n * 100));
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    let shut = tokio_tungstenite::connect_async(format!("ws://{gateway}/ws/shut")).await;
    let Err(Error::Http(answer)) = shut else { panic!("the door should be shut") };
    assert_eq!(answer.status(), 403);

    house.lifecycle.drain();
    let rest =
        tokio::time::timeout(std::time::Duration::from_secs(10), socket.next()).await.unwrap();
    assert!(!matches!(rest, Some(Ok(Message::Text(_)))), "{rest:?}");
}

#[tokio::test]
async fn without_a_gateway_a_process_serves_the_same_paths_to_callers_with_tokens() {
    let services = vec![("catalog", Router::new().fallback(echo))];
    let front = gateway::without_front(services, platform::lifecycle::Lifecycle::new());
    let client = platform::testing::Client::over(front);
    let answer = client.get("/api/v1/products").send().await.expect(200);
    assert_eq!(answer.value()["headers"].get("authorization"), None, "no guests are made here");
    client.get("/api/v1/cart").send().await.expect_problem(503, "gateway.service_away");
    client.get("/nothing").send().await.expect_problem(404, "request.no_route");
}
