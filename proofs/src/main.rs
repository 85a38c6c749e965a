//! `proofs`: shows from outside that the shop keeps its word.
//!
//! `prove` races buyers and counts from several sides, `simulate` replays real
//! orders and balances the books, `bench` measures. Everything goes through the
//! public interfaces: REST, Kafka, and the payment simulator's own ledger. No
//! code of the services is used, so that no error of theirs is shared; only
//! [`model`] runs their pure cores, which are what it puts to the proof.
//!
//! Start with [`client`] and [`events`], then one of [`oversell`], [`simulate`],
//! [`bench`].

#![expect(clippy::print_stdout, reason = "a program for people: its output is its purpose")]

mod bench;
mod charges;
mod client;
mod crashes;
mod credentials;
mod delivery;
mod events;
/// What any client generates from the public proto files.
#[path = "../../backend/contracts/src/generated/packages.rs"]
#[allow(dead_code, clippy::all, clippy::pedantic, unused_qualifications)]
mod generated;
mod idempotency;
mod model;
mod mortal;
mod oversell;
mod report;
mod settings;
mod shelves;
mod simulate;
mod simulator;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use settings::Flags;

/// Proofs, replays and benchmarks against a running shop.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    shop: Flags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put a promise of the shop to the proof; exit 1 when it is broken.
    #[command(subcommand)]
    Prove(Promise),
    /// Replay real orders from a CSV file as live traffic and balance the books.
    Simulate(simulate::Args),
    /// Measure, and check in the same run that nothing was lost or doubled.
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Debug, Subcommand)]
enum Promise {
    /// Many buyers race for few units: every unit is sold once, and to one buyer.
    Oversell(oversell::Args),
    /// Every request is sent many times while the shop is killed again and again:
    /// each key has one effect and one answer.
    Idempotency(idempotency::Args),
    /// kill -9 at every step of the saga and of every process: each order comes to
    /// rest within seconds, and none is lost or doubled.
    Crashes(crashes::Args),
    /// A gateway that loses answers, fails and is away, a payment service that is
    /// killed: every paid order is charged once, and no other.
    Charges(charges::Args),
    /// A consumer that fails on purpose: only poison dies, in order nothing is lost,
    /// and what is sent back takes its place.
    Delivery(delivery::Args),
    /// Saga, stock and payments in virtual time, where calls are lost, events doubled
    /// and processes die: every promise holds at every commit. Needs no shop.
    Model(model::Args),
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// `POST /orders` at a fixed arrival rate.
    Orders(bench::Args),
    /// The whole saga, placed to confirmed, at a fixed arrival rate.
    Saga(bench::saga::Args),
    /// Reservations of one sku through gRPC, beside what a row lock and an
    /// atomic update reach on the same server.
    HotSku(bench::hot_sku::Args),
    /// The product page over the graph, beside Apollo's gateway, and what each layer
    /// on the way costs.
    Graphql(bench::graphql::Args),
    /// Refusals of a sold-out sku, and what they do to other buyers.
    Soldout(bench::soldout::Args),
    /// What a payment costs beyond its gateway, and payments per second.
    Payments(bench::payments::Args),
    /// From a commit to the moment its event can be read.
    Outbox(bench::outbox::Args),
    /// Rebuilding a read model from a million events, with the rows compared.
    Replay(bench::replay::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("proofs: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("proofs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the promise held.
async fn run(cli: Cli) -> anyhow::Result<bool> {
    let shop = cli.shop.resolve();
    match cli.command {
        Command::Prove(Promise::Oversell(args)) => oversell::run(&shop, &args).await,
        Command::Prove(Promise::Crashes(args)) => crashes::run(&shop, &args).await,
        Command::Prove(Promise::Charges(args)) => charges::run(&shop, &args).await,
        Command::Prove(Promise::Delivery(args)) => delivery::run(&shop, &args).await,
        Command::Prove(Promise::Model(args)) => model::run(&args),
        Command::Prove(Promise::Idempotency(args)) => idempotency::run(&shop, &args).await,
        Command::Simulate(args) => simulate::run(&shop, &args).await,
        Command::Bench(Bench::Orders(args)) => bench::run(&shop, &args).await,
        Command::Bench(Bench::Saga(args)) => bench::saga::run(&shop, &args).await,
        Command::Bench(Bench::HotSku(args)) => bench::hot_sku::run(&shop, &args).await,
        Command::Bench(Bench::Graphql(args)) => bench::graphql::run(&shop, &args).await,
        Command::Bench(Bench::Soldout(args)) => bench::soldout::run(&shop, &args).await,
        Command::Bench(Bench::Replay(args)) => bench::replay::run(&shop, &args).await,
        Command::Bench(Bench::Payments(args)) => bench::payments::run(&shop, &args).await,
        Command::Bench(Bench::Outbox(args)) => bench::outbox::run(&shop, &args).await,
    }
}
