//! The payment simulator: a legacy SOAP gateway with its WSDL, a REST gateway,
//! and card gateways like Stripe's and Adyen's, over one durable ledger.
//!
//! Owns: the tables of `migrations/payment_simulator`. SOAP and REST do not
//! recognise repeats: two calls are two charges, which is why proofs can count
//! here. It listens on the loopback interface only.
//!
//! Start with [`build`], then `gateway` for what a call does, `cards` for the
//! gateways that work in steps.

mod admin;
mod behaviour;
mod cards;
mod gateway;
mod ledger;
mod rest;
mod soap;

use std::net::{IpAddr, SocketAddr};

use anyhow::ensure;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use platform::{ApiError, Context};
use serde::Deserialize;
use sqlx::migrate::Migrator;

use behaviour::Controls;
use gateway::Gateway;

/// The ledger's tables, after the ground's.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../../migrations/payment_simulator");

/// `[payment_simulator]`: where it listens and how it behaves at first.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub address: IpAddr,
    pub port: u16,
    pub slow_ms: u64,
    pub latency_ms: u64,
    pub decline_percent: u8,
    pub fault_percent: u8,
    pub lost_before_percent: u8,
    pub lost_after_percent: u8,
    /// Where notifications are sent: an address, `installation` for the public
    /// port of this one, or nothing.
    #[serde(default)]
    pub notify: String,
}

/// What to serve, and where.
pub struct Built {
    pub address: SocketAddr,
    pub router: Router,
}

/// Builds the simulator from `[payment_simulator]`.
pub fn build(ctx: Context) -> anyhow::Result<Built> {
    let settings: Settings = ctx.config.section("payment_simulator")?;
    ensure!(
        settings.address.is_loopback(),
        "payment_simulator.address: {} is no loopback address; the simulator gives money away",
        settings.address
    );
    let controls = Controls::from(&settings);
    controls.check().map_err(|wrong| anyhow::anyhow!("payment_simulator.{wrong}"))?;
    let address = SocketAddr::new(settings.address, settings.port);
    let gateway = Gateway::new(ctx, controls);
    let router = Router::new()
        .merge(soap::router())
        .merge(rest::router())
        .merge(cards::router())
        .merge(admin::router())
        .fallback(async || ApiError::not_found("request.no_route"))
        .with_state(gateway);
    Ok(Built { address, router })
}

/// Largest request that is read.
const MAX_REQUEST_BYTES: usize = crate::soap::xml::Limits::REQUEST.bytes;

/// The body, or None when it is larger than allowed or broke off.
async fn bounded(body: Body) -> Option<Bytes> {
    axum::body::to_bytes(body, MAX_REQUEST_BYTES).await.ok()
}

/// An answer that never comes: the connection is closed before a byte of it
/// was written.
fn dropped() -> Response {
    let lost = std::io::Error::other("dropped on purpose");
    Response::new(Body::from_stream(futures_util::stream::once(async { Err::<Bytes, _>(lost) })))
}
