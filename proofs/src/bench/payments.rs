//! `bench payments`: what a payment costs beyond its gateway, and how many there
//! are in a second.
//!
//! Captures go straight to `payments` through gRPC, as `orders` sends them. One at
//! a time first, beside the same call made to the gateway by a bare client with a
//! message written beforehand: the difference is the adapter. Then as many at once
//! as asked for, with the simulator at each latency. In the same run the books:
//! every capture was answered so, and the gateway's ledger has one charge for each
//! order and no other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::pace::{self, Pace, Paced};
use super::telemetry::{self, Timers};
use super::{cpu, machine, write};
use crate::client::Credential;
use crate::credentials::Renewing;
use crate::generated::bellavista::payments::v1 as proto;
use crate::generated::bellavista::payments::v1::payments_client::PaymentsClient;
use crate::report::Table;
use crate::settings::ShopArgs;
use crate::simulator::Simulator;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long each measurement lasts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// Payments under way at once. The shop lets 32 calls at a time to a gateway
    /// unless told otherwise.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    pub under_way: u16,
    /// Milliseconds that the simulator takes for a call, one measurement each.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 50])]
    pub latencies: Vec<u64>,
    /// gRPC connections.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub connections: u16,
    /// Append the result to this file.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

const CAPTURED: &str = "captured";
const AMOUNT_MINOR: i64 = 1_250;

/// Whether the books are right.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    if cfg!(debug_assertions) {
        eprintln!("this generator is a debug build and will be part of what is measured");
    }
    ensure!(!args.latencies.is_empty(), "--latencies needs at least one");
    let bench = Bench::open(shop_args, args).await?;
    let outcome = bench.measure(args).await;
    bench.simulator.calm().await?;
    let (text, right) = outcome?;
    print!("{}", text.iter().map(Table::plain).collect::<Vec<_>>().join("\n"));
    if let Some(path) = &args.report {
        let machine = machine::look(machine::port_of(&shop_args.url));
        let command =
            format!("bench payments --seconds {} --under-way {}", args.seconds, args.under_way);
        let words = text.iter().map(Table::markdown).collect::<Vec<_>>().join("\n");
        let books = if right { "Books right." } else { "**Worthless: the books are wrong.**" };
        let words = format!("{words}\n{books}\n");
        write::append_section(path, "payments", &command, &machine, &words)?;
        println!("written to {}", path.display());
    }
    println!("{}", if right { "books right" } else { "WORTHLESS: the books are wrong" });
    Ok(right)
}

struct Bench {
    simulator: Simulator,
    gateway: String,
    internal: String,
    clients: Vec<PaymentsClient<Channel>>,
    bearer: MetadataValue<Ascii>,
    http: reqwest::Client,
}

impl Bench {
    async fn open(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<Self> {
        let Credential::Bearer(token) = Renewing::tools(shop_args)?.get().await? else {
            bail!("a service token is needed");
        };
        let mut clients = Vec::new();
        for _ in 0..args.connections {
            let endpoint = Endpoint::from_shared(shop_args.grpc.clone())?.tcp_nodelay(true);
            let channel = endpoint.connect().await.context("gRPC of payments")?;
            clients.push(PaymentsClient::new(channel));
        }
        let simulator = shop_args.simulator.trim_end_matches('/');
        Ok(Bench {
            simulator: Simulator::new(shop_args)?,
            gateway: format!("{simulator}/soap/payment"),
            internal: shop_args.internal.clone(),
            clients,
            bearer: format!("Bearer {token}").parse()?,
            http: reqwest::Client::builder().no_proxy().http1_only().tcp_nodelay(true).build()?,
        })
    }

    async fn measure(&self, args: &Args) -> anyhow::Result<(Vec<Table>, bool)> {
        let ledger = self.simulator.position().await?;
        let (cost, mut captured) = self.cost(args).await?;
        let mut many = Table::new(&[
            "simulator",
            "under way",
            "payments/s",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "max ms",
            "CPU ms/payment",
        ]);
        let mut others = BTreeMap::new();
        for latency in &args.latencies {
            self.simulator.control("latencyMs", json!(latency)).await?;
            let before = cpu::read();
            let paced = self.captures(args.under_way, args.seconds).await?;
            let spent = cpu::spent(&before, &cpu::read(), paced.count(CAPTURED));
            let cpu =
                spent.iter().find(|s| s.name == "bellavista").map_or(0.0, |s| s.cpu_ms_per_order);
            let p = paced.latencies.percentiles();
            let mut cells = vec![format!("{latency} ms"), args.under_way.to_string()];
            cells.push(format!("{:.0}", paced.count(CAPTURED) as f64 / paced.took.as_secs_f64()));
            cells.extend([p.p50, p.p95, p.p99, p.max].map(crate::report::ms));
            cells.push(format!("{cpu:.2}"));
            many.row(cells);
            captured += paced.count(CAPTURED);
            others.extend(paced.answers.into_iter().filter(|(word, _)| word != CAPTURED));
        }
        for (what, count) in &others {
            println!("  ✗ {count} × {what}");
        }
        let right = others.is_empty() && self.books_are_right(ledger, captured).await?;
        Ok((vec![cost, many], right))
    }

    /// One at a time, beside a bare client.
    async fn cost(&self, args: &Args) -> anyhow::Result<(Table, u64)> {
        self.simulator.control("latencyMs", json!(0)).await?;
        let warm_up = self.captures(1, 1).await.context("warming up")?.count(CAPTURED);
        let before = self.timers().await?;
        let paced = self.captures(1, args.seconds).await?;
        let after = self.timers().await?;
        let bare = self.bare_calls(args.seconds).await?;
        let (sum, count) = difference(&before, &after, "process_payment");
        ensure!(count > 0.0, "the shop's metrics have no provider calls");
        let by_adapter_us = sum / count * 1_000.0;
        let mean_us = |p: &Paced| p.took.as_secs_f64() * 1e6 / p.total().max(1) as f64;
        let mut table = Table::new(&["one at a time, mean of a call", "µs"]);
        let mut row = |what: &str, us: f64| table.row(vec![what.to_owned(), format!("{us:.0}")]);
        row("the gateway alone, by a bare client", mean_us(&bare));
        row("the gateway through the adapter", by_adapter_us);
        row("the adapter's share", by_adapter_us - mean_us(&bare));
        row("the whole capture: two commits, attempt, events", mean_us(&paced));
        Ok((table, paced.count(CAPTURED) + warm_up))
    }

    async fn timers(&self) -> anyhow::Result<Timers> {
        telemetry::read_from(&self.internal).await.context("the shop's /metrics do not answer")
    }

    async fn captures(&self, under_way: u16, seconds: u64) -> anyhow::Result<Paced> {
        let (clients, bearer) = (self.clients.clone(), self.bearer.clone());
        let senders = usize::from(under_way);
        let pace = Pace { rate: 0, lasting: Duration::from_secs(seconds), senders };
        pace::run(pace, move |sender| {
            let mut client = clients[sender % clients.len()].clone();
            let mut request = Request::new(proto::CaptureRequest {
                attempt_id: Uuid::now_v7().to_string(),
                order_id: Uuid::now_v7().to_string(),
                amount_minor: AMOUNT_MINOR,
                currency: "USD".to_owned(),
                method_type: "card".to_owned(),
                token: "tok_ok".to_owned(),
            });
            request.metadata_mut().insert("authorization", bearer.clone());
            async move {
                match client.capture(request).await {
                    Ok(answer) => match answer.into_inner().outcome() {
                        proto::CaptureOutcome::Captured => CAPTURED.to_owned(),
                        other => format!("{other:?}"),
                    },
                    Err(status) => format!("{:?}: {}", status.code(), status.message()),
                }
            }
        })
        .await
    }

    /// The same call with a message written beforehand; its orders are not ours.
    async fn bare_calls(&self, seconds: u64) -> anyhow::Result<Paced> {
        let message = include_str!("../../../wsdl/payment/golden/ProcessPayment.request.xml");
        let message = message.replace("0199aaaa-0000-7000-8000-000000000001", BARE_ORDER);
        let (http, url) = (self.http.clone(), self.gateway.clone());
        let pace = Pace { rate: 0, lasting: Duration::from_secs(seconds), senders: 1 };
        let paced = pace::run(pace, move |_| {
            let call = http
                .post(&url)
                .header("content-type", "text/xml; charset=utf-8")
                .header("soapaction", "\"urn:bellavista:legacy-payment:v1/ProcessPayment\"")
                .body(message.clone());
            async move {
                let answer = async { call.send().await?.error_for_status()?.bytes().await };
                answer.await.map_or_else(|e| e.to_string(), |_| CAPTURED.to_owned())
            }
        });
        let paced = paced.await?;
        ensure!(paced.count(CAPTURED) == paced.total(), "bare calls: {:?}", paced.answers);
        Ok(paced)
    }

    async fn books_are_right(&self, ledger: i64, captured: u64) -> anyhow::Result<bool> {
        let mut accounts = self.simulator.accounts_since(ledger).await?;
        accounts.remove(BARE_ORDER);
        let once = accounts.values().all(|a| a.charges == 1 && a.charged_minor == AMOUNT_MINOR);
        println!("{captured} captures, {} orders in the gateway's ledger\n", accounts.len());
        Ok(once && accounts.len() as u64 == captured)
    }
}

/// The order that bare calls charge again and again.
const BARE_ORDER: &str = "bench-of-a-bare-client";

/// Milliseconds and calls of an operation of the SOAP gateway between two looks.
fn difference(before: &Timers, after: &Timers, operation: &str) -> (f64, f64) {
    let of = |timers: &Timers| {
        let wanted = |name: &str| {
            name.starts_with("payment_provider_duration_seconds")
                && name.contains(&format!("operation=\"{operation}\""))
                && name.contains("provider=\"soap\"")
        };
        timers.iter().find(|(name, _)| wanted(name)).map(|(_, timer)| *timer).unwrap_or_default()
    };
    let ((sum_before, count_before), (sum, count)) = (of(before), of(after));
    (sum - sum_before, count - count_before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_adapter_s_time_is_read_between_two_looks() {
        let name =
            "payment_provider_duration_seconds{operation=\"process_payment\",provider=\"soap\"}";
        let other =
            "payment_provider_duration_seconds{operation=\"process_payment\",provider=\"rest\"}";
        let timers = |sum, count| {
            Timers::from([(name.to_owned(), (sum, count)), (other.to_owned(), (99.0, 9.0))])
        };
        let (before, after) = (timers(10.0, 5.0), timers(40.0, 15.0));
        assert_eq!(difference(&before, &after, "process_payment"), (30.0, 10.0));
        assert_eq!(difference(&before, &after, "refund_payment"), (0.0, 0.0));
    }
}
