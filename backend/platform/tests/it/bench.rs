use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use platform::auth::Principal;
use platform::consumer::runner::Outcome;
use platform::consumer::{Consumer, Done, Handle, HandleError};
use platform::http::Json;
use platform::outbox::Envelope;
use platform::testing::{drain_outbox, outbox};
use platform::{ApiError, Service};
use shared_types::{GuestId, Role, UserId};
use sqlx::PgConnection;

use crate::sample::{NoteWritten, TOPIC, bench, note, scribe, written};

async fn whoami(caller: Principal) -> Result<Json<String>, ApiError> {
    caller.require_role(Role::Support)?;
    Ok(Json(caller.actor()))
}

#[tokio::test]
async fn a_router_is_called_with_tokens_and_answers_problems() {
    let bench = bench().await;
    let rest = axum::Router::new().route("/whoami", axum::routing::get(whoami));
    let client = bench.client(&Service::new(bench.ctx.clone()).rest(rest.into()));
    client.get("/whoami").send().await.expect_problem(401, "auth.invalid_token");
    client.get("/nowhere").send().await.expect_problem(404, "request.no_route");
    client.post("/whoami").send().await.expect_problem(405, "request.method");
    let user: UserId = bench.id();
    let shopper = bench.token_for_user(user, &[Role::Customer]);
    client.get("/whoami").bearer(&shopper).send().await.expect_problem(403, "auth.role_missing");
    let guest = bench.guest_token(bench.id::<GuestId>());
    client.get("/whoami").bearer(&guest).send().await.expect_problem(401, "auth.sign_in");
    let merchant = bench.token_for_user(user, &[Role::Merchant]);
    let answer = client.get("/whoami").bearer(&merchant).send().await.expect(200);
    assert_eq!(answer.json::<String>(), format!("user:{user}"));
    bench.advance(Duration::from_secs(31 * 24 * 3600));
    client.get("/whoami").bearer(&merchant).send().await.expect(401);
}

#[tokio::test]
async fn appended_events_are_read_back_in_order_with_consecutive_versions() {
    let bench = bench().await;
    let mut tx = bench.pool().begin().await.unwrap();
    for number in 1..=3 {
        bench.ctx.outbox.append(&mut tx, &note("a", number)).await.unwrap();
    }
    assert!(outbox(bench.pool()).await.is_empty(), "not committed yet");
    tx.commit().await.unwrap();
    let rows = outbox(bench.pool()).await;
    assert_eq!(rows.iter().map(|r| r.aggregate_version).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(rows[2].event::<NoteWritten>(), note("a", 3));
    assert_eq!(rows[0].topic, TOPIC);
    assert_eq!(drain_outbox(bench.pool()).await.len(), 3);
    assert!(outbox(bench.pool()).await.is_empty());
}

#[tokio::test]
async fn a_delivery_takes_effect_once_and_a_failed_one_not_at_all() {
    let bench = bench().await;
    let consumer = scribe("books", |n| {
        if n.number == 13 { Err(anyhow::anyhow!("unlucky").into()) } else { Ok(()) }
    });
    let id = bench.id();
    assert_eq!(bench.deliver_as(&consumer, &note("a", 1), id, 1).await.unwrap(), Outcome::Done);
    let again = bench.deliver_as(&consumer, &note("a", 1), id, 1).await.unwrap();
    assert_eq!(again, Outcome::Duplicate);
    let failed = bench.deliver(&consumer, &note("a", 13)).await;
    assert!(matches!(failed, Err(HandleError::Retry { code: "internal", .. })));
    let poison = bench.deliver_raw(&consumer, b"{\"no\":\"event\"}").await;
    assert!(matches!(poison, Err(HandleError::Poison { code: "undecodable", .. })));
    assert_eq!(written(bench.pool(), "a").await, [1]);
}

struct Bell(Arc<AtomicU32>);

#[async_trait]
impl Handle<NoteWritten> for Bell {
    async fn handle(
        &self,
        _: &mut PgConnection,
        event: &Envelope<NoteWritten>,
    ) -> Result<Done, HandleError> {
        assert!(event.payload.number > 0, "handlers may panic");
        let bell = self.0.clone();
        Ok(Done::then(move || {
            bell.fetch_add(1, Ordering::Relaxed);
        }))
    }
}

#[tokio::test]
async fn work_after_the_commit_runs_once_and_a_panicking_handler_is_a_failure() {
    let bench = bench().await;
    let rung = Arc::new(AtomicU32::new(0));
    let consumer =
        Consumer::new("books", Duration::from_millis(20)).on(Arc::new(Bell(rung.clone())));
    let id = bench.id();
    for _ in 0..3 {
        bench.deliver_as(&consumer, &note("a", 1), id, 1).await.unwrap();
    }
    assert_eq!(rung.load(Ordering::Relaxed), 1);
    let panicked = bench.deliver(&consumer, &note("a", 0)).await;
    assert!(matches!(panicked, Err(HandleError::Retry { code: "panic", .. })));
}
