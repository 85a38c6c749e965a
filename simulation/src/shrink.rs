//! Makes a course that breaks a promise as small as it gets: fewer buyers,
//! fewer people who interfere, better weather. The same seed always shrinks
//! to the same.

use crate::sabotage::Sabotage;
use crate::scenario::Scenario;
use crate::{Finding, live};

type Change = fn(&mut Scenario);

const EASIER: [Change; 5] = [
    |s| s.weather.crashes = 0,
    |s| s.weather.duplicates = 0,
    |s| s.weather.loss = 0,
    |s| s.weather.skew_ms = 0,
    |s| s.weather.stock_away.clear(),
];

pub fn smallest(mut scenario: Scenario, sabotage: Option<Sabotage>) -> Finding {
    let breaks = |scenario: &Scenario| live(scenario, sabotage, false).broken.is_some();
    loop {
        let mut smaller = false;
        for no in 0..scenario.buyers.len() {
            smaller |= without(&mut scenario, &breaks, |s| s.buyers[no] = None);
        }
        for easier in EASIER {
            smaller |= without(&mut scenario, &breaks, easier);
        }
        for no in 0..scenario.buyers.len() {
            smaller |= calmer(&mut scenario, &breaks, no);
        }
        if !smaller {
            break;
        }
    }
    let course = live(&scenario, sabotage, true);
    Finding {
        seed: scenario.seed,
        broken: course.broken.unwrap_or_default(),
        needs: needs(&scenario),
        trace: course.trace,
    }
}

/// Keeps the change when the promise is broken all the same.
fn without(
    scenario: &mut Scenario,
    breaks: &impl Fn(&Scenario) -> bool,
    change: impl Fn(&mut Scenario),
) -> bool {
    let mut smaller = scenario.clone();
    change(&mut smaller);
    if format!("{smaller:?}") == format!("{scenario:?}") || !breaks(&smaller) {
        return false;
    }
    *scenario = smaller;
    true
}

fn calmer(scenario: &mut Scenario, breaks: &impl Fn(&Scenario) -> bool, no: usize) -> bool {
    let change = |what: fn(&mut crate::scenario::Buyer)| {
        move |s: &mut Scenario| {
            if let Some(buyer) = &mut s.buyers[no] {
                what(buyer);
            }
        }
    };
    let mut smaller = without(scenario, breaks, change(|b| b.cancels_after = None));
    smaller |= without(scenario, breaks, change(|b| b.support_cancels_after = None));
    smaller |= without(scenario, breaks, change(|b| b.operator = None));
    smaller |= without(scenario, breaks, change(|b| b.pays_twice_at_once = false));
    smaller | without(scenario, breaks, change(|b| b.pays_after = None))
}

/// What is left, in words.
fn needs(scenario: &Scenario) -> String {
    let weather = &scenario.weather;
    let buyers: Vec<String> = scenario
        .buyers
        .iter()
        .enumerate()
        .filter_map(|(no, buyer)| buyer.as_ref().map(|_| format!("order {no}")))
        .collect();
    let mut parts = vec![buyers.join(", ")];
    let mut add = |has: bool, what: &str| {
        if has {
            parts.push(what.to_owned());
        }
    };
    add(weather.crashes > 0, "crashes");
    add(weather.duplicates > 0, "duplicates");
    add(weather.loss > 0, "lost messages");
    add(weather.skew_ms > 0, "clocks that differ");
    add(!weather.stock_away.is_empty(), "inventory away");
    parts.join("; ")
}
