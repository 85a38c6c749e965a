use std::time::Duration;

use http::{Method, StatusCode};
use platform::auth::Principal;
use platform::idempotency::{Answer, Entered, IdempotencyKey, enter, prune};
use platform::testing::Bench;
use shared_types::GuestId;

use crate::sample::bench;

async fn caller(bench: &Bench) -> Principal {
    let token = bench.guest_token(bench.id::<GuestId>());
    bench.ctx.verifier.principal(&format!("Bearer {token}")).await.unwrap()
}

fn key(caller: &Principal, name: &str, body: &str) -> IdempotencyKey {
    let path = "/api/v1/notes";
    IdempotencyKey::new("POST /notes", caller, name, &Method::POST, path, body.as_bytes()).unwrap()
}

/// Works once under the key; true when the answer was a replay.
async fn work(bench: &Bench, key: &IdempotencyKey) -> (bool, Vec<u8>) {
    match enter(bench.pool(), key).await.unwrap() {
        Entered::Replay(answer) => (answer.replayed, answer.body),
        Entered::Run(mut work) => {
            sqlx::query("INSERT INTO notes (book, number) VALUES ('i', 1)")
                .execute(work.tx())
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            let body = serde_json::json!({ "id": bench.id::<uuid::Uuid>() });
            let answer = Answer::json(StatusCode::CREATED, &body).unwrap();
            let answer = work.finish(answer, bench.clock().now()).await.unwrap();
            (answer.replayed, answer.body)
        }
    }
}

async fn effects(bench: &Bench) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM notes").fetch_one(bench.pool()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_at_once_one_runs_and_nineteen_get_its_answer() {
    let bench = bench().await;
    let caller = caller(&bench).await;
    let key = key(&caller, "k-1", r#"{"a":1}"#);
    let answers = futures_util::future::join_all((0..20).map(|_| work(&bench, &key))).await;
    assert_eq!(answers.iter().filter(|(replayed, _)| !replayed).count(), 1);
    assert!(answers.iter().all(|(_, body)| *body == answers[0].1), "byte for byte");
    assert_eq!(effects(&bench).await, 1);
}

#[tokio::test]
async fn another_payload_under_the_same_key_is_refused() {
    let bench = bench().await;
    let caller = caller(&bench).await;
    work(&bench, &key(&caller, "k-1", r#"{"a":1,"b":25.00}"#)).await;
    assert!(work(&bench, &key(&caller, "k-1", r#"{ "b": 25.0, "a": 1 }"#)).await.0);
    let other = enter(bench.pool(), &key(&caller, "k-1", r#"{"a":2}"#)).await;
    assert_eq!(other.err().unwrap().code, "idempotency.mismatch");
}

#[tokio::test]
async fn another_caller_has_keys_of_its_own() {
    let bench = bench().await;
    for _ in 0..2 {
        let caller = caller(&bench).await;
        assert!(!work(&bench, &key(&caller, "k-1", "{}")).await.0);
    }
    assert_eq!(effects(&bench).await, 2);
}

#[tokio::test]
async fn while_the_first_still_runs_a_duplicate_gives_up_after_a_while() {
    let bench = bench().await;
    let caller = caller(&bench).await;
    let key = key(&caller, "k-1", "{}");
    let Ok(Entered::Run(first)) = enter(bench.pool(), &key).await else { panic!("not the first") };
    let began = std::time::Instant::now();
    let error = enter(bench.pool(), &key).await.err().unwrap();
    assert_eq!((error.code, error.status()), ("idempotency.in_flight", StatusCode::CONFLICT));
    assert!(began.elapsed() >= Duration::from_secs(5));
    // Its holder dies: nothing is left behind.
    drop(first);
    assert!(!work(&bench, &key).await.0);
}

#[tokio::test]
async fn abandoned_work_leaves_nothing_and_old_records_go() {
    let bench = bench().await;
    let caller = caller(&bench).await;
    let key = key(&caller, "k-1", "{}");
    let Ok(Entered::Run(work_one)) = enter(bench.pool(), &key).await else {
        panic!("not the first")
    };
    work_one.abandon().await.unwrap();
    assert!(!work(&bench, &key).await.0);
    assert_eq!(prune(bench.pool(), bench.clock().now(), 100).await.unwrap(), 0);
    bench.advance(Duration::from_secs(24 * 3600 + 1));
    assert_eq!(prune(bench.pool(), bench.clock().now(), 100).await.unwrap(), 1);
    assert!(!work(&bench, &key).await.0, "forgotten after a day");
}
