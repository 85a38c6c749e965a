//! Where the shop is and who we are there.

use std::path::PathBuf;

/// Flags that every command takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Flags {
    /// The public port of a shop on this machine; the others keep their distance.
    #[arg(long, global = true, value_name = "N", default_value_t = 8080)]
    port: u16,
    /// The public origin, when it is not on this machine.
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// The event log (Kafka API) [default: 12 ports above the public one]
    #[arg(long, global = true, value_name = "HOST:PORT")]
    broker: Option<String>,
    /// The payment simulator, whose ledger knows every charge [default: 5 above]
    #[arg(long, global = true, value_name = "URL")]
    simulator: Option<String>,
    /// The internal port with /metrics, read when it answers [default: 10 above]
    #[arg(long, global = true, value_name = "URL")]
    internal: Option<String>,
    /// gRPC of inventory [default: 1 above the public port]
    #[arg(long, global = true, value_name = "URL")]
    grpc: Option<String>,
    /// The shop's PostgreSQL, for comparisons on the same server [default: 352
    /// above, with the password in --home]
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// A service token; otherwise `bellavista token --service tools` is asked.
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "BV_SERVICE_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// The shop's program, for tokens; otherwise looked for beside this one.
    #[arg(long, global = true, value_name = "FILE")]
    bellavista: Option<PathBuf>,
    /// Where the shop keeps its state, and `simulate` its journals.
    #[arg(long, global = true, value_name = "DIR", env = "BV_HOME", default_value = ".bellavista")]
    home: PathBuf,
    /// The merchant who makes products and reads stock.
    #[arg(
        long,
        global = true,
        value_name = "EMAIL",
        default_value = "merchant@demo.bellavista.test"
    )]
    merchant: String,
    /// Their password [default: the demo accounts' one]
    #[arg(
        long,
        global = true,
        value_name = "PASSWORD",
        default_value = "bellavista-demo",
        hide_default_value = true
    )]
    merchant_password: String,
    /// Seconds to wait for a shop that is away before giving up.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
}

/// A shop and our accounts there.
#[derive(Clone, Debug)]
pub struct ShopArgs {
    pub url: String,
    pub broker: String,
    pub simulator: String,
    pub internal: String,
    pub grpc: String,
    pub database: Option<String>,
    /// Where the shop's own PostgreSQL listens.
    pub database_port: u16,
    pub token: Option<String>,
    pub bellavista: Option<PathBuf>,
    pub home: PathBuf,
    pub merchant: String,
    pub merchant_password: String,
    /// Seconds.
    pub patience: u64,
}

impl ShopArgs {
    /// The same accounts at a shop of our own on this machine.
    pub fn at(&self, port: u16, home: PathBuf) -> Self {
        let at = |distance: u16| format!("http://127.0.0.1:{}", port.saturating_add(distance));
        ShopArgs {
            url: at(0),
            broker: format!("127.0.0.1:{}", port.saturating_add(12)),
            simulator: at(5),
            internal: at(10),
            home,
            database: None,
            database_port: port.saturating_add(352),
            ..self.clone()
        }
    }
}

impl Flags {
    /// The addresses, those not given derived from the port.
    pub fn resolve(self) -> ShopArgs {
        let port = self.port;
        let at = |distance: u16| format!("http://127.0.0.1:{}", port.saturating_add(distance));
        ShopArgs {
            url: self.url.unwrap_or_else(|| at(0)),
            broker: self.broker.unwrap_or_else(|| format!("127.0.0.1:{}", port.saturating_add(12))),
            simulator: self.simulator.unwrap_or_else(|| at(5)),
            internal: self.internal.unwrap_or_else(|| at(10)),
            grpc: self.grpc.unwrap_or_else(|| at(1)),
            database: self.database,
            database_port: port.saturating_add(352),
            token: self.token,
            bellavista: self.bellavista,
            home: self.home,
            merchant: self.merchant,
            merchant_password: self.merchant_password,
            patience: self.patience,
        }
    }
}
