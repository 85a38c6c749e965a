//! The other events of an aggregate, read from the event log around a letter.

use platform::consumer::RawMessage;
use shared_types::operations::Neighbour;

use crate::App;
use crate::store::letters::Letter;

/// Records looked at on either side of the letter's place.
const SPAN: i64 = 200;
const MAX_NEIGHBOURS: usize = 50;

/// Messages of the same key; none when the log does not answer soon, or when
/// the letter never lay in it.
pub async fn of(app: &App, letter: &Letter) -> Vec<Neighbour> {
    let summary = &letter.summary;
    if summary.partition < 0 || contracts::topics::find(&summary.topic).is_none() {
        return Vec::new();
    }
    let broker = &app.ctx.config.ground.broker;
    let place = (summary.topic.as_str(), summary.partition, summary.offset);
    match platform::kafka::around(broker, "operations", place, SPAN).await {
        Ok(records) => records
            .iter()
            .filter(|record| record.key == letter.key && record.offset != summary.offset)
            .take(MAX_NEIGHBOURS)
            .map(neighbour)
            .collect(),
        Err(error) => {
            tracing::debug!(error = format!("{error:#}"), "no look around a dead letter");
            Vec::new()
        }
    }
}

fn neighbour(record: &RawMessage) -> Neighbour {
    let value: serde_json::Value = serde_json::from_slice(&record.value).unwrap_or_default();
    let text = |name: &str| value.get(name).and_then(serde_json::Value::as_str);
    Neighbour {
        offset: record.offset,
        event_id: text("eventId").and_then(|t| t.parse().ok()),
        event_type: text("eventType").unwrap_or_default().chars().take(300).collect(),
        aggregate_version: value.get("aggregateVersion").and_then(serde_json::Value::as_i64),
        occurred_at: text("occurredAt").and_then(|t| t.parse().ok()),
    }
}
