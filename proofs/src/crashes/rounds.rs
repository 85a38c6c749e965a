//! Processes that are killed at random moments, while orders are under way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::flows::{Course, Flow};
use super::rest::{Rest, rest};
use super::victims::Victim;
use super::{Args, Scene, Seen, judge, seconds};
use crate::mortal::Mortal;
use crate::report::Table;

/// A death comes so long after the first order at the latest.
const WINDOW_MS: u64 = 1_500;

/// What the rounds of one process came to.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    deaths: u32,
    orders: usize,
    away: Duration,
    longest: Rest,
}

pub async fn run(
    scene: &Arc<Scene>,
    args: &Args,
    victims: &[Victim],
    mortal: &mut Mortal,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let mut rows = vec![Row::default(); victims.len()];
    let mut dice = args.seed;
    for round in 0..args.rounds {
        for (victim, row) in victims.iter().zip(&mut rows) {
            let after = Duration::from_millis(roll(&mut dice) % WINDOW_MS);
            one(scene, args, (*victim, round), after, mortal, row, seen).await?;
        }
        println!("round {} of {}", round + 1, args.rounds);
    }
    if args.rounds > 0 {
        let columns =
            ["killed", "times", "orders", "longest away", "longest until rest", "the provider's"];
        let mut table = Table::new(&columns);
        for (victim, row) in victims.iter().zip(&rows) {
            table.row(vec![
                victim.name().to_owned(),
                row.deaths.to_string(),
                row.orders.to_string(),
                seconds(row.away),
                seconds(row.longest.own),
                seconds(row.longest.provider),
            ]);
        }
        print!("\n{}", table.plain());
    }
    Ok(())
}

/// SplitMix64: the same moments for the same seed.
fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Orders of all ways, and one death among them.
async fn one(
    scene: &Arc<Scene>,
    args: &Args,
    (victim, round): (Victim, u32),
    after: Duration,
    mortal: &mut Mortal,
    row: &mut Row,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let what =
        format!("round {}, {} killed after {} ms", round + 1, victim.name(), after.as_millis());
    scene.sign_in().await?;
    let (told, back) = watch::channel(None);
    let mut orders = JoinSet::new();
    for flow in args.flows() {
        for number in 0..args.crowd {
            let key = format!("{}-{victim:?}-{round}-{flow:?}-{number}", scene.run);
            orders.spawn(order(scene.clone(), flow, key, back.clone(), args.within()));
        }
    }
    tokio::time::sleep(after).await;
    let killed = Instant::now();
    let died = victim.die(scene, mortal).await?;
    told.send_replace(Some(died));
    row.deaths += 1;
    row.away = row.away.max(died - killed);
    while let Some(order) = orders.join_next().await {
        let (course, rested) = order?;
        row.orders += 1;
        match rested {
            Ok(rested) => row.longest = row.longest.longest(rested),
            Err(error) => seen.complain(format!("{what}: {error:#}")),
        }
        if let Some(course) = course {
            judge(scene, &course, &what, seen).await?;
            seen.courses.push(course);
        }
    }
    Ok(())
}

/// One order to its rest, which counts from the moment when all processes were
/// there again.
async fn order(
    scene: Arc<Scene>,
    flow: Flow,
    key: String,
    mut back: watch::Receiver<Option<Instant>>,
    within: Duration,
) -> (Option<Course>, anyhow::Result<Rest>) {
    let course = match flow.drive(&scene, &key).await {
        Ok(course) => course,
        Err(error) => return (None, Err(error)),
    };
    let back = match back.wait_for(Option::is_some).await {
        Ok(back) => back.unwrap_or(course.done),
        Err(_) => return (Some(course), Err(anyhow::anyhow!("the round was broken off"))),
    };
    let rested = rest(&scene, &course, back.max(course.done), within).await;
    (Some(course), rested)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_moments() {
        let three = |mut seed: u64| [roll(&mut seed), roll(&mut seed), roll(&mut seed)];
        assert_eq!(three(1), three(1));
        assert_ne!(three(1), three(2));
    }
}
