//! The world keeps its promises, a seed is one course of events, and every
//! planted bug is found.

use simulation::{Sabotage, examine, run};

#[test]
fn three_hundred_worlds_keep_every_promise() {
    let mut orders = 0;
    for seed in 1..=300 {
        let course = run(seed, None, false);
        assert_eq!(course.broken, None, "seed {seed}");
        orders += course.orders;
    }
    assert!(orders > 1_000, "only {orders} orders were placed");
}

#[test]
fn the_same_seed_takes_the_same_course_to_the_byte() {
    for seed in [1, 7, 42] {
        let first = run(seed, None, true);
        assert_eq!(run(seed, None, true), first, "seed {seed}");
        assert!(first.trace.len() > 1_000, "seed {seed} has hardly a course");
    }
}

#[test]
fn every_planted_bug_is_found_and_shrinks_to_the_same_course() {
    for bug in Sabotage::ALL {
        let found = (1..=Sabotage::SEEDS).find_map(|seed| examine(seed, Some(bug)));
        let Some(found) = found else {
            panic!("{} is not found within {} seeds", bug.name(), Sabotage::SEEDS)
        };
        assert_eq!(examine(found.seed, Some(bug)), Some(found), "{}", bug.name());
    }
}

#[test]
fn every_bug_has_a_name_of_its_own() {
    for bug in Sabotage::ALL {
        assert_eq!(Sabotage::parse(bug.name()), Some(bug));
    }
    assert_eq!(Sabotage::parse("all"), None);
}
