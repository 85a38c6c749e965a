//! The service beside its gateway, each with a database of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use contracts::clients::PaymentsClient;
use contracts::generated::bellavista::payments::v1::{
    CaptureOutcome, CaptureRequest, CaptureResponse, GetAttemptRequest, RefundOutcome,
    RefundRequest,
};
use platform::lifecycle::Lifecycle;
use platform::testing::{Bench, house};
use platform::{Context, Service};
use serde_json::{Value, json};
use shared_types::{AttemptId, OrderId, RefundId};
use sqlx::AssertSqlSafe;

const SIMULATOR: &str = r#"
[payment_simulator]
address = "127.0.0.1"
port = 8085
slow_ms = 700
latency_ms = 0
decline_percent = 0
fault_percent = 0
lost_before_percent = 0
lost_after_percent = 0
"#;

/// `[payments]` with short times, towards `soap` and, unless empty, `rest`.
pub fn settings(soap: &str, rest: &str, timeout_ms: u64) -> String {
    let gateway = format!(
        "connect_timeout_ms = 500\ntimeout_ms = {timeout_ms}\nconcurrency = 16\nqueue_timeout_ms = 3000"
    );
    let enabled = !rest.is_empty();
    let rest = if enabled { rest } else { "http://127.0.0.1:1" };
    format!(
        "[payments]
answer_within_ms = 8000
max_running = 500
attempts = 5
fallback_attempts = 2
backoff_first_ms = 2
backoff_cap_ms = 20
settlement_time_ms = 30000
resend_within_ms = 300000
reconcile_every_ms = 20
reconcile_batch = 50
[payments.soap]
url = \"{soap}\"
{gateway}
[payments.rest]
enabled = {enabled}
url = \"{rest}\"
{gateway}
"
    )
}

/// Serves `router` on a free loopback port until the test's runtime ends.
pub async fn serve(router: axum::Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// The simulator alone.
pub struct Simulator {
    pub address: SocketAddr,
    pub http: reqwest::Client,
    _bench: Bench,
}

impl Simulator {
    pub async fn start() -> Self {
        Simulator::start_with("").await
    }

    /// It sends its notifications to `notify`.
    pub async fn start_with(notify: &str) -> Self {
        let text = format!("{SIMULATOR}notify = \"{notify}\"\n");
        let bench = house("payment_simulator", &payments::simulator::MIGRATIONS, &text).await;
        let built = payments::simulator::build(bench.ctx.clone()).unwrap();
        let address = serve(built.router).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Simulator { address, http, _bench: bench }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> Value {
        self.http.get(self.url(path)).send().await.unwrap().json().await.unwrap()
    }

    /// Changes one control and leaves the others.
    pub async fn control(&self, name: &str, value: Value) {
        let mut controls = self.get("/admin/controls").await;
        controls[name] = value;
        let put = self.http.put(self.url("/admin/controls")).json(&controls);
        assert_eq!(put.send().await.unwrap().status(), 200);
    }

    /// What the next calls that move money do.
    pub async fn script(&self, deeds: &[&str]) {
        self.control("next", json!(deeds)).await;
    }

    /// Entries of an order: approved charges, and approved refunds.
    pub async fn count(&self, order: OrderId) -> (usize, usize) {
        let ledger = self.get(&format!("/admin/ledger?orderId={order}")).await;
        let of = |kind: &str| {
            let items = ledger["items"].as_array().unwrap();
            items.iter().filter(|e| e["kind"] == kind && e["status"] == "APPROVED").count()
        };
        (of("CHARGE"), of("REFUND"))
    }
}

/// The service, with the simulator as its gateway.
pub struct Shop {
    pub bench: Bench,
    pub service: Service,
    pub client: Arc<dyn PaymentsClient>,
    pub simulator: Simulator,
}

impl Shop {
    pub async fn open() -> Self {
        Shop::open_with(5_000, true).await
    }

    pub async fn open_with(timeout_ms: u64, rest: bool) -> Self {
        let simulator = Simulator::start().await;
        let rest = if rest { simulator.url("/rest/payments") } else { String::new() };
        let text = settings(&simulator.url("/soap/payment"), &rest, timeout_ms);
        let bench = house("payments", &payments::MIGRATIONS, &text).await;
        let (service, client) = start(bench.ctx.clone());
        Shop { bench, service, client, simulator }
    }

    /// With further settings; `{sim}` in them is where the simulator is. A first
    /// part up to `---` goes into `[payments]` itself. The simulator's
    /// notifications reach the service.
    pub async fn open_more(more: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let simulator = Simulator::start_with(&base).await;
        let (head, tail) = more.split_once("---").unwrap_or(("", more));
        let text =
            settings(&simulator.url("/soap/payment"), &simulator.url("/rest/payments"), 5_000);
        let text = text.replacen("[payments]\n", &format!("[payments]\n{head}\n"), 1);
        let text = format!("{text}\n{}", tail.replace("{sim}", &simulator.url("")));
        let bench = house("payments", &payments::MIGRATIONS, &text).await;
        let (service, client) = start(bench.ctx.clone());
        let (rest, _) = service.rest.clone().split_for_parts();
        let whole = axum::Router::new().nest(platform::http::REST_PREFIX, rest);
        let router = platform::http::finish(whole, service.name, service.ctx.verifier.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Shop { bench, service, client, simulator }
    }

    /// What a kill and a new start do: work in memory is gone.
    pub async fn restart(&mut self) {
        self.bench.ctx.lifecycle.stop(Duration::from_millis(1)).await.unwrap();
        let ctx = Context { lifecycle: Lifecycle::new(), ..self.bench.ctx.clone() };
        self.bench.ctx = ctx.clone();
        (self.service, self.client) = start(ctx);
    }

    pub fn order(&self) -> OrderId {
        OrderId(uuid::Uuid::now_v7())
    }

    pub async fn pay(&self, order: OrderId, attempt: AttemptId, token: &str) -> CaptureResponse {
        self.client.capture(capture(order, attempt, token)).await.unwrap()
    }

    /// A fresh attempt over 100.00.
    pub async fn pay_once(&self, order: OrderId, token: &str) -> (AttemptId, CaptureResponse) {
        let attempt = attempt();
        (attempt, self.pay(order, attempt, token).await)
    }

    pub async fn attempt(&self, attempt: AttemptId) -> CaptureResponse {
        let request = GetAttemptRequest { attempt_id: attempt.to_string() };
        self.client.get_attempt(request).await.unwrap()
    }

    /// Waits, at most ten seconds, until the attempt is decided.
    pub async fn decided(&self, id: AttemptId) -> CaptureResponse {
        for _ in 0..500 {
            let answer = self.attempt(id).await;
            if answer.outcome() != CaptureOutcome::Pending {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the attempt {id} is not decided");
    }

    pub async fn refund(&self, order: OrderId, id: RefundId, minor: i64) -> RefundOutcome {
        self.client.refund(refund(order, id, minor)).await.unwrap().outcome()
    }

    /// Waits, at most ten seconds, until asking again says that it is done.
    pub async fn refunded(&self, order: OrderId, id: RefundId, minor: i64) {
        for _ in 0..500 {
            if self.refund(order, id, minor).await == RefundOutcome::Refunded {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the refund {id} is not done");
    }

    /// Moves time and waits until reconciliation has asked about everything
    /// that was due.
    pub async fn pass(&self, seconds: u64) {
        self.bench.advance(Duration::from_secs(seconds));
        let now = self.bench.clock().now();
        for _ in 0..500 {
            let due: i64 = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM payment_attempts WHERE due_at <= $1 OR owner IS NOT NULL)
                      + (SELECT count(*) FROM refunds WHERE due_at <= $1 OR owner IS NOT NULL)",
            )
            .bind(now)
            .fetch_one(self.bench.pool())
            .await
            .unwrap();
            if due == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("reconciliation does not come to rest");
    }

    /// One text out of the database.
    pub async fn text(&self, sql: &str) -> String {
        sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql.to_owned()))
            .fetch_one(self.bench.pool())
            .await
            .unwrap()
            .unwrap_or_default()
    }

    /// The outcomes of all calls that went out, oldest first, with a blank between.
    pub async fn calls(&self) -> String {
        self.text(
            "SELECT string_agg(provider || ':' || outcome, ' ' ORDER BY id) FROM provider_calls
             WHERE direction = 'OUT'",
        )
        .await
    }
}

/// Card providers of the simulator, and who takes what.
pub const STRIPE: &str = "
[payments.stripe]
enabled = true
url = \"{sim}/stripe\"
secret_key = \"sk_test_simulator\"
webhook_secrets = [\"whsec_simulator\"]
[[payments.routes]]
providers = [\"stripe\"]
";
pub const ADYEN: &str = "
[payments.adyen]
enabled = true
url = \"{sim}/adyen/v71\"
api_key = \"AQE_simulator\"
hmac_keys = [\"73696d756c61746f722073696d756c61746f722073696d756c61746f72212121\"]
[[payments.routes]]
providers = [\"adyen\"]
";

fn start(ctx: Context) -> (Service, Arc<dyn PaymentsClient>) {
    let lifecycle = ctx.lifecycle.clone();
    let built = payments::build(ctx).unwrap();
    let mut service = built.service;
    for (name, task) in service.tasks.drain(..) {
        lifecycle.spawn(name, task);
    }
    (service, built.client)
}

pub fn attempt() -> AttemptId {
    AttemptId(uuid::Uuid::now_v7())
}

pub fn refund_id() -> RefundId {
    RefundId(uuid::Uuid::now_v7())
}

pub fn capture(order: OrderId, attempt: AttemptId, token: &str) -> CaptureRequest {
    CaptureRequest {
        attempt_id: attempt.to_string(),
        order_id: order.to_string(),
        amount_minor: 10_000,
        currency: "USD".into(),
        method_type: "card".into(),
        token: token.into(),
    }
}

pub fn refund(order: OrderId, id: RefundId, minor: i64) -> RefundRequest {
    RefundRequest {
        refund_id: id.to_string(),
        order_id: order.to_string(),
        amount_minor: minor,
        currency: "USD".into(),
        reason: "asked for".into(),
    }
}
