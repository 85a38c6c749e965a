//! What tests of services stand on: real PostgreSQL, held time, hand-fed events.
//!
//! A test opens a [`Bench`] for its service, builds the service over
//! [`Bench::ctx`], speaks to it through a [`Client`], feeds it events with
//! [`Bench::deliver`] and reads what it would publish with [`outbox`].

mod client;
pub mod cluster;
mod events;
mod graph;
mod live;
mod statements;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared_types::{GuestId, Role, UserId};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};

pub use client::{Client, TestAnswer, TestRequest};
pub use events::{OutboxRow, OutgoingEvent, deliver, deliver_raw, drain_outbox, outbox, outbox_of};

pub use graph::{Graph, GraphAnswer};
pub use live::Live;
pub use statements::Statements;

use crate::audit::Audit;
use crate::auth::{Claims, Issuer, KeyRing, PublicKeys, Verifier};
use crate::clock::{Clock, Ids};
use crate::config::Config;
use crate::crypto::ColumnCipher;
use crate::db::Plans;
use crate::lifecycle::Lifecycle;
use crate::outbox::Outbox;
use crate::service::Context;

/// The moment at which every bench starts.
pub const START: &str = "2026-11-20T10:00:00Z";

/// Settings of the ground for tests; nothing of it is listened on.
pub const GROUND_TOML: &str = r#"
home = "/nonexistent/bellavista-test"

[http]
address = "127.0.0.1"
port = 8080

[grpc]
address = "127.0.0.1"
port = 8081

[internal]
address = "127.0.0.1"
port = 8090

[database]
mode = "external"
url = ""
port = 8432
pool_size = 8
acquire_timeout_ms = 5000

[broker]
mode = "external"
bootstrap = "127.0.0.1:1"
port = 8092
[broker.properties]

[auth]
issuer = "https://bellavista.test"
signing_key_file = "secrets/signing.key"
column_key_file = "secrets/column.key"

[log]
level = "info"
format = "auto"

[lifecycle]
drain_ms = 5000
"#;

/// Connections of one bench; enough for tests of races.
const POOL_SIZE: u32 = 24;
const TOKEN_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// Answers of a bench's service wait no longer than this for a connection.
const ACQUIRE: Duration = Duration::from_secs(10);

/// A service's surroundings in one test: its own migrated database, a frozen
/// clock, repeatable ids and fresh keys. The database goes with this value.
pub struct Bench {
    pub ctx: Context,
    delivered: AtomicU64,
    database: cluster::TestDatabase,
}

/// A bench for `service`, whose schema `migrations` make. `settings` is TOML:
/// the service's sections, or the complete defaults when it has the ground's.
///
/// # Panics
/// When there is no PostgreSQL, or a migration or the settings are wrong.
pub async fn house(service: &'static str, migrations: &'static Migrator, settings: &str) -> Bench {
    let database = database(service, migrations).await;
    let whole = settings.lines().any(|line| line.trim() == "[database]");
    let text = if whole { settings.to_owned() } else { format!("{GROUND_TOML}\n{settings}") };
    let config = match Config::load(&text, None, "") {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    };
    let pool = pool_for(&database, service);
    let ring = match KeyRing::generate() {
        Ok(ring) => Arc::new(ring),
        Err(error) => panic!("no signing key: {error:#}"),
    };
    let clock = match START.parse() {
        Ok(start) => Clock::frozen(start),
        Err(_) => Clock::System,
    };
    let seed = service.bytes().fold(1, |sum: u64, b| (sum * 31 + u64::from(b)) % 0xffff_ffff);
    let ids = Ids::seeded(seed, clock.clone());
    let issuer = &config.ground.auth.issuer;
    let keys = PublicKeys::local(&ring);
    let outbox = Outbox::new(clock.clone(), ids.clone());
    let cipher = ColumnCipher::new(&[7; 32]);
    let ctx = Context {
        service,
        pool,
        audit: Audit::new(service, clock.clone(), ids.clone(), outbox.clone(), cipher.clone()),
        issuer: Issuer::new(ring, issuer),
        verifier: Verifier::new(keys, issuer, clock.clone()),
        cipher,
        outbox,
        clock,
        ids,
        lifecycle: Lifecycle::new(),
        config,
    };
    Bench { ctx, delivered: AtomicU64::new(0), database }
}

/// A migrated database of one service without anything around it.
pub async fn database(service: &str, migrations: &'static Migrator) -> cluster::TestDatabase {
    let key = crate::db::together(migrations);
    let key = cluster::migrations_key(service, &key);
    let schema = service.to_owned();
    cluster::database(&key, async move |url: &str| {
        let done = async {
            let options: PgConnectOptions = url.parse()?;
            let mut connection =
                options.options([("search_path", schema.as_str())]).connect().await?;
            let create = format!("CREATE SCHEMA \"{schema}\"");
            sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await?;
            crate::db::migrate(&mut connection, migrations).await
        };
        if let Err(error) = done.await {
            panic!("migrations of {schema}: {error:#}");
        }
    })
    .await
}

/// A pool over `database` whose search path is the schema of `service`.
pub fn pool_for(database: &cluster::TestDatabase, service: &str) -> PgPool {
    let options = database.connect_options().options([("search_path", service)]);
    crate::db::pool(options, POOL_SIZE, ACQUIRE, service, Plans::Kept)
}

impl Bench {
    pub fn pool(&self) -> &PgPool {
        &self.ctx.pool
    }

    /// Where the database is, for tests that open their own connections.
    pub fn database(&self) -> &cluster::TestDatabase {
        &self.database
    }

    /// The frozen clock; `advance` moves it for the whole bench.
    pub fn clock(&self) -> &Clock {
        &self.ctx.clock
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.ctx.clock.advance(by);
    }

    /// A fresh id.
    pub fn id<T: From<uuid::Uuid>>(&self) -> T {
        self.ctx.ids.next()
    }

    /// A client over the service's finished router, the REST part below
    /// `/api/v1` as on the gateway.
    pub fn client(&self, service: &crate::Service) -> Client {
        Client::of(service)
    }

    /// A token of a signed-in user. A session id is made up from the user's.
    pub fn token_for_user(&self, user: UserId, roles: &[Role]) -> String {
        self.token(user.to_string(), |c| {
            c.roles = roles.to_vec();
            c.sid = Some(user.to_string());
        })
    }

    /// A token of a guest that came back with its cookie.
    pub fn guest_token(&self, guest: GuestId) -> String {
        self.token(format!("guest:{guest}"), |c| c.roles = vec![Role::Guest])
    }

    /// A token by which another service calls.
    pub fn service_token(&self, name: &str) -> String {
        self.token(format!("service:{name}"), |c| c.roles = vec![Role::Service])
    }

    /// A token for one resource, to be sent as `Authorization: <kind> <token>`.
    pub fn grant_token(&self, kind: &str, id: &str) -> String {
        self.token("grant".to_owned(), |c| c.grant = Some(format!("{kind}:{id}")))
    }

    /// Any token, valid for 30 days of the frozen clock.
    pub fn token(&self, sub: String, shape: impl FnOnce(&mut Claims)) -> String {
        match self.ctx.issuer.token(sub, self.ctx.clock.now(), TOKEN_TTL, shape) {
            Ok(token) => token,
            Err(error) => panic!("no token: {error:?}"),
        }
    }

    fn next_version(&self) -> i64 {
        self.delivered.fetch_add(1, Ordering::Relaxed) as i64 + 1
    }
}
