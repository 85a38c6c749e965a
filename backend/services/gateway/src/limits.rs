//! How much one caller, or one address, may ask.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::header;
use platform::{ApiError, Kind};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::config::GatewayConfig;
use crate::{Deps, refuse};

/// Limits per credential and per address, kept in this process.
pub struct Limits {
    callers: DefaultKeyedRateLimiter<u64>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    asked: AtomicU64,
    clock: DefaultClock,
}

/// Idle entries are forgotten after so many requests.
const FORGET_EVERY: u64 = 10_000;

impl Limits {
    pub fn new(config: &GatewayConfig) -> anyhow::Result<Self> {
        let quota = |per_second: u32, burst: u32, key: &str| {
            let many = |n| NonZeroU32::new(n).with_context(|| format!("gateway.{key} is 0"));
            anyhow::Ok(Quota::per_second(many(per_second)?).allow_burst(many(burst)?))
        };
        Ok(Limits {
            callers: RateLimiter::keyed(quota(
                config.caller_per_second,
                config.caller_burst,
                "caller_per_second or caller_burst",
            )?),
            addresses: RateLimiter::keyed(quota(
                config.address_per_second,
                config.address_burst,
                "address_per_second or address_burst",
            )?),
            asked: AtomicU64::new(0),
            clock: DefaultClock::default(),
        })
    }

    /// Keeps the tables small: what has been idle long enough is like new.
    fn tidy(&self) {
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.callers.retain_recent();
            self.addresses.retain_recent();
        }
    }
}

/// Per credential: a token in a header or the guest cookie. Requests without one
/// are limited by their address alone.
pub async fn per_caller(State(deps): State<Deps>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let credential = headers.get(header::AUTHORIZATION).or_else(|| headers.get(header::COOKIE));
    if let Some(value) = credential {
        let mut hasher = DefaultHasher::new();
        value.as_bytes().hash(&mut hasher);
        let limits = &deps.inner.limits;
        if let Err(until) = limits.callers.check_key(&hasher.finish()) {
            return too_many(until.wait_time_from(limits.clock.now()));
        }
    }
    next.run(request).await
}

/// Per network address, for everything on the public port.
pub async fn per_address(State(deps): State<Deps>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
    let limits = &deps.inner.limits;
    limits.tidy();
    if let Err(until) = limits.addresses.check_key(&address) {
        return too_many(until.wait_time_from(limits.clock.now()));
    }
    next.run(request).await
}

fn too_many(wait: Duration) -> Response {
    metrics::counter!("gateway_limited_total").increment(1);
    let error = ApiError::new(Kind::Limited, "rate.limited", "Too many requests; slow down.");
    refuse(error.retry_after(wait + Duration::from_secs(1)))
}
