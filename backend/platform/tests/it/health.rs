use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use platform::consumer::runner::Runner;
use platform::health::Health;
use platform::testing::Client;

use crate::kafka::{Kafka, eventually};
use crate::sample::{bench, scribe};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_means_started_checked_and_not_draining() {
    let bench = bench().await;
    let health = Health::new(bench.ctx.lifecycle.clone());
    health.database("books", bench.pool().clone());
    let client = Client::over(health.router().unwrap());
    client.get("/livez").send().await.expect(200);
    let answer = client.get("/readyz").send().await.expect(503);
    assert_eq!(answer.value()["status"], "starting");
    health.started();
    let answer = client.get("/readyz?verbose").send().await.expect(200);
    assert_eq!(answer.value()["status"], "ready");
    let names: Vec<_> = answer.value()["checks"].as_array().unwrap().clone();
    assert_eq!(names.len(), 2, "{names:?}");
    client.get("/health").send().await.expect(200);
    bench.ctx.lifecycle.drain();
    let answer = client.get("/readyz").send().await.expect(503);
    assert_eq!(answer.value()["status"], "draining");
    client.get("/livez").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_check_is_named_without_its_secrets() {
    let bench = bench().await;
    let health = Health::new(bench.ctx.lifecycle.clone());
    let well = Arc::new(AtomicBool::new(false));
    let state = well.clone();
    health.check("search", move || {
        let well = state.load(Ordering::Relaxed);
        async move {
            anyhow::ensure!(well, "http://u:hunter2@search is away");
            Ok(())
        }
    });
    health.started();
    let client = Client::over(health.router().unwrap());
    let answer = client.get("/readyz").send().await.expect(503);
    assert_eq!(answer.value()["checks"][0]["name"], "search");
    assert!(!answer.text().contains("hunter2"), "{}", answer.text());
    well.store(true, Ordering::Relaxed);
    eventually(async || client.get("/readyz").send().await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_is_checked_and_metrics_are_shown() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let runner =
        Runner::new(bench.ctx.clone(), scribe("books", |_| Ok(())), &kafka.broker).unwrap();
    let health = Health::new(bench.ctx.lifecycle.clone());
    health.consumer("books", runner.health());
    health.started();
    let client = Client::over(health.router().unwrap());
    client.get("/readyz").send().await.expect(503);
    bench.ctx.lifecycle.spawn("runner", runner.run());
    eventually(async || client.get("/readyz").send().await.status == 200).await;
    kafka.cluster.broker_down(1).unwrap();
    eventually(async || client.get("/readyz").send().await.status == 503).await;
    metrics::histogram!("order_creation_latency_ms").record(12.0);
    let text = client.get("/metrics").send().await.expect(200).text();
    assert!(text.contains("order_creation_latency_ms_bucket{le=\"15\"} 1"), "{text}");
    assert!(text.contains("consumer_parked{consumer=\"books\"} 0"), "{text}");
    bench.ctx.lifecycle.stop(Duration::from_secs(15)).await.unwrap();
}
