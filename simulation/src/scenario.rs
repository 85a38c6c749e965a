//! What a seed stands for: goods, buyers, and how bad the weather is.

use crate::rng::Rng;

/// A sku.
#[derive(Clone, Debug)]
pub struct Good {
    /// Units in each warehouse at the start.
    pub units: Vec<i64>,
    pub backorder_limit: Option<i64>,
}

/// What an operator does to an order at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Retry,
    Compensate,
}

/// One order with everything that people do about it.
#[derive(Clone, Debug)]
pub struct Buyer {
    /// Sku and units.
    pub lines: Vec<(usize, i64)>,
    pub total_minor: i64,
    pub comes_at: i64,
    /// Whether each card is good, in the order in which they are tried.
    pub cards: Vec<bool>,
    /// The first card comes with the order.
    pub automatic: bool,
    /// Milliseconds from placement to the first payment; none is ever made
    /// without it.
    pub pays_after: Option<i64>,
    pub pays_twice_at_once: bool,
    pub cancels_after: Option<i64>,
    pub support_cancels_after: Option<i64>,
    pub operator: Option<(i64, Operation)>,
}

/// How the world treats messages and processes, in permille.
#[derive(Clone, Debug)]
pub struct Weather {
    pub loss: u32,
    pub duplicates: u32,
    pub crashes: u32,
    /// Clocks of instances are off by up to so many milliseconds.
    pub skew_ms: i64,
    /// Inventory is away, from and until.
    pub stock_away: Vec<(i64, i64)>,
    /// From then on everything works.
    pub calm_from: i64,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub instances: usize,
    pub goods: Vec<Good>,
    /// An order that is left out is none.
    pub buyers: Vec<Option<Buyer>>,
    pub weather: Weather,
}

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;

impl Scenario {
    /// What `seed` stands for.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::of(seed, 1);
        let goods: Vec<Good> = (0..rng.range(1, 3))
            .map(|_| Good {
                units: (0..rng.range(1, 2)).map(|_| rng.range(0, 5)).collect(),
                backorder_limit: rng.permille(300).then(|| rng.range(1, 4)),
            })
            .collect();
        let buyers = (0..rng.range(6, 14)).map(|_| Some(buyer(&mut rng, goods.len()))).collect();
        Scenario { seed, instances: 2 + rng.index(2), buyers, weather: weather(&mut rng), goods }
    }
}

fn buyer(rng: &mut Rng, goods: usize) -> Buyer {
    let mut lines = vec![(rng.index(goods), rng.range(1, 3))];
    for sku in 0..goods {
        if sku != lines[0].0 && rng.permille(300) {
            lines.push((sku, rng.range(1, 2)));
        }
    }
    // Some come while a hold of somebody else is about to end.
    let comes_at = match rng.range(0, 2) {
        0 => rng.range(0, 20 * SECOND),
        1 => rng.range(0, 12 * MINUTE),
        _ => rng.range(9 * MINUTE, 11 * MINUTE),
    };
    let after = match rng.range(0, 3) {
        0 => rng.range(0, 5 * SECOND),
        1 => rng.range(0, 9 * MINUTE),
        // Just when the hold ends.
        _ => rng.range(10 * MINUTE - 3 * SECOND, 10 * MINUTE + 3 * SECOND),
    };
    let some =
        |rng: &mut Rng, chance: u32, limit: i64| rng.permille(chance).then(|| rng.range(0, limit));
    Buyer {
        lines,
        total_minor: rng.range(1, 90) * 100,
        comes_at,
        cards: (0..rng.range(1, 6)).map(|_| rng.permille(700)).collect(),
        automatic: rng.permille(400),
        pays_after: rng.permille(850).then_some(after),
        pays_twice_at_once: rng.permille(150),
        cancels_after: some(rng, 200, 11 * MINUTE),
        support_cancels_after: some(rng, 200, 15 * MINUTE),
        operator: some(rng, 150, 15 * MINUTE).map(|at| match rng.permille(600) {
            true => (at, Operation::Compensate),
            false => (at, Operation::Retry),
        }),
    }
}

fn weather(rng: &mut Rng) -> Weather {
    let away = |rng: &mut Rng| {
        let from = rng.range(0, 12 * MINUTE);
        (from, from + rng.range(SECOND, 90 * SECOND))
    };
    Weather {
        loss: rng.range(0, 250) as u32,
        duplicates: rng.range(0, 200) as u32,
        crashes: rng.range(0, 40) as u32,
        skew_ms: rng.range(0, 1_800),
        stock_away: (0..rng.range(0, 3)).map(|_| away(rng)).collect(),
        calm_from: 40 * MINUTE,
    }
}
