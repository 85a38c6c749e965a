//! The payment gateway fails: retries, an open breaker, the fallback, one trial,
//! closed again; all of it seen in the metrics and in the traces.

use std::time::{Duration, Instant};

use e2e::api::{Answer, Api};
use e2e::shop::{Shop, free_ports};
use serde_json::{Value, json};

use crate::collector::{Collector, Seen};
use crate::{card, fresh_key, new_sku, order_of};

/// How long the breaker stays open here; 30 s as shipped.
const OPEN_MS: u64 = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_breaker_fallback_and_trial_are_seen_in_metrics_and_traces() -> anyhow::Result<()> {
    let home = tempfile::Builder::new().prefix("bv-e2e-gateway-").tempdir()?.keep();
    let collector = Collector::start().await?;
    let open_ms = OPEN_MS.to_string();
    let settings = [
        ("BV_TELEMETRY__OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("BV_PAYMENTS__SOAP__BREAKER__OPEN_MS", open_ms.as_str()),
    ];
    let shop = Shop::start_with(&home, free_ports()?, &[], &settings).await?;
    let desk = Desk {
        nobody: Api::new(shop.port),
        internal: Api::new(shop.port + 10),
        simulator: format!("http://127.0.0.1:{}/admin/controls", shop.port + 5),
    };
    let sku = new_sku(&desk.nobody.demo("merchant").await?, 5).await?;
    assert_eq!(desk.metric(STATE_CLOSED).await?, 1.0, "shown from the start");

    desk.control("next", json!(["fault", "fault", "fault", "fault", "fault"])).await?;
    let paid = desk.pay(&sku).await?.expect(200);
    assert_eq!(desk.metric(STATE_OPEN).await?, 1.0);
    assert_eq!(desk.metric(&attempts("soap", "fault")).await?, 5.0, "five tries");
    assert!(desk.metric(&attempts("soap", "held_back")).await? >= 1.0);
    assert_eq!(desk.metric(&attempts("rest", "approved")).await?, 1.0, "the fallback");
    assert_eq!(desk.metric("payment_fallbacks_total").await?, 1.0);
    let spans = collector.trace(&trace_of(&paid), &[("payments", "rest process_payment")]).await;
    let calls = calls(&spans);
    let faults = vec!["soap fault closed"; 5];
    assert_eq!(&calls[..5], faults, "{calls:?}");
    assert!(calls.contains(&"soap held_back open".to_owned()), "{calls:?}");
    assert_eq!(calls.last().map(String::as_str), Some("rest approved closed"), "{calls:?}");
    let attempts = spans.iter().filter(|s| s.name == "payment attempt").collect::<Vec<_>>();
    let under = |s: &&Seen| attempts.iter().any(|attempt| attempt.id == s.parent);
    assert!(spans.iter().filter(|s| s.name.ends_with("process_payment")).all(|s| under(&s)));

    // Slow enough that the trial can be looked at.
    desk.control("latencyMs", json!(1_500)).await?;
    tokio::time::sleep(Duration::from_millis(OPEN_MS)).await;
    let (trial, seen_half_open) = tokio::join!(desk.pay(&sku), desk.becomes(STATE_HALF_OPEN, 1.0));
    let trial = trial?.expect(200);
    seen_half_open?;
    desk.becomes(STATE_CLOSED, 1.0).await?;
    for state in ["open", "half_open", "closed"] {
        let name = format!("breaker_transitions_total{{breaker=\"payment_soap\",to=\"{state}\"}}");
        assert_eq!(desk.metric(&name).await?, 1.0, "{state}");
    }
    let spans = collector.trace(&trace_of(&trial), &[("payments", "soap process_payment")]).await;
    assert_eq!(self::calls(&spans), ["soap approved half_open"]);
    desk.becomes("payment_fallback_share", 0.5).await?;
    Ok(())
}

const STATE_CLOSED: &str = "breaker_state{breaker=\"payment_soap\",state=\"closed\"}";
const STATE_HALF_OPEN: &str = "breaker_state{breaker=\"payment_soap\",state=\"half_open\"}";
const STATE_OPEN: &str = "breaker_state{breaker=\"payment_soap\",state=\"open\"}";

fn attempts(provider: &str, outcome: &str) -> String {
    format!("payment_attempts_total{{provider=\"{provider}\",outcome=\"{outcome}\"}}")
}

struct Desk {
    nobody: Api,
    internal: Api,
    simulator: String,
}

impl Desk {
    /// A fresh order, paid; the answer to the payment.
    async fn pay(&self, sku: &str) -> anyhow::Result<Answer> {
        let order =
            self.nobody.post_once("/api/v1/orders", &fresh_key(), &order_of(sku, 1)).await?;
        let order = order.expect(201).json();
        let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
        let buyer = self.nobody.order_token(&text("orderToken"));
        let path = format!("/api/v1/orders/{}/pay", text("orderId"));
        buyer.post_once(&path, &fresh_key(), &card("tok_ok")).await
    }

    async fn control(&self, name: &str, value: Value) -> anyhow::Result<()> {
        let http = reqwest::Client::new();
        let mut controls: Value = http.get(&self.simulator).send().await?.json().await?;
        controls[name] = value;
        http.put(&self.simulator).json(&controls).send().await?.error_for_status()?;
        Ok(())
    }

    /// The sum of all lines that have the name and the labels of `wanted`.
    async fn metric(&self, wanted: &str) -> anyhow::Result<f64> {
        let page = self.internal.get("/metrics").await?.expect(200).body;
        let (name, labels) = wanted.split_once('{').unwrap_or((wanted, ""));
        let labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
        let of_it = |line: &&str| {
            let (series, _) = line.rsplit_once(' ').unwrap_or_default();
            let (its_name, its_labels) = series.split_once('{').unwrap_or((series, ""));
            its_name == name && labels.iter().all(|label| its_labels.contains(label))
        };
        let values = page.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next());
        Ok(values.filter_map(|value| value.parse::<f64>().ok()).sum())
    }

    async fn becomes(&self, name: &str, wanted: f64) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let value = self.metric(name).await?;
            if (value - wanted).abs() < f64::EPSILON {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "{name} is {value} and not {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn trace_of(answer: &Answer) -> String {
    answer.header("traceparent").split('-').nth(1).unwrap_or_default().to_owned()
}

/// The calls to gateways in a trace: provider, outcome, and the breaker as it was.
fn calls(spans: &[Seen]) -> Vec<String> {
    let of_call = |span: &&Seen| span.service == "payments" && span.name.ends_with("_payment");
    let word = |span: &Seen, name: &str| span.attributes.get(name).cloned().unwrap_or_default();
    spans
        .iter()
        .filter(of_call)
        .map(|span| {
            let provider = span.name.split(' ').next().unwrap_or_default();
            format!("{provider} {} {}", word(span, "payment.outcome"), word(span, "breaker.state"))
        })
        .collect()
}
