//! The shop's own PostgreSQL, for comparisons on the same server.

use std::str::FromStr as _;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::settings::ShopArgs;

const ADMIN: &str = "bellavista";

/// A pool as the server's own account; over the socket that the services use
/// when the server is the shop's child.
pub async fn connect(shop: &ShopArgs, connections: u32) -> anyhow::Result<PgPool> {
    let mut options = match &shop.database {
        Some(url) => PgConnectOptions::from_str(url)?,
        None => own(shop)?,
    };
    if shop.database.is_none() {
        let pool = open(options.clone(), 1).await?;
        let folders: String =
            sqlx::query_scalar("SHOW unix_socket_directories").fetch_one(&pool).await?;
        pool.close().await;
        if let Some(folder) = folders.split(',').next().filter(|f| !f.is_empty()) {
            options = options.socket(folder.trim());
        }
    }
    open(options, connections).await
}

fn own(shop: &ShopArgs) -> anyhow::Result<PgConnectOptions> {
    let file = shop.home.join("secrets").join(format!("postgres-{ADMIN}"));
    let password = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    Ok(PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(shop.database_port)
        .username(ADMIN)
        .password(password.trim())
        .database("bellavista")
        .ssl_mode(sqlx::postgres::PgSslMode::Disable))
}

async fn open(options: PgConnectOptions, connections: u32) -> anyhow::Result<PgPool> {
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(connections)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// Events of inventory that wait for the broker.
pub async fn outbox_rows(pool: &PgPool) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM inventory.outbox").fetch_one(pool).await?)
}
