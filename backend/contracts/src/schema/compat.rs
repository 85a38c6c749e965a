//! Whether a schema only grew.
//!
//! Old messages stay in the log for ever and old readers run beside new ones,
//! so a type may gain optional fields and nothing else; what is more than that
//! is a new version of the event beside the old one.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

const MAX_DEPTH: usize = 64;

/// What in `new` breaks readers or messages of `old`, one sentence each.
pub fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut both = Both { old, new, found: Vec::new() };
    for mark in ["x-topic", "x-key"] {
        if let (Some(was), Some(is)) = (old.get(mark), new.get(mark))
            && was != is
        {
            both.found.push(format!("{} changed from {was} to {is}", &mark[2..]));
        }
    }
    both.compare(old, new, "payload", 0);
    both.found
}

struct Both<'a> {
    old: &'a Value,
    new: &'a Value,
    found: Vec<String>,
}

impl Both<'_> {
    fn compare(&mut self, old: &Value, new: &Value, place: &str, depth: usize) {
        let (old, new) = (follow(self.old, old), follow(self.new, new));
        if depth > MAX_DEPTH {
            return;
        }
        let (was, is) = (shape(old), shape(new));
        if was != is {
            self.found.push(format!("{place} was {was} and is now {is}"));
            return;
        }
        self.words(old, new, place);
        self.required(old, new, place);
        let none = Map::new();
        let properties = |v: &Value| v.get("properties").and_then(Value::as_object).cloned();
        let (before, after) = (properties(old), properties(new));
        let after = after.as_ref().unwrap_or(&none);
        for (name, schema) in before.iter().flatten() {
            match after.get(name) {
                Some(now) => self.compare(schema, now, &format!("{place}.{name}"), depth + 1),
                None => self.found.push(format!("{place}.{name} was removed or renamed")),
            }
        }
        for (keyword, suffix) in [("items", "[]"), ("additionalProperties", ".*")] {
            if let (Some(a), Some(b)) = (old.get(keyword), new.get(keyword)) {
                self.compare(a, b, &format!("{place}{suffix}"), depth + 1);
            }
        }
        self.branches(old, new, place, depth);
    }

    fn required(&mut self, old: &Value, new: &Value, place: &str) {
        let (before, after) = (list(old, "required"), list(new, "required"));
        for name in after.difference(&before) {
            let why = "messages without it are in the log";
            self.found.push(format!("{place}.{name} is newly required: {why}"));
        }
        for name in before.difference(&after) {
            // Removal is said once, by its own sentence.
            if new.pointer(&format!("/properties/{name}")).is_some() {
                let why = "older readers rely on it";
                self.found.push(format!("{place}.{name} is required no longer: {why}"));
            }
        }
    }

    fn words(&mut self, old: &Value, new: &Value, place: &str) {
        let (before, after) = (list(old, "enum"), list(new, "enum"));
        for word in before.difference(&after) {
            self.found.push(format!("{place} no longer knows the word {word:?}"));
        }
        for word in after.difference(&before) {
            let why = "older readers do not know it";
            self.found.push(format!("{place} has the new word {word:?}: {why}"));
        }
    }

    fn branches(&mut self, old: &Value, new: &Value, place: &str, depth: usize) {
        for keyword in ["oneOf", "anyOf", "allOf"] {
            let part = |v: &Value| v.get(keyword).and_then(Value::as_array).cloned();
            let (before, after) = (part(old).unwrap_or_default(), part(new).unwrap_or_default());
            if before.len() != after.len() {
                let (was, is) = (before.len(), after.len());
                self.found.push(format!("{place} had {was} forms and has {is}"));
            }
            for (a, b) in before.iter().zip(&after) {
                self.compare(a, b, place, depth + 1);
            }
        }
    }
}

fn follow<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..MAX_DEPTH {
        let reference = schema.get("$ref").and_then(Value::as_str);
        match reference.and_then(|r| r.strip_prefix('#')).and_then(|r| root.pointer(r)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// Type and format in words.
fn shape(schema: &Value) -> String {
    let mut kinds: Vec<String> = match schema.get("type") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(any)) => {
            any.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    kinds.sort();
    let kinds = if kinds.is_empty() { "of any type".to_owned() } else { kinds.join(" or ") };
    match schema.get("format").and_then(Value::as_str) {
        Some(format) => format!("{kinds} ({format})"),
        None => kinds,
    }
}

fn list(schema: &Value, keyword: &str) -> BTreeSet<String> {
    let words = schema.get(keyword).and_then(Value::as_array).into_iter().flatten();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order() -> Value {
        json!({
            "x-topic": "ecommerce.order.order",
            "type": "object",
            "required": ["orderId", "items"],
            "properties": {
                "orderId": {"type": "string", "format": "uuid"},
                "cartId": {"type": ["string", "null"]},
                "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
            },
            "$defs": {"Item": {
                "type": "object",
                "required": ["qty"],
                "properties": {"qty": {"type": "integer"}, "kind": {"type": "string", "enum": ["a", "b"]}},
            }},
        })
    }

    fn after(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut new = order();
        change(&mut new);
        breaks(&order(), &new)
    }

    #[test]
    fn a_type_may_gain_optional_fields() {
        let found = after(|v| {
            v["properties"]["note"] = json!({"type": ["string", "null"]});
            v["$defs"]["Item"]["properties"]["gift"] = json!({"type": "boolean"});
            v["description"] = json!("other words");
        });
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_renamed_field_is_named() {
        let found = after(|v| {
            let item = &mut v["$defs"]["Item"];
            item["properties"] =
                json!({"quantity": {"type": "integer"}, "kind": item["properties"]["kind"]});
            item["required"] = json!([]);
        });
        assert_eq!(found, ["payload.items[].qty was removed or renamed"]);
    }

    #[test]
    fn another_type_is_named_with_both() {
        let found = after(|v| v["$defs"]["Item"]["properties"]["qty"] = json!({"type": "string"}));
        assert_eq!(found, ["payload.items[].qty was integer and is now string"]);
        let found = after(|v| v["properties"]["cartId"]["type"] = json!("string"));
        assert_eq!(found, ["payload.cartId was null or string and is now string"]);
    }

    #[test]
    fn neither_more_nor_fewer_fields_may_be_required() {
        let found = after(|v| v["required"] = json!(["orderId", "items", "cartId"]));
        assert_eq!(found, ["payload.cartId is newly required: messages without it are in the log"]);
        let found = after(|v| v["required"] = json!(["orderId"]));
        assert_eq!(found, ["payload.items is required no longer: older readers rely on it"]);
    }

    #[test]
    fn words_and_topics_stay() {
        let found = after(|v| v["$defs"]["Item"]["properties"]["kind"]["enum"] = json!(["a", "c"]));
        assert_eq!(
            found,
            [
                "payload.items[].kind no longer knows the word \"b\"",
                "payload.items[].kind has the new word \"c\": older readers do not know it",
            ]
        );
        let found = after(|v| v["x-topic"] = json!("ecommerce.cart.cart"));
        assert_eq!(
            found,
            ["topic changed from \"ecommerce.order.order\" to \"ecommerce.cart.cart\""]
        );
    }
}
