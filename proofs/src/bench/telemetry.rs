//! Where the time goes, by the shop's own account: what its `/metrics` counted
//! during a run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Range;

/// Sum and count of each timer: a summary or histogram of Prometheus text.
pub type Timers = BTreeMap<String, (f64, f64)>;

/// What one timer took in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    pub name: String,
    pub count: u64,
    pub mean_ms: f64,
    pub total_ms: f64,
}

/// None when the internal port does not answer: it need not be reachable.
pub async fn read(range: &Range) -> Option<Timers> {
    read_from(&range.internal).await
}

/// The same of the internal address given.
pub async fn read_from(internal: &str) -> Option<Timers> {
    let internal = internal.trim_end_matches('/');
    let http =
        reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().ok()?;
    let answer = http.get(format!("{internal}/metrics")).send().await.ok()?;
    let text = answer.error_for_status().ok()?.text().await.ok()?;
    Some(parse(&text))
}

/// Timers are the metrics named after their unit, in milliseconds or seconds.
fn parse(text: &str) -> Timers {
    let mut timers = Timers::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        let (base, labels) = name.split_once('{').unwrap_or((name, ""));
        for (suffix, is_sum) in [("_sum", true), ("_count", false)] {
            let Some(metric) = base.strip_suffix(suffix) else { continue };
            let factor = if metric.ends_with("_ms") {
                1.0
            } else if metric.ends_with("_seconds") {
                1_000.0
            } else {
                continue;
            };
            let labels = labels.trim_end_matches('}');
            let key =
                if labels.is_empty() { metric.to_owned() } else { format!("{metric}{{{labels}}}") };
            let timer = timers.entry(key).or_default();
            if is_sum {
                timer.0 += value * factor;
            } else {
                timer.1 += value;
            }
        }
    }
    timers
}

/// The largest differences, largest first.
pub fn shares(before: Option<Timers>, after: Option<Timers>) -> Vec<Share> {
    const SHOWN: usize = 12;
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let mut shares: Vec<Share> = after
        .into_iter()
        .filter_map(|(name, (sum, count))| {
            let (sum_before, count_before) = before.get(&name).copied().unwrap_or_default();
            let (total_ms, count) = (sum - sum_before, count - count_before);
            let share = Share { name, count: count as u64, mean_ms: total_ms / count, total_ms };
            (count > 0.0).then_some(share)
        })
        .collect();
    shares.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
    shares.truncate(SHOWN);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_listed_by_what_they_took() {
        let before = parse("# HELP x\nreserve_ms_sum 10\nreserve_ms_count 5\norders_total 3\n");
        let after = parse(
            "reserve_ms_sum 40\nreserve_ms_count 15\n\
             sql_seconds_sum{service=\"orders\"} 0.1\nsql_seconds_count{service=\"orders\"} 50\n",
        );
        let shares = shares(Some(before), Some(after));
        let seen: Vec<_> = shares.iter().map(|s| (s.name.as_str(), s.count)).collect();
        assert_eq!(seen, [("sql_seconds{service=\"orders\"}", 50), ("reserve_ms", 10)]);
        assert!((shares[1].mean_ms - 3.0).abs() < 1e-9);
    }
}
