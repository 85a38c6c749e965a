use platform::audit::{self, AuditRecorded, Entry, Finding};
use platform::testing::{Bench, outbox_of};
use sqlx::AssertSqlSafe;

use crate::sample::bench;

async fn record(bench: &Bench, number: i64) {
    let mut tx = bench.pool().begin().await.unwrap();
    let entry = Entry::new("user:1", "note.change", format!("note:{number}"))
        .before(&number)
        .after(&(number + 1))
        .because("a typo");
    bench.ctx.audit.record(&mut tx, entry).await.unwrap();
    tx.commit().await.unwrap();
}

async fn findings(bench: &Bench) -> Vec<Finding> {
    let mut connection = bench.pool().acquire().await.unwrap();
    audit::verify(&mut connection, &bench.ctx.cipher).await.unwrap().findings
}

/// What somebody with the rights of the owner could do.
async fn tamper(bench: &Bench, sql: &str) {
    let whole = format!(
        "ALTER TABLE audit_log DISABLE TRIGGER USER; {sql}; ALTER TABLE audit_log ENABLE TRIGGER USER"
    );
    sqlx::raw_sql(AssertSqlSafe(whole)).execute(bench.pool()).await.unwrap();
}

async fn with_entries(count: i64) -> Bench {
    let bench = bench().await;
    for number in 1..=count {
        record(&bench, number).await;
    }
    bench
}

#[tokio::test]
async fn an_entry_goes_with_its_transaction_and_is_exported() {
    let bench = with_entries(1).await;
    let mut tx = bench.pool().begin().await.unwrap();
    bench.ctx.audit.record(&mut tx, Entry::new("user:1", "note.change", "note:9")).await.unwrap();
    tx.rollback().await.unwrap();
    let exported = outbox_of::<AuditRecorded>(bench.pool()).await;
    assert_eq!(exported.len(), 1);
    assert_eq!((exported[0].seq, exported[0].target.as_str()), (1, "note:1"));
    assert_eq!(exported[0].service, "books");
    record(&bench, 2).await;
    assert_eq!(findings(&bench).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_the_same_time_make_one_chain() {
    let bench = bench().await;
    let writers = (0..8).map(|writer| {
        let bench = &bench;
        async move {
            for number in 0..10 {
                record(bench, writer * 10 + number).await;
            }
        }
    });
    futures_util::future::join_all(writers).await;
    let mut connection = bench.pool().acquire().await.unwrap();
    let report = audit::verify(&mut connection, &bench.ctx.cipher).await.unwrap();
    assert_eq!((report.entries, report.findings), (80, vec![]));
}

#[tokio::test]
async fn the_log_cannot_be_changed_by_accident() {
    let bench = with_entries(2).await;
    for sql in ["UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"] {
        assert!(sqlx::query(sql).execute(bench.pool()).await.is_err(), "{sql}");
    }
    assert_eq!(findings(&bench).await, []);
}

#[tokio::test]
async fn every_kind_of_tampering_is_found_where_it_is() {
    let swap = "UPDATE audit_log SET seq = -2 WHERE seq = 2; UPDATE audit_log SET seq = 2 WHERE seq = 3; \
                UPDATE audit_log SET seq = 3 WHERE seq = -2";
    for (sql, wanted) in [
        ("UPDATE audit_log SET actor = 'user:2' WHERE seq = 3", vec![Finding::Changed { seq: 3 }]),
        ("UPDATE audit_log SET reason = NULL WHERE seq = 5", vec![Finding::Changed { seq: 5 }]),
        ("DELETE FROM audit_log WHERE seq IN (2, 3)", vec![Finding::Removed { from: 2, to: 3 }]),
        (
            swap,
            vec![
                Finding::Changed { seq: 2 },
                Finding::Changed { seq: 3 },
                Finding::Unlinked { seq: 4 },
            ],
        ),
        ("DELETE FROM audit_log WHERE seq > 3", vec![Finding::TailRemoved { from: 4, to: 5 }]),
        (
            "DELETE FROM audit_log WHERE seq = 5; \
             UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit_log WHERE seq = 4)",
            vec![Finding::SealBroken],
        ),
        ("DELETE FROM audit_log; DELETE FROM audit_head", vec![Finding::SealBroken]),
    ] {
        let bench = with_entries(5).await;
        tamper(&bench, sql).await;
        assert_eq!(findings(&bench).await, wanted, "{sql}");
    }
}
