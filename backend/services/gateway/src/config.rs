//! `[gateway]`.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

use crate::graphql::GraphqlConfig;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// Requests per second of one caller, and how many may come at once.
    pub caller_per_second: u32,
    pub caller_burst: u32,
    /// The same for one network address, pages included.
    pub address_per_second: u32,
    pub address_burst: u32,
    /// How long a guest stays the same guest.
    pub guest_days: u64,
    /// Set the `Secure` attribute on cookies (when served over HTTPS).
    pub secure_cookies: bool,
    /// How long a service may take.
    pub timeout_ms: u64,
    /// Addresses of services in other processes, by name; several instances
    /// separated by commas.
    pub upstreams: HashMap<String, String>,
    /// The same for their internal ports, where the federation router asks.
    pub subgraphs: HashMap<String, String>,
    /// The graph.
    pub graphql: GraphqlConfig,
}

impl GatewayConfig {
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub fn guest_ttl(&self) -> Duration {
        Duration::from_secs(self.guest_days * 86_400)
    }
}
