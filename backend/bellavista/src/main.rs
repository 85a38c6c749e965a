//! `bellavista`: every service of the shop in one binary, alone or together.
//!
//! Owns: the command line, the table of targets and their assembly. The only
//! crate that knows every service.
//!
//! Start with [`targets`], then [`assembly`] and [`runner`].

mod api_docs;
mod assembly;
mod commands;
mod runner;
mod settings;
mod storefront;
mod targets;
mod up;

use clap::{Parser, Subcommand};

use settings::Flags;

/// Requests come and go on all threads; the system's allocator makes them wait.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bellavista: a shop that never oversells and never loses an order.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open the whole shop on this machine: database, event log, services, demo.
    Up(up::Args),
    /// Stop the shop, also what a killed one left behind.
    Down,
    /// Every address, one `name URL` per line.
    Urls,
    /// Follow the log of one part.
    Logs(up::LogsArgs),
    /// Fetch or build the child engines and say where they are.
    Engines(up::EngineArgs),
    /// Run targets in this process: `serve all`, `serve orders,inventory`.
    Serve(commands::serve::Args),
    /// Bring every schema and topic up to date, then end.
    Migrate,
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(commands::config::Command),
    /// Print a token for a service account.
    Token(commands::token::Args),
    /// Exit 0 when the internal port says ready (for containers).
    Healthcheck,
    /// Whether the audit logs are what was written.
    #[command(subcommand)]
    Audit(commands::audit::Command),
    /// The keys that seal payment tokens: show, rotate, prune.
    #[command(subcommand)]
    TokenKeys(commands::token_keys::Command),
    /// What waits to be published.
    #[command(subcommand)]
    Outbox(commands::outbox::Command),
    /// Rebuild a read model from the event log beside the live one, compare, swap.
    Replay(commands::replay::Args),
    /// Write generated documents: OpenAPI, targets.
    #[command(hide = true)]
    Generate(commands::generate::Args),
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let outcome = load(&cli).and_then(|config| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            // Rendering a page nests deeply.
            .thread_stack_size(8 * 1024 * 1024)
            .build()?;
        runtime.block_on(run(cli.command, config, &cli.flags))
    });
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bellavista: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// The configuration of a command, and its log: `up` keeps the terminal free
/// and writes a file.
fn load(cli: &Cli) -> anyhow::Result<platform::config::Config> {
    if let Command::Up(args) = &cli.command {
        return up::load(args, &cli.flags);
    }
    let mut config = settings::load(&cli.flags)?;
    let asks_open_shop = matches!(
        cli.command,
        Command::Audit(_) | Command::Outbox(_) | Command::Replay(_) | Command::TokenKeys(_)
    );
    if asks_open_shop && cli.flags.port.is_none() {
        // A shop opened on other ports is found by what its state folder notes.
        if let Some(port) = up::open_port(&config) {
            config = settings::load(&settings::Flags { port: Some(port), ..cli.flags.clone() })?;
        }
    }
    platform::logging::install(&config.ground.log)?;
    Ok(config)
}

async fn run(
    command: Command,
    config: platform::config::Config,
    flags: &Flags,
) -> anyhow::Result<()> {
    match command {
        Command::Up(args) => up::run(args, config, flags).await,
        Command::Down => up::down(&config).await,
        Command::Urls => up::urls(&config),
        Command::Logs(args) => up::logs(&args, &config),
        Command::Engines(args) => up::engines(&args).await,
        Command::Serve(args) => commands::serve::run(args, config).await,
        Command::Migrate => commands::migrate::run(&config).await,
        Command::Config(command) => commands::config::run(command, &config),
        Command::Token(args) => commands::token::run(args, &config),
        Command::Healthcheck => commands::healthcheck::run(&config).await,
        Command::Audit(command) => commands::audit::run(command, &config).await,
        Command::TokenKeys(command) => commands::token_keys::run(command, &config).await,
        Command::Outbox(command) => commands::outbox::run(command, &config).await,
        Command::Replay(args) => commands::replay::run(args, &config).await,
        Command::Generate(args) => commands::generate::run(args, &config),
    }
}
