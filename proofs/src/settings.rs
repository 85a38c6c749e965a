//! Where the shop is and who we are there.

use std::path::PathBuf;

/// Flags that every command takes.
#[derive(Clone, Debug, clap::Args)]
pub struct ShopArgs {
    /// The public origin.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// The event log (Kafka API).
    #[arg(long, global = true, value_name = "HOST:PORT", default_value = "127.0.0.1:8092")]
    pub broker: String,
    /// The payment simulator, whose ledger knows every charge.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8085")]
    pub simulator: String,
    /// The internal port with /metrics; benchmarks read it when it answers.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8090")]
    pub internal: String,
    /// A service token; otherwise `bellavista token --service tools` is asked.
    #[arg(long, global = true, value_name = "TOKEN", env = "BV_SERVICE_TOKEN")]
    pub token: Option<String>,
    /// The shop's program, for tokens; otherwise looked for beside this one.
    #[arg(long, global = true, value_name = "FILE")]
    pub bellavista: Option<PathBuf>,
    /// Where the shop keeps its state, and `simulate` its journals.
    #[arg(long, global = true, value_name = "DIR", env = "BV_HOME", default_value = ".bellavista")]
    pub home: PathBuf,
    /// The merchant who makes products and reads stock.
    #[arg(long, global = true, default_value = "merchant@demo.bellavista.test")]
    pub merchant: String,
    #[arg(long, global = true, default_value = "bellavista-demo", hide_default_value = true)]
    pub merchant_password: String,
    /// Seconds to wait for a shop that is away before giving up.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 120)]
    pub patience: u64,
}
