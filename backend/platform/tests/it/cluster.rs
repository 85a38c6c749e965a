//! The throw-away databases of tests.

use std::sync::atomic::{AtomicUsize, Ordering};

use platform::testing::cluster::{TestDatabase, database};
use sqlx::{ConnectOptions, Connection, PgConnection};

static MIGRATIONS: AtomicUsize = AtomicUsize::new(0);

async fn fresh() -> TestDatabase {
    // The process id keeps templates of earlier runs out of the count.
    let key = format!("cluster-test-{}", std::process::id());
    database(&key, async |url: &str| {
        MIGRATIONS.fetch_add(1, Ordering::SeqCst);
        let mut connection = PgConnection::connect(url).await.expect("the template opens");
        sqlx::raw_sql("CREATE TABLE thing (id int); INSERT INTO thing VALUES (1)")
            .execute(&mut connection)
            .await
            .expect("migrated");
        // Left open on purpose: callers forget.
        std::mem::forget(connection);
    })
    .await
}

async fn things(database: &TestDatabase) -> i64 {
    let mut connection = database.connect_options().connect().await.expect("opens");
    sqlx::query_scalar("SELECT count(*) FROM thing")
        .fetch_one(&mut connection)
        .await
        .expect("counts")
}

#[tokio::test]
async fn each_test_gets_its_own_copy_of_one_template() {
    let (one, two) = tokio::join!(fresh(), fresh());
    assert_ne!(one.name(), two.name());
    let mut connection = PgConnection::connect(one.url()).await.expect("the URL works");
    sqlx::raw_sql("INSERT INTO thing VALUES (2)").execute(&mut connection).await.expect("written");
    assert_eq!((things(&one).await, things(&two).await), (2, 1));
    assert_eq!(MIGRATIONS.load(Ordering::SeqCst), 1, "one template for both");
    let began = std::time::Instant::now();
    let three = fresh().await;
    eprintln!("a further database: {:?}", began.elapsed());
    assert_eq!(things(&three).await, 1);
}
