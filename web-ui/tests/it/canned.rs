//! A public API of canned answers over the demo catalogue, for tests and for
//! looking at pages. It keeps just enough state to be walked through.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use axum::body::Body;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use shared_types::Amount;
use shared_types::catalog::ProductInput;

const CATALOGUE: &str = include_str!("../../../backend/bellavista/demo/catalogue.json");
pub const ORDER: &str = "0193a1f0-0000-7000-8000-000000000abc";
pub const CART: &str = "0193a1f0-0000-7000-8000-00000000ca27";

/// A call the storefront made.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    /// Sku and quantity.
    cart: Vec<(String, i64)>,
    /// Status, stage and last decline of the one order.
    order: Option<(&'static str, &'static str, Option<&'static str>)>,
    seen: Vec<Seen>,
    /// Answers that come before the canned ones, once each.
    next: Vec<(String, u16, Value)>,
    away: bool,
}

/// The canned API.
#[derive(Default)]
pub struct Canned(Mutex<State>);

type Answer = (u16, Value);

impl Canned {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Every call so far whose path starts so.
    pub fn seen(&self, method: Method, path: &str) -> Vec<Seen> {
        let fits = |s: &&Seen| s.method == method && s.path.starts_with(path);
        self.state().seen.iter().filter(fits).cloned().collect()
    }

    /// The next call to "METHOD /path" (without query) gets this answer.
    pub fn answer_next(&self, call: &str, status: u16, body: Value) {
        self.state().next.push((call.to_owned(), status, body));
    }

    pub fn put_in_cart(&self, sku: &str, qty: i64) {
        self.state().cart.push((sku.to_owned(), qty));
    }

    pub fn set_order(
        &self,
        status: &'static str,
        stage: &'static str,
        decline: Option<&'static str>,
    ) {
        self.state().order = Some((status, stage, decline));
    }

    pub fn set_away(&self, away: bool) {
        self.state().away = away;
    }
}

#[async_trait]
impl web_ui::Transport for Canned {
    async fn call(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let path = parts.uri.path().strip_prefix("/api/v1").unwrap().to_owned();
        let text = |v: &http::HeaderValue| v.to_str().unwrap_or_default().to_owned();
        let headers = parts.headers.iter().map(|(k, v)| (k.to_string(), text(v))).collect();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let seen = Seen { method: parts.method.clone(), path: path.clone(), headers, body };
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let (status, answer) = answer(&mut self.state(), &seen, &query);
        let kind = if status < 400 { "application/json" } else { "application/problem+json" };
        let mut response = Response::builder().status(status).header("content-type", kind);
        let guest =
            seen.header("authorization").is_empty() && !seen.header("cookie").contains("bv_guest");
        if guest && path.starts_with("/cart") {
            response =
                response.header("set-cookie", "bv_guest=guest.jwt; Path=/; HttpOnly; SameSite=Lax");
        }
        self.state().seen.push(seen);
        let body = if status == 204 { Body::empty() } else { Body::from(answer.to_string()) };
        response.body(body).unwrap()
    }
}

fn answer(state: &mut State, seen: &Seen, query: &str) -> Answer {
    if state.away {
        return problem(503, "unavailable", "the service is away");
    }
    let call = format!("{} {}", seen.method, seen.path);
    if let Some(at) = state.next.iter().position(|(name, ..)| *name == call) {
        let (_, status, body) = state.next.remove(at);
        return (status, body);
    }
    let path: Vec<&str> = seen.path.trim_start_matches('/').split('/').collect();
    match (seen.method.as_str(), path.as_slice()) {
        ("GET", ["products"]) => (200, page(list(query))),
        ("GET", ["products", key]) => {
            let found = products().into_iter().find(|p| p["slug"] == *key || p["id"] == *key);
            found.map_or(problem(404, "catalog.not_found", ""), |p| (200, p))
        }
        ("GET", ["categories"]) => (200, page(categories())),
        ("GET", ["cart"]) => (200, cart(state)),
        ("POST", ["cart", "items"]) => add(state, &seen.body),
        ("PUT", ["cart", "items", item]) => {
            let at = item[item.len() - 2..].parse::<usize>().unwrap();
            state.cart[at].1 = seen.body["qty"].as_i64().unwrap();
            (200, cart(state))
        }
        ("DELETE", ["cart", "items", item]) => {
            state.cart.remove(item[item.len() - 2..].parse::<usize>().unwrap());
            (204, Value::Null)
        }
        ("POST", ["cart", "merge"]) => (200, cart(state)),
        ("POST", ["orders"]) => {
            state.order = Some(("PENDING", "awaiting_payment", None));
            let mut order = order(state);
            order["orderToken"] = json!("order.token");
            state.cart.clear();
            (201, order)
        }
        ("GET", ["orders"]) => (200, page(summaries())),
        ("GET", ["orders", ORDER]) if state.order.is_some() => (200, order(state)),
        ("GET", ["orders", ORDER, "status"]) if state.order.is_some() => (200, order_status(state)),
        ("POST", ["orders", ORDER, "pay"]) => pay(state, &seen.body),
        ("POST", ["orders", ORDER, "cancel"]) => {
            state.order = Some(("CANCELED", "done", None));
            (200, order(state))
        }
        ("POST", ["users", "login"]) if seen.body["password"] == "right password" => {
            (200, tokens("a1"))
        }
        ("POST", ["users", "login"]) => problem(401, "identity.wrong_credentials", ""),
        ("POST", ["users", "refresh"]) if seen.body["refreshToken"] == "refresh-a1" => {
            (200, tokens("a2"))
        }
        ("POST", ["users", "refresh"]) => problem(401, "identity.session_over", ""),
        ("POST", ["users", "logout"]) => (204, Value::Null),
        ("POST", ["users", "register"]) => {
            let mut user = seen.body.clone();
            user["id"] = json!(ORDER);
            (201, user)
        }
        ("GET", ["users", _]) => {
            let (id, mail) = (ORDER, "ada@example.org");
            (200, json!({"id": id, "email": mail, "firstName": "Ada", "lastName": "Lovelace"}))
        }
        _ => problem(404, "not_found", ""),
    }
}

pub fn problem(status: u16, code: &str, detail: &str) -> Answer {
    let title = StatusCode::from_u16(status).unwrap().canonical_reason().unwrap();
    (
        status,
        json!({"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}),
    )
}

fn page(items: Vec<Value>) -> Value {
    json!({"items": items, "pageInfo": {"endCursor": null, "hasNextPage": false}})
}

/// `sub` of this access token is the one user.
fn tokens(name: &str) -> Value {
    let access = format!("e30.eyJzdWIiOiJhZGEifQ.{name}");
    json!({"accessToken": access, "tokenType": "Bearer", "expiresIn": 900, "refreshToken": format!("refresh-{name}")})
}

fn slug(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

pub fn inputs() -> Vec<ProductInput> {
    serde_json::from_str(CATALOGUE).unwrap()
}

pub fn products() -> Vec<Value> {
    let of = |(n, p): (usize, ProductInput)| {
        let variants: Vec<Value> = p.variants.iter().enumerate().map(|(m, v)| {
            let band = match v.stock.unwrap() { 0 => "OUT", 1..=5 => "LOW", _ => "IN_STOCK" };
            json!({
                "id": format!("0193a1f0-0000-7000-8000-0000{n:04}{m:04}"), "sku": v.sku, "title": v.title,
                "price": v.price, "currency": v.currency, "availability": band, "options": v.options,
            })
        }).collect();
        json!({
            "id": format!("0193a1f0-0000-7000-8000-00000000{n:04}"), "slug": slug(&p.title), "title": p.title,
            "description": p.description, "categories": p.categories, "status": "ACTIVE", "media": p.media,
            "variants": variants, "updatedAt": "2026-11-20T10:15:00.000Z",
        })
    };
    inputs().into_iter().enumerate().map(of).collect()
}

fn categories() -> Vec<Value> {
    let mut counts: Vec<(String, i64)> = Vec::new();
    for name in inputs().into_iter().flat_map(|p| p.categories) {
        match counts.iter_mut().find(|(n, _)| *n == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let of = |(name, count)| json!({"slug": slug(name), "name": name, "products": count});
    counts.iter().map(|(name, count)| of((name, count))).collect()
}

fn list(query: &str) -> Vec<Value> {
    let param = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.to_lowercase())
    };
    let first: usize = param("first").unwrap().parse().unwrap();
    let mut all = products();
    all.sort_by_key(|p| {
        p["slug"].as_str().unwrap().bytes().fold(7_u32, |h, b| h.wrapping_mul(31) ^ u32::from(b))
    });
    let fits = |p: &Value| {
        let of_category = |c: &str| {
            p["categories"].as_array().unwrap().iter().any(|n| slug(n.as_str().unwrap()) == c)
        };
        param("category").is_none_or(|c| of_category(&c))
            && param("text")
                .is_none_or(|t| p["title"].as_str().unwrap().to_lowercase().contains(&t))
    };
    all.into_iter().filter(fits).take(first).collect()
}

fn cents(amount: &Amount) -> i64 {
    amount.in_currency(shared_types::Currency::USD).unwrap().minor
}

fn dollars(cents: i64) -> Amount {
    Amount::new(cents, 2)
}

fn lines(state: &State) -> Vec<(Value, Value, i64, i64)> {
    let all = products();
    let find = |sku: &str| {
        all.iter().find_map(|p| {
            let variant = p["variants"].as_array().unwrap().iter().find(|v| v["sku"] == sku)?;
            Some((p.clone(), variant.clone()))
        })
    };
    state
        .cart
        .iter()
        .map(|(sku, qty)| {
            let (product, variant) = find(sku).unwrap();
            let price = cents(&serde_json::from_str(&variant["price"].to_string()).unwrap());
            (product, variant, *qty, price)
        })
        .collect()
}

fn amounts(state: &State) -> (i64, i64) {
    let subtotal: i64 = lines(state).iter().map(|(_, _, qty, price)| qty * price).sum();
    (subtotal, if subtotal >= 5_000 || subtotal == 0 { 0 } else { 490 })
}

fn title(product: &Value, variant: &Value) -> String {
    format!("{}, {}", product["title"].as_str().unwrap(), variant["title"].as_str().unwrap())
}

fn cart(state: &State) -> Value {
    let items: Vec<Value> = lines(state).into_iter().enumerate().map(|(n, (product, variant, qty, price))| {
        let low = variant["availability"] == "LOW";
        let notices = if low {
            json!([{"code": "price_changed", "message": "the price has changed since you added it"}])
        } else {
            json!([])
        };
        json!({
            "itemId": format!("0193a1f0-0000-7000-8000-0000000000{n:02}"), "productId": product["id"], "slug": product["slug"],
            "sku": variant["sku"], "title": title(&product, &variant), "qty": qty, "price": dollars(price),
            "lineTotal": dollars(price * qty), "media": product["media"][0], "notices": notices,
        })
    }).collect();
    let (subtotal, shipping) = amounts(state);
    let currency = if items.is_empty() { Value::Null } else { json!("USD") };
    json!({
        "id": CART, "items": items, "currency": currency,
        "amounts": {"subtotal": dollars(subtotal), "discount": dollars(0), "tax": dollars(0), "shipping": dollars(shipping), "total": dollars(subtotal + shipping)},
    })
}

fn add(state: &mut State, body: &Value) -> Answer {
    let sku = body["sku"].as_str().unwrap();
    let known = inputs().into_iter().flat_map(|p| p.variants).find(|v| v.sku == sku);
    match known {
        Some(v) if v.stock == Some(0) => problem(409, "cart.sold_out", "this has just sold out"),
        Some(_) => {
            state.cart.push((sku.to_owned(), body["qty"].as_i64().unwrap()));
            (201, cart(state))
        }
        None => {
            let (status, mut problem) = problem(422, "invalid", "");
            problem["errors"] =
                json!([{"field": "sku", "code": "unknown", "message": "is not for sale"}]);
            (status, problem)
        }
    }
}

fn order(state: &State) -> Value {
    let (status, stage, decline) = state.order.unwrap_or(("PENDING", "awaiting_payment", None));
    let cart = match state.cart.is_empty() {
        true => vec![("BV-LAGO-M".to_owned(), 1), ("BV-FARO-3".to_owned(), 2)],
        false => state.cart.clone(),
    };
    let shown = State { cart, ..State::default() };
    let items: Vec<Value> = lines(&shown).into_iter().map(|(product, variant, qty, price)| json!({
        "productId": product["id"], "sku": variant["sku"], "title": title(&product, &variant), "qty": qty,
        "price": dollars(price), "lineTotal": dollars(price * qty),
    })).collect();
    let (subtotal, shipping) = amounts(&shown);
    let now = time::OffsetDateTime::now_utc();
    let held = (status == "PENDING" && stage != "reserving")
        .then(|| shared_types::Timestamp::new(now + time::Duration::minutes(9)));
    json!({
        "orderId": ORDER, "orderNumber": "BV-100042", "status": status, "stage": stage, "items": items,
        "amounts": {"subtotal": dollars(subtotal), "discount": dollars(0), "tax": dollars(0), "shipping": dollars(shipping)},
        "totalAmount": dollars(subtotal + shipping), "refundedAmount": dollars(0), "currency": "USD",
        "holdExpiresAt": held, "createdAt": shared_types::Timestamp::new(now), "lastDecline": decline,
        "email": "ada@example.org",
        "shippingAddress": {"name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "postalCode": "SW1Y 4LB", "country": "GB"},
    })
}

fn order_status(state: &State) -> Value {
    let (status, stage, _) = state.order.unwrap_or(("PENDING", "awaiting_payment", None));
    let mut history =
        vec![json!({"status": "PENDING", "at": "2026-11-20T10:15:00.000Z", "cause": "placed"})];
    if status == "CONFIRMED" {
        history
            .push(json!({"status": "PAID", "at": "2026-11-20T10:16:10.000Z", "cause": "captured"}));
        history.push(json!({"status": "CONFIRMED", "at": "2026-11-20T10:16:11.000Z", "cause": "stock_confirmed"}));
    }
    json!({"orderId": ORDER, "status": status, "stage": stage, "updatedAt": "2026-11-20T10:16:11.000Z", "history": history})
}

fn pay(state: &mut State, body: &Value) -> Answer {
    match body["paymentMethod"]["token"].as_str().unwrap() {
        "tok_declined" => {
            state.order = Some(("PENDING", "awaiting_payment", Some("card_declined")));
            problem(402, "payments.declined", "the card was declined")
        }
        "tok_slow" => {
            state.order = Some(("PENDING", "capturing", None));
            (202, json!({"orderId": ORDER, "status": "PENDING", "stage": "capturing"}))
        }
        _ => {
            state.order = Some(("CONFIRMED", "done", None));
            (200, json!({"orderId": ORDER, "status": "CONFIRMED"}))
        }
    }
}

/// Three orders, for whoever is signed in.
fn summaries() -> Vec<Value> {
    let of = |n: i64, status: &str, total: i64| {
        json!({
            "orderId": ORDER, "orderNumber": format!("BV-1000{n}"), "status": status, "stage": "done", "totalAmount": dollars(total),
            "currency": "USD", "units": n % 5 + 1, "createdAt": "2026-11-20T10:15:00.000Z", "updatedAt": "2026-11-20T10:15:00.000Z",
        })
    };
    vec![of(42, "CONFIRMED", 12_400), of(31, "FULFILLED", 4_890), of(17, "CANCELED", 18_900)]
}
