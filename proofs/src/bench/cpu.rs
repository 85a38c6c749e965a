//! What the shop's processes cost, from `/proc`: the shop, its database, its
//! event log, its federation router, and this generator. Nothing on other systems.

use std::collections::BTreeMap;

/// Processes that belong to a shop, by the name the kernel shows; of engines, which
/// carry their version in it, by what stands before that.
const NAMES: [&str; 5] = ["bellavista", "postgres", "nisshi", "hive_router", "proofs"];
/// Linux counts processor time in hundredths of a second.
const MS_PER_TICK: u64 = 10;
const KIB_PER_PAGE: u64 = 4;

/// Processor time and memory of all processes of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_ms: u64,
    pub resident_kib: u64,
}

/// What processes of one name spent in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Spent {
    pub name: String,
    pub cpu_ms: u64,
    pub cpu_ms_per_order: f64,
    /// Resident at the end; shared pages of PostgreSQL count in each process.
    pub resident_mib: u64,
}

pub fn read() -> BTreeMap<String, Usage> {
    let mut usage: BTreeMap<String, Usage> = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir("/proc") else { return usage };
    for entry in entries.flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some((name, one)) = parse(&stat)
            && let Some(name) = NAMES.into_iter().find(|known| is(name, known))
        {
            let all = usage.entry(name.to_owned()).or_default();
            all.cpu_ms += one.cpu_ms;
            all.resident_kib += one.resident_kib;
        }
    }
    usage
}

/// Whether a process shown as `name` is the `known` program, of whatever version.
fn is(name: &str, known: &str) -> bool {
    name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Of one process.
pub fn of(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse(&stat).map(|(_, usage)| usage)
}

/// A line of `/proc/<pid>/stat`. Time of ended children counts as well: each
/// connection of PostgreSQL is one.
fn parse(stat: &str) -> Option<(&str, Usage)> {
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let fields: Vec<&str> = stat[close + 1..].split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // Fields 14 to 17 of proc(5): own and children's time in user and kernel mode.
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    let usage = Usage { cpu_ms: ticks * MS_PER_TICK, resident_kib: number(21)? * KIB_PER_PAGE };
    Some((&stat[open + 1..close], usage))
}

pub fn spent(
    before: &BTreeMap<String, Usage>,
    after: &BTreeMap<String, Usage>,
    orders: u64,
) -> Vec<Spent> {
    let none = Usage::default();
    after
        .iter()
        .map(|(name, usage)| {
            let cpu_ms = usage.cpu_ms.saturating_sub(before.get(name).unwrap_or(&none).cpu_ms);
            Spent {
                name: name.clone(),
                cpu_ms,
                cpu_ms_per_order: cpu_ms as f64 / orders.max(1) as f64,
                resident_mib: usage.resident_kib / 1_024,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_known_by_their_names_without_the_version() {
        assert!(is("nisshi-0.8.1-x8", "nisshi") && is("hive_router-0.2", "hive_router"));
        assert!(is("bellavista", "bellavista") && !is("bellavista2", "bellavista"));
    }

    #[test]
    fn a_name_with_spaces_and_brackets_is_no_obstacle() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 0 0 0 0 0 30 12 5 3 20 0 4 0 100 9000 256 18446";
        let (name, usage) = parse(stat).unwrap();
        assert_eq!(name, "a (b) c");
        assert_eq!(usage, Usage { cpu_ms: 500, resident_kib: 1_024 });
        assert_eq!(parse("nonsense"), None);
    }
}
