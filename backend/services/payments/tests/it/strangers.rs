//! SOAP implementations that share no code with ours, made from the WSDL alone:
//! Python's `zeep` calls the simulator, our adapter calls a gateway of `spyne`.
//!
//! `SOAP_TEST_PYTHON` names a Python that has them; `./bv engines test soap`
//! and `./bv test` see to it. Without, these tests say so and do nothing.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use contracts::clients::PaymentsClient;
use contracts::generated::bellavista::payments::v1::{
    CaptureOutcome, CaptureResponse, RefundOutcome,
};
use platform::testing::{Bench, house};
use shared_types::OrderId;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::shop::{Simulator, attempt, capture, refund, refund_id, settings};

/// A Python with zeep and spyne, when there is one.
fn python(doing: &str) -> Option<Command> {
    let named = std::env::var_os("SOAP_TEST_PYTHON");
    if named.is_none() {
        eprintln!("skipped: {doing} needs Python with zeep and spyne (./bv engines test soap)");
    }
    let mut command = Command::new(named?);
    command.stdin(Stdio::piped()).kill_on_drop(true);
    Some(command)
}

fn file(below_the_root: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..").join(below_the_root)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zeep_uses_the_simulator_by_its_description_alone() {
    let Some(mut python) = python("the simulator by zeep") else { return };
    let simulator = Simulator::start().await;
    python.arg(file("backend/engines/soap/client.py"));
    python.arg(simulator.url("/soap/payment")).arg(file("wsdl/payment/golden"));
    let ended = python.output().await.unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    eprintln!("{}", said.trim());
}

/// A gateway of spyne, and the service in front of it.
struct Foreign {
    bench: Bench,
    client: Arc<dyn PaymentsClient>,
    _gateway: Child,
}

impl Foreign {
    async fn start(mut python: Command) -> Self {
        python.arg(file("backend/engines/soap/gateway.py"));
        python.arg(file("wsdl/payment/payment.wsdl")).stdout(Stdio::piped());
        let mut gateway = python.spawn().unwrap();
        let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
        let port: u16 = lines.next_line().await.unwrap().expect("a port").parse().unwrap();
        let url = format!("http://127.0.0.1:{port}/");
        let bench = house("payments", &payments::MIGRATIONS, &settings(&url, "", 5_000)).await;
        let client = payments::build(bench.ctx.clone()).unwrap().client;
        Foreign { bench, client, _gateway: gateway }
    }

    async fn pay(&self, order: OrderId, token: &str) -> CaptureResponse {
        self.client.capture(capture(order, attempt(), token)).await.unwrap()
    }

    async fn calls(&self) -> String {
        let outcomes = "SELECT string_agg(outcome, ' ' ORDER BY id) FROM provider_calls";
        let outcomes: Option<String> =
            sqlx::query_scalar(outcomes).fetch_one(self.bench.pool()).await.unwrap();
        sqlx::query("DELETE FROM provider_calls").execute(self.bench.pool()).await.unwrap();
        outcomes.unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_adapter_speaks_to_a_gateway_of_spyne() {
    let Some(python) = python("the adapter at spyne") else { return };
    let foreign = Foreign::start(python).await;
    let paid = foreign.bench.id();
    assert_eq!(foreign.pay(paid, "tok_ok").await.outcome(), CaptureOutcome::Captured);
    assert_eq!(foreign.calls().await, "approved");

    let declined = foreign.pay(foreign.bench.id(), "tok_empty_card").await;
    assert_eq!(declined.outcome(), CaptureOutcome::Declined);
    assert_eq!(declined.decline_code, "insufficient_funds");
    assert_eq!(foreign.calls().await, "declined");

    let refused = foreign.pay(foreign.bench.id(), "tok_invalid").await;
    assert_eq!(refused.outcome(), CaptureOutcome::Declined);
    assert_eq!(foreign.calls().await, "refused", "a typed fault of the client is final");

    // Charged, and an untyped fault for an answer: asked for and found.
    let lost = foreign.pay(foreign.bench.id(), "tok_lost_after").await;
    assert_eq!(lost.outcome(), CaptureOutcome::Captured);
    assert_eq!(foreign.calls().await, "unknown listed");

    let back = |minor| foreign.client.refund(refund(paid, refund_id(), minor));
    assert_eq!(back(2_950).await.unwrap().outcome(), RefundOutcome::Refunded);
    assert_eq!(back(7_051).await.unwrap().outcome(), RefundOutcome::RefundTooMuch);
    assert_eq!(back(7_050).await.unwrap().outcome(), RefundOutcome::Refunded);
    assert_eq!(foreign.calls().await, "approved approved");

    // The lost answer was a failure too; five within a minute would open the breaker.
    foreign.bench.advance(Duration::from_secs(61));
    let busy = foreign.pay(foreign.bench.id(), "tok_fault").await;
    assert_eq!(busy.outcome(), CaptureOutcome::NotSent);
    assert_eq!(foreign.calls().await, ["fault"; 5].join(" "));
    eprintln!("spyne: charges, declines, faults, refunds and a lost answer");
}
