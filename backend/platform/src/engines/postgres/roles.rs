//! Databases, roles and schemas: each service sees its own schema and nothing
//! else.

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use super::{ADMIN, BROKER_DATABASE, BROKER_ROLE, DATABASE, Endpoint};
use crate::engines::EngineError;
use crate::engines::home::random_hex;

/// The broker asks for the headers of every record by itself, with prepared
/// statements whose plans are kept. Made while the log is empty, such a plan
/// reads whole tables, and goes on doing so while the log grows, until the
/// statistics are refreshed: a burst then crawls. Every statement of the broker
/// is a walk along keys, so it is told to plan no other way.
const BROKER_PLANS: &[&str] = &[
    "enable_seqscan = off",
    "enable_bitmapscan = off",
    "enable_hashjoin = off",
    "enable_mergejoin = off",
    "enable_material = off",
    "plan_cache_mode = force_generic_plan",
];

/// The broker writes a record with its headers in one transaction; that each
/// header finds its record is checked row by row, which costs more than writing
/// it. The checks go; what is deleted with a record stays deleted with it.
const UNCHECKED_ROWS: &str = r#"
DO $$
DECLARE
    check_of record;
BEGIN
    FOR check_of IN
        SELECT tgrelid::regclass AS place, tgname FROM pg_trigger
        WHERE tgisinternal AND tgenabled <> 'D'
          AND tgrelid IN (to_regclass('header'), to_regclass('header_default'),
                          to_regclass('record'), to_regclass('record_default'))
          AND tgfoid IN ('"RI_FKey_check_ins"'::regproc, '"RI_FKey_check_upd"'::regproc)
    LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', check_of.place, check_of.tgname);
    END LOOP;
END
$$"#;

/// Makes the tables that the broker made for itself cheaper to write. To be
/// called once the broker is ready; does nothing the second time.
pub(super) async fn lighten_broker(endpoint: &Endpoint) -> Result<(), EngineError> {
    let mut database = connect(endpoint, BROKER_DATABASE).await?;
    run(&mut database, UNCHECKED_ROWS.to_owned()).await?;
    database.close().await.map_err(EngineError::database("lighten the event log"))
}

/// Makes sure of everything the services and the event log need.
pub(super) async fn ensure(endpoint: &Endpoint, services: &[&str]) -> Result<(), EngineError> {
    for service in services {
        check_name(service)?;
    }
    let doing = "prepare the database";
    let mut server = connect(endpoint, "postgres").await?;
    for service in services {
        ensure_role(endpoint, &mut server, &Endpoint::role_of(service)).await?;
    }
    ensure_role(endpoint, &mut server, BROKER_ROLE).await?;
    for setting in BROKER_PLANS {
        run(&mut server, format!("ALTER ROLE {BROKER_ROLE} SET {setting}")).await?;
    }
    ensure_database(&mut server, DATABASE, ADMIN).await?;
    ensure_database(&mut server, BROKER_DATABASE, BROKER_ROLE).await?;
    server.close().await.map_err(EngineError::database(doing))?;

    let mut database = connect(endpoint, DATABASE).await?;
    let present: Vec<String> = sqlx::query_scalar("SELECT nspname::text FROM pg_namespace")
        .fetch_all(&mut database)
        .await
        .map_err(EngineError::database(doing))?;
    for service in services.iter().filter(|service| !present.iter().any(|name| name == *service)) {
        ensure_schema(&mut database, service).await?;
    }
    database.close().await.map_err(EngineError::database(doing))
}

/// The names become part of SQL text, so they are held to plain identifiers.
fn check_name(name: &str) -> Result<(), EngineError> {
    let plain = name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && name != "public" && !name.starts_with("pg_") {
        Ok(())
    } else {
        Err(EngineError::Home(format!("{name:?} cannot name a schema: use a-z, 0-9 and _")))
    }
}

async fn connect(endpoint: &Endpoint, database: &str) -> Result<PgConnection, EngineError> {
    endpoint
        .options(ADMIN, database)?
        .application_name("up")
        .connect()
        .await
        .map_err(EngineError::database(format!("open database {database}")))
}

/// A role that may sign in and nothing more. Its password is set whenever the
/// state folder has none on file, so losing the file mends itself.
async fn ensure_role(
    endpoint: &Endpoint,
    server: &mut PgConnection,
    role: &str,
) -> Result<(), EngineError> {
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)")
            .bind(role)
            .fetch_one(&mut *server)
            .await
            .map_err(EngineError::database("look up database roles"))?;
    if exists && endpoint.has_password(role) {
        return Ok(());
    }
    let verb = if exists { "ALTER" } else { "CREATE" };
    let password = random_hex(24);
    run(server, format!("{verb} ROLE {role} LOGIN PASSWORD '{password}'")).await?;
    endpoint.keep_password(role, &password)
}

/// A database nobody enters but its owner and who is let in by name.
async fn ensure_database(
    server: &mut PgConnection,
    name: &str,
    owner: &str,
) -> Result<(), EngineError> {
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut *server)
            .await
            .map_err(EngineError::database("look up databases"))?;
    if !exists {
        run(server, format!("CREATE DATABASE {name} OWNER {owner}")).await?;
    }
    run(server, format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")).await
}

/// Schema, ownership and search path of one service, all or nothing.
async fn ensure_schema(database: &mut PgConnection, service: &str) -> Result<(), EngineError> {
    let role = Endpoint::role_of(service);
    let doing = || format!("make schema {service}");
    let mut transaction = database.begin().await.map_err(EngineError::database(doing()))?;
    for statement in [
        "REVOKE ALL ON SCHEMA public FROM PUBLIC".to_owned(),
        format!("GRANT CONNECT, TEMPORARY ON DATABASE {DATABASE} TO {role}"),
        format!("ALTER ROLE {role} IN DATABASE {DATABASE} SET search_path = {service}"),
        format!("CREATE SCHEMA {service} AUTHORIZATION {role}"),
    ] {
        run(&mut transaction, statement).await?;
    }
    transaction.commit().await.map_err(EngineError::database(doing()))
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), EngineError> {
    // The statements hold checked identifiers and hex passwords only; an error
    // names the verb, never the text, which may hold a password.
    let verb = statement.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .map_err(EngineError::database(verb))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn only_plain_identifiers_name_a_schema() {
        for good in ["orders", "orders_2", "a"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in
            ["", "Orders", "1orders", "or-ders", "x; DROP", "public", "pg_x", "é", &"a".repeat(41)]
        {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
