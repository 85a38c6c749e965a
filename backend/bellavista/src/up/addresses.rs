//! `bellavista urls`: every address of the shop, one `name URL` per line.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use platform::config::{Config, EngineMode};
use platform::engines::home::Home;
use platform::engines::postgres;

use crate::runner;

/// Prints the addresses of the shop that is open, or those it would have.
pub fn urls(config: &Config) -> anyhow::Result<()> {
    let home = Home::open(&config.ground.home)?;
    let noted = std::fs::read_to_string(home.run_file(super::ADDRESSES));
    match noted {
        Ok(noted) if home.lock_holder().is_some() => print!("{noted}"),
        _ => print!("{}", lines(&list(config, true)?)),
    }
    Ok(())
}

/// The public port of the shop that is open in the state folder, if one is.
pub fn open_port(config: &Config) -> Option<u16> {
    let home = Home::open(&config.ground.home).ok()?;
    home.lock_holder()?;
    let noted = std::fs::read_to_string(home.run_file(super::ADDRESSES)).ok()?;
    let storefront = noted.lines().find_map(|line| line.strip_prefix("storefront "))?;
    storefront.trim_end_matches('/').rsplit(':').next()?.parse().ok()
}

/// Names and addresses. The database is named without its password, which lies
/// in the state folder.
pub fn list(config: &Config, demo: bool) -> anyhow::Result<Vec<(&'static str, String)>> {
    let ground = &config.ground;
    let (http, internal) = (ground.http.socket(), ground.internal.socket());
    let mut all = vec![
        ("storefront", format!("http://{http}/")),
        ("api", format!("http://{http}/api/v1")),
        ("api-docs", format!("http://{http}/api/v1/docs")),
        ("openapi", format!("http://{http}/api/v1/openapi.json")),
        ("graphql", format!("http://{http}/graphql")),
        ("orders-socket", format!("ws://{http}/ws/orders")),
        ("admin-socket", format!("ws://{http}/ws/admin")),
        ("grpc", format!("http://{}", ground.grpc.socket())),
        ("broker", format!("kafka://{}", runner::bootstrap(config))),
    ];
    if demo {
        let port = simulator_port(config)?;
        all.push(("wsdl", format!("http://127.0.0.1:{port}/soap/payment?wsdl")));
        all.push(("payment-simulator", format!("http://127.0.0.1:{port}/")));
    }
    if ground.database.mode == EngineMode::Embedded {
        let (user, database) = (postgres::ADMIN, postgres::DATABASE);
        let port = ground.database.port;
        all.push(("database", format!("postgres://{user}@127.0.0.1:{port}/{database}")));
    }
    all.push(("metrics", format!("http://{internal}/metrics")));
    all.push(("health", format!("http://{internal}/readyz?verbose")));
    Ok(all)
}

/// One `name URL` per line.
pub fn lines(addresses: &[(&str, String)]) -> String {
    addresses.iter().map(|(name, url)| format!("{name} {url}\n")).collect()
}

/// The port of the payment simulator.
pub fn simulator_port(config: &Config) -> anyhow::Result<u16> {
    Ok(config.section("payment_simulator.port")?)
}
