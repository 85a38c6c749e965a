//! A shop small enough to be pushed around: accounts, orders, the admin channel.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    extract::{
        Query, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use shared_types::{
    Amount, Currency, OrderId, Page, PageInfo, Problem, Timestamp,
    identity::{Login, Refresh, Tokens},
    live::{ClientMessage, ServerMessage},
    orders::{OrderStatus, OrderSummary, Stage},
};
use tokio::sync::watch;

pub const PASSWORD: &str = "correct horse";
/// Short, so that the console has to renew its token within a test.
const TOKEN_SECONDS: u64 = 4;

#[derive(Clone)]
pub struct FakeShop {
    state: Arc<Mutex<Books>>,
    /// Changes whenever the lines have something to do.
    bell: watch::Sender<u64>,
    pub address: SocketAddr,
}

#[derive(Default)]
struct Books {
    orders: Vec<OrderSummary>,
    /// What `/ws/admin` has said so far; the position is `seq - 1`.
    said: Vec<ServerMessage>,
    /// No line may stand, none may be opened.
    down: bool,
    tokens: u64,
    /// Good refresh tokens and whose they are.
    refresh: HashMap<String, String>,
    access: HashMap<String, String>,
    /// `after` of every subscription.
    subscribed: Vec<Option<i64>>,
    renewals: u32,
    reused: u32,
}

impl FakeShop {
    pub async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (bell, _) = watch::channel(0);
        let shop = FakeShop { state: Arc::default(), bell, address };
        let router = Router::new()
            .route("/api/v1/users/login", post(login))
            .route("/api/v1/users/refresh", post(refresh))
            .route("/api/v1/users/logout", post(logout))
            .route("/api/v1/orders", get(orders))
            .route("/ws/admin", get(admin))
            .with_state(shop.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        shop
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An order that stood before anybody looked.
    pub fn has(&self, number: u32, status: OrderStatus, minor: i64) {
        let age = std::time::Duration::from_secs(u64::from(1_000 - number % 1_000) * 47);
        let at = now().minus(age);
        self.books().orders.push(summary(number, status, minor, at));
    }

    /// An order is new or changes, and the channel says so.
    pub fn happens(&self, number: u32, status: OrderStatus, minor: i64) {
        let row = summary(number, status, minor, now());
        let mut books = self.books();
        books.orders.retain(|order| order.order_id != row.order_id);
        books.orders.push(row.clone());
        let seq = books.said.len() as i64 + 1;
        books.said.push(ServerMessage::Order {
            seq,
            order_id: row.order_id,
            order_number: row.order_number,
            status: row.status,
            stage: row.stage,
            total_amount: row.total_amount,
            currency: row.currency,
            at: row.updated_at,
        });
        drop(books);
        self.ring();
    }

    /// Cuts every line; none can be opened until `up`.
    pub fn goes_down(&self) {
        self.books().down = true;
        self.ring();
    }

    pub fn comes_up(&self) {
        self.books().down = false;
    }

    pub fn subscriptions(&self) -> Vec<Option<i64>> {
        self.books().subscribed.clone()
    }

    pub fn renewals(&self) -> u32 {
        self.books().renewals
    }

    /// How often a refresh token was used a second time.
    pub fn reused(&self) -> u32 {
        self.books().reused
    }

    pub fn sessions(&self) -> usize {
        self.books().refresh.len()
    }

    /// Every token that ever left this shop and is still good.
    pub fn good_tokens(&self) -> Vec<String> {
        let books = self.books();
        books.refresh.keys().chain(books.access.keys()).cloned().collect()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.state.lock().unwrap()
    }

    fn ring(&self) {
        self.bell.send_modify(|count| *count += 1);
    }
}

impl Books {
    fn tokens_for(&mut self, email: &str) -> Tokens {
        self.tokens += 1;
        let n = self.tokens;
        let role = if email.starts_with("shopper@") { "CUSTOMER" } else { "ADMIN" };
        let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{n}","roles":["{role}"]}}"#));
        let access_token = format!("e30.{claims}.signature-{n}");
        let refresh_token = format!("refresh-secret-{n}");
        self.access.insert(access_token.clone(), email.to_owned());
        self.refresh.insert(refresh_token.clone(), email.to_owned());
        let token_type = "Bearer".to_owned();
        Tokens { access_token, token_type, expires_in: TOKEN_SECONDS, refresh_token }
    }
}

async fn login(State(shop): State<FakeShop>, Json(login): Json<Login>) -> Response {
    if login.password != PASSWORD {
        return problem(401, "users.bad_credentials");
    }
    Json(shop.books().tokens_for(&login.email)).into_response()
}

async fn refresh(State(shop): State<FakeShop>, Json(body): Json<Refresh>) -> Response {
    let mut books = shop.books();
    let Some(email) = books.refresh.remove(&body.refresh_token) else {
        books.reused += 1;
        return problem(401, "users.session_ended");
    };
    books.renewals += 1;
    Json(books.tokens_for(&email)).into_response()
}

async fn logout(State(shop): State<FakeShop>, Json(body): Json<Refresh>) -> Response {
    shop.books().refresh.remove(&body.refresh_token);
    StatusCode::NO_CONTENT.into_response()
}

async fn orders(
    State(shop): State<FakeShop>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let books = shop.books();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !books.access.contains_key(token) {
        return problem(401, "auth.unauthenticated");
    }
    let first: usize = query["first"].parse().unwrap();
    let skip: usize = query.get("after").map_or(0, |after| after.parse().unwrap());
    let mut all = books.orders.clone();
    all.sort_by_key(|order| std::cmp::Reverse(order.updated_at));
    let items: Vec<_> = all.iter().skip(skip).take(first).cloned().collect();
    let end = skip + items.len();
    let page_info = PageInfo { end_cursor: Some(end.to_string()), has_next_page: end < all.len() };
    Json(Page { items, page_info }).into_response()
}

async fn admin(State(shop): State<FakeShop>, upgrade: WebSocketUpgrade) -> Response {
    if shop.books().down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    upgrade.on_upgrade(move |socket| async move {
        // An error here is a console that has gone.
        let _ = serve(shop, socket).await;
    })
}

async fn serve(shop: FakeShop, mut socket: WebSocket) -> Result<(), axum::Error> {
    let Some(ClientMessage::Authenticate { token }) = heard(&mut socket).await else {
        return Ok(());
    };
    if !shop.books().access.contains_key(&token) {
        let (code, message) = ("auth.unauthenticated".into(), "token".into());
        return say(&mut socket, &ServerMessage::Error { code, message }).await;
    }
    say(&mut socket, &ServerMessage::Authenticated).await?;
    let Some(ClientMessage::Subscribe { channel, after, .. }) = heard(&mut socket).await else {
        return Ok(());
    };
    assert_eq!(channel.as_deref(), Some("admin"));
    let mut bell = shop.bell.subscribe();
    let mut next = {
        let mut books = shop.books();
        books.subscribed.push(after);
        after.map_or(books.said.len(), |after| after as usize)
    };
    say(&mut socket, &ServerMessage::Subscribed { order_id: None, channel }).await?;
    loop {
        let waiting: Vec<_> = {
            let books = shop.books();
            if books.down {
                return Ok(());
            }
            books.said[next.min(books.said.len())..].to_vec()
        };
        for message in waiting {
            say(&mut socket, &message).await?;
            next += 1;
        }
        tokio::select! {
            _ = bell.changed() => {}
            message = socket.recv() => if message.is_none() { return Ok(()) },
        }
    }
}

async fn heard(socket: &mut WebSocket) -> Option<ClientMessage> {
    match socket.recv().await?.ok()? {
        Message::Text(text) => serde_json::from_str(&text).ok(),
        _ => None,
    }
}

async fn say(socket: &mut WebSocket, message: &ServerMessage) -> Result<(), axum::Error> {
    let text = serde_json::to_string(message).map_err(axum::Error::new)?;
    socket.send(Message::Text(text.into())).await
}

fn summary(number: u32, status: OrderStatus, minor: i64, at: Timestamp) -> OrderSummary {
    let stage = match status {
        OrderStatus::Pending => Stage::AwaitingPayment,
        OrderStatus::Paid => Stage::Confirming,
        OrderStatus::Confirmed => Stage::PlanningShipment,
        _ => Stage::Done,
    };
    OrderSummary {
        order_id: OrderId(uuid::Uuid::from_u128(u128::from(number))),
        order_number: format!("BV-{number}"),
        status,
        stage,
        total_amount: Amount::new(minor, 2),
        currency: Currency::USD,
        units: 3,
        created_at: at,
        updated_at: at,
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_unix_millis(since.as_millis() as i64).unwrap()
}

fn problem(status: u16, code: &str) -> Response {
    let problem = Problem {
        type_uri: "about:blank".into(),
        title: code.into(),
        status,
        detail: String::new(),
        instance: String::new(),
        code: code.into(),
        errors: Vec::new(),
    };
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(problem)).into_response()
}
