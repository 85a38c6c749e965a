//! `prove model`: saga, stock and payments in virtual time, seed by seed. It
//! needs no shop: the world of the `simulation` crate is one.

use std::time::Instant;

use simulation::{Course, Finding, Sabotage};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many worlds are tried.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    seeds: u64,
    /// The seed of the first one.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Only this seed, with everything that happens in it.
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Plant a bug, or one after the other, and see that it is found: late-confirm,
    /// release-again, blind-retry, refund-again, no-inbox, no-lease, stale-write,
    /// event-beside.
    #[arg(long, value_name = "BUG", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    sabotage: Option<String>,
}

/// Whether every promise was kept. With planted bugs it is the proof that has
/// to fail, so true means that none was found.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    let bugs = match args.sabotage.as_deref() {
        None => return Ok(one_or_many(args, None)),
        Some("all") => Sabotage::ALL.to_vec(),
        Some(name) => {
            let names: Vec<&str> = Sabotage::ALL.iter().map(|bug| bug.name()).collect();
            let unknown = || anyhow::anyhow!("no such bug: {name}; there are {}", names.join(", "));
            vec![Sabotage::parse(name).ok_or_else(unknown)?]
        }
    };
    if let [bug] = bugs[..] {
        return Ok(one_or_many(args, Some(bug)));
    }
    let mut found = 0;
    for bug in &bugs {
        let seed = (args.from..args.from.saturating_add(args.seeds))
            .find(|seed| simulation::run(*seed, Some(*bug), false).broken.is_some());
        match seed.and_then(|seed| simulation::examine(seed, Some(*bug))) {
            Some(finding) => {
                found += 1;
                println!("{:<14} seed {:<4} {}", bug.name(), finding.seed, finding.broken);
            }
            None => println!("{:<14} NOT FOUND in {} seeds", bug.name(), args.seeds),
        }
    }
    println!("{found} of {} planted bugs were found", bugs.len());
    Ok(found < bugs.len())
}

fn one_or_many(args: &Args, bug: Option<Sabotage>) -> bool {
    let Some(seed) = args.seed else { return many(args, bug) };
    if let Some(finding) = simulation::examine(seed, bug) {
        tell(&finding, bug);
        return false;
    }
    let course = simulation::run(seed, bug, true);
    print!("{}", course.trace);
    println!("seed {seed}: every promise is kept ({})", counts(&course));
    true
}

fn many(args: &Args, bug: Option<Sabotage>) -> bool {
    let started = Instant::now();
    let mut all = Course::default();
    for seed in args.from..args.from.saturating_add(args.seeds) {
        let course = simulation::run(seed, bug, false);
        if course.broken.is_some() {
            if let Some(finding) = simulation::examine(seed, bug) {
                tell(&finding, bug);
            }
            return false;
        }
        all.orders += course.orders;
        all.sold += course.sold;
        all.commits += course.commits;
    }
    println!("{} seeds: every promise is kept ({})", args.seeds, counts(&all));
    eprintln!("in {:.1} s", started.elapsed().as_secs_f64());
    true
}

fn counts(course: &Course) -> String {
    let Course { orders, sold, commits, .. } = course;
    format!("{orders} orders, {sold} sold, {commits} commits looked at")
}

fn tell(finding: &Finding, bug: Option<Sabotage>) {
    let Finding { seed, broken, needs, trace } = finding;
    print!("{trace}");
    println!("seed {seed} BREAKS A PROMISE: {broken}");
    println!("it takes: {needs}");
    let planted = bug.map_or(String::new(), |bug| format!(" --sabotage={}", bug.name()));
    println!("again: ./bv prove model --seed {seed}{planted}");
}
