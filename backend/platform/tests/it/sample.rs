//! A small service that owns nothing but a ledger of notes.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use platform::consumer::{Consumer, Done, Handle, HandleAll, HandleError, Received, payload};
use platform::outbox::{Envelope, Event};
use platform::testing::{self, Bench};
use serde::{Deserialize, Serialize};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgConnection, PgPool, SqlSafeStr};

/// A note was written in a book; notes of one book stay in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteWritten {
    pub book: String,
    pub number: i64,
    pub text: String,
}

pub const TOPIC: &str = "test.book.note";

impl Event for NoteWritten {
    const TYPE: &'static str = "test.book.note.written.v1";
    const TOPIC: &'static str = TOPIC;
    fn partition_key(&self) -> String {
        self.book.clone()
    }
}

pub fn note(book: &str, number: i64) -> NoteWritten {
    NoteWritten { book: book.to_owned(), number, text: "25.50".to_owned() }
}

pub static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let sql =
        "CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY, book text, number bigint);";
    let migration = Migration::new(
        20261121999999,
        "notes".into(),
        MigrationType::Simple,
        sql.into_sql_str(),
        false,
    );
    Migrator { migrations: vec![migration].into(), ..Migrator::DEFAULT }
});

pub async fn bench() -> Bench {
    testing::house("books", &MIGRATIONS, "[books]\nshelf = 3").await
}

/// Writes down what it hears; fails as it is told.
pub struct Scribe<F> {
    pub fails: F,
}

#[async_trait]
impl<F> Handle<NoteWritten> for Scribe<F>
where
    F: Fn(&NoteWritten) -> Result<(), HandleError> + Send + Sync,
{
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<NoteWritten>,
    ) -> Result<Done, HandleError> {
        sqlx::query("INSERT INTO notes (book, number) VALUES ($1, $2)")
            .bind(&event.payload.book)
            .bind(event.payload.number)
            .execute(tx)
            .await?;
        // After the effect, so that a failure shows whether it is undone.
        (self.fails)(&event.payload)?;
        Ok(Done::quietly())
    }
}

#[async_trait]
impl<F> HandleAll for Scribe<F>
where
    F: Fn(&NoteWritten) -> Result<(), HandleError> + Send + Sync,
{
    async fn handle_all(
        &self,
        tx: &mut PgConnection,
        events: &[&Received],
    ) -> Result<Done, HandleError> {
        let notes: Vec<NoteWritten> =
            events.iter().map(|event| payload(event)).collect::<Result<_, _>>()?;
        sqlx::query(
            "INSERT INTO notes (book, number) SELECT * FROM unnest($1::text[], $2::bigint[])",
        )
        .bind(notes.iter().map(|note| note.book.as_str()).collect::<Vec<_>>())
        .bind(notes.iter().map(|note| note.number).collect::<Vec<_>>())
        .execute(tx)
        .await?;
        notes.iter().try_for_each(&self.fails)?;
        Ok(Done::quietly())
    }
}

/// A scribe who writes down at once what came together.
pub fn quick_scribe<F>(name: &'static str, fails: F) -> Consumer
where
    F: Fn(&NoteWritten) -> Result<(), HandleError> + Send + Sync + 'static,
{
    Consumer::new(name, Duration::from_millis(20)).on_all::<NoteWritten>(Arc::new(Scribe { fails }))
}

pub fn scribe<F>(name: &'static str, fails: F) -> Consumer
where
    F: Fn(&NoteWritten) -> Result<(), HandleError> + Send + Sync + 'static,
{
    Consumer::new(name, Duration::from_millis(50)).on(Arc::new(Scribe { fails }))
}

/// The numbers written down for `book`, in the order of writing.
pub async fn written(pool: &PgPool, book: &str) -> Vec<i64> {
    sqlx::query_scalar("SELECT number FROM notes WHERE book = $1 ORDER BY id")
        .bind(book)
        .fetch_all(pool)
        .await
        .unwrap()
}
