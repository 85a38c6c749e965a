//! What an edited copy may change.

use std::collections::BTreeMap;

use platform::validate::Checks;
use serde_json::Value;

/// Members of the envelope by which others know a message.
const IDENTITY: &[&str] = &[
    "eventId",
    "eventType",
    "partitionKey",
    "aggregateId",
    "aggregateVersion",
    "producer",
    "tenant",
    "traceId",
    "correlationId",
];
/// Larger ones would not travel.
const MAX_VALUE_BYTES: usize = 900_000;
const MAX_HEADERS: usize = 32;
const MAX_HEADER_CHARS: usize = 4_096;

/// Headers that say what a message is, where it failed and who may see it.
pub fn is_locked(header: &str) -> bool {
    let name = header.to_ascii_lowercase();
    let ours = ["x-dlq-", "x-redrive-", "x-outbox-", "x-bv-", "ce_", "ce-"];
    ours.iter().any(|prefix| name.starts_with(prefix))
        || matches!(name.as_str(), "traceparent" | "tracestate" | "content-type")
        || is_secret(&name)
}

/// Headers whose values nobody is shown.
pub fn is_secret(header: &str) -> bool {
    let name = header.to_ascii_lowercase();
    let words = ["authorization", "cookie", "token", "secret", "password", "api-key", "apikey"];
    words.iter().any(|word| name.contains(word))
}

/// The headers of the copy; what is wrong is noted in `checks`.
pub fn headers(
    original: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
    checks: &mut Checks,
) -> BTreeMap<String, String> {
    let mut headers = original.clone();
    for (name, value) in wanted {
        let field = format!("headers.{name}");
        if original.get(name) == Some(value) {
            continue;
        }
        let plain = |text: &str| text.chars().all(|c| !c.is_control());
        if is_locked(name) {
            checks.fail(field, "locked", "cannot be changed");
        } else if name.is_empty() || name.len() > 200 || !name.is_ascii() || !plain(name) {
            checks.fail(field, "invalid", "must be 1 to 200 visible ASCII characters");
        } else if value.chars().count() > MAX_HEADER_CHARS || !plain(value) {
            checks.fail(field, "invalid", "must be at most 4096 characters without controls");
        } else if value.is_empty() {
            headers.remove(name);
        } else {
            headers.insert(name.clone(), value.clone());
        }
    }
    let free = headers.keys().filter(|name| !is_locked(name)).count();
    checks.ensure(free <= MAX_HEADERS, "headers", "too_many", "may be at most 32 headers");
    headers
}

/// The value of the copy; what is wrong is noted in `checks`.
pub fn value(original: &[u8], wanted: &str, checks: &mut Checks) {
    if wanted.len() > MAX_VALUE_BYTES {
        return checks.fail("value", "too_large", "may be at most 900000 bytes");
    }
    let Ok(Value::Object(new)) = serde_json::from_str::<Value>(wanted) else {
        return checks.fail("value", "invalid", "must be an event: a JSON object");
    };
    // What was no event has no identity to keep.
    let Ok(Value::Object(old)) = serde_json::from_slice::<Value>(original) else { return };
    for name in IDENTITY {
        if old.get(*name).is_some_and(|was| new.get(*name) != Some(was)) {
            checks.fail(format!("value.{name}"), "locked", "cannot be changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_of_a_message_stays() {
        let mut checks = Checks::new();
        value(
            br#"{"eventId":"1","payload":{"a":1}}"#,
            r#"{"eventId":"1","payload":{}}"#,
            &mut checks,
        );
        value(b"nonsense", r#"{"eventId":"2"}"#, &mut checks);
        assert!(checks.is_empty());
        value(br#"{"eventId":"1"}"#, r#"{"eventId":"2"}"#, &mut checks);
        value(b"{}", "[]", &mut checks);
        let fields: Vec<_> = checks.into_errors().into_iter().map(|e| e.field).collect();
        assert_eq!(fields, ["value.eventId", "value"]);
    }

    #[test]
    fn sensitive_headers_are_locked_and_others_are_free() {
        let original: BTreeMap<_, _> =
            [("ce_id", "1"), ("x-team", "a"), ("Authorization", "Bearer x")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into();
        let mut checks = Checks::new();
        let wanted = [("x-team", ""), ("x-new", "b"), ("ce_id", "1")];
        let made =
            headers(&original, &wanted.map(|(k, v)| (k.into(), v.into())).into(), &mut checks);
        assert!(checks.is_empty() && !made.contains_key("x-team") && made["x-new"] == "b");
        let wanted = [("ce_id", "2"), ("authorization", "y"), ("x-dlq-topic", "z")];
        headers(&original, &wanted.map(|(k, v)| (k.into(), v.into())).into(), &mut checks);
        assert_eq!(checks.into_errors().len(), 3);
    }
}
