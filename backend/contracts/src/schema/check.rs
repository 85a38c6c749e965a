//! Checks a payload against its schema.
//!
//! Knows the keywords that schemas made from our types use, and refuses a
//! schema with any other, so that none is passed over in silence.

use serde_json::{Map, Value};
use shared_types::Timestamp;

/// Keywords that only describe.
const SILENT: &[&str] = &[
    "$schema",
    "$id",
    "$defs",
    "title",
    "description",
    "default",
    "deprecated",
    "x-topic",
    "x-key",
    "x-producer",
];
/// References deeper than this are a circle.
const MAX_DEPTH: usize = 64;

/// Every way in which `value` does not fit `schema`, each with its place.
pub fn errors(schema: &Value, value: &Value) -> Vec<String> {
    let mut check = Check { root: schema, errors: Vec::new() };
    check.value(schema, value, "payload", 0);
    check.errors
}

/// Refuses a payload that does not fit, saying where.
pub fn text(schema: &Value, payload: &str) -> Result<(), String> {
    let value: Value = serde_json::from_str(payload).map_err(|e| e.to_string())?;
    let errors = errors(schema, &value);
    if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
}

struct Check<'a> {
    root: &'a Value,
    errors: Vec<String>,
}

impl Check<'_> {
    fn fits(&self, schema: &Value, value: &Value, depth: usize) -> bool {
        let mut trial = Check { root: self.root, errors: Vec::new() };
        trial.value(schema, value, "", depth);
        trial.errors.is_empty()
    }

    fn value(&mut self, schema: &Value, value: &Value, place: &str, depth: usize) {
        let Value::Object(schema) = schema else {
            if *schema == Value::Bool(false) {
                self.errors.push(format!("{place} is not allowed"));
            }
            return;
        };
        if depth > MAX_DEPTH {
            self.errors.push(format!("{place} is nested too deeply"));
            return;
        }
        for (keyword, wanted) in schema {
            self.keyword(schema, keyword, wanted, value, place, depth + 1);
        }
    }

    fn keyword(
        &mut self,
        schema: &Map<String, Value>,
        keyword: &str,
        wanted: &Value,
        value: &Value,
        place: &str,
        depth: usize,
    ) {
        let branches = || wanted.as_array().into_iter().flatten();
        match keyword {
            "$ref" => match self.resolve(wanted) {
                Some(target) => self.value(&target, value, place, depth),
                None => self.errors.push(format!("{place}: {wanted} leads nowhere")),
            },
            "type" if !is_of(wanted, value) => {
                self.errors.push(format!("{place} is {} instead of {wanted}", kind(value)));
            }
            "enum" if !branches().any(|word| word == value) => {
                self.errors.push(format!("{place} is {value}, which is none of {wanted}"));
            }
            "const" if wanted != value => {
                self.errors.push(format!("{place} is {value} instead of {wanted}"));
            }
            "format" => self.format(wanted, value, place),
            "minimum" if value.as_f64() < wanted.as_f64() && value.is_number() => {
                self.errors.push(format!("{place} is {value}, below {wanted}"));
            }
            "maximum" if value.as_f64() > wanted.as_f64() => {
                self.errors.push(format!("{place} is {value}, above {wanted}"));
            }
            "required" => self.required(wanted, value, place),
            "properties" => self.properties(wanted, value, place, depth),
            "additionalProperties" => self.additional(schema, wanted, value, place, depth),
            "propertyNames" => {
                for name in value.as_object().into_iter().flat_map(Map::keys) {
                    self.value(wanted, &Value::from(name.as_str()), place, depth);
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.value(wanted, item, &format!("{place}[{index}]"), depth);
                }
            }
            "allOf" => branches().for_each(|part| self.value(part, value, place, depth)),
            "oneOf" | "anyOf" => {
                let fitting = branches().filter(|part| self.fits(part, value, depth)).count();
                if fitting == 0 || (keyword == "oneOf" && fitting > 1) {
                    self.errors.push(format!("{place} fits {fitting} of {keyword}"));
                }
            }
            "type" | "enum" | "const" | "minimum" | "maximum" => {}
            other if SILENT.contains(&other) => {}
            other => self.errors.push(format!("{place}: the keyword {other:?} is unknown here")),
        }
    }

    fn resolve(&self, reference: &Value) -> Option<Value> {
        self.root.pointer(reference.as_str()?.strip_prefix('#')?).cloned()
    }

    fn required(&mut self, wanted: &Value, value: &Value, place: &str) {
        let Value::Object(object) = value else { return };
        for name in wanted.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(name) {
                self.errors.push(format!("{place}.{name} is missing"));
            }
        }
    }

    fn properties(&mut self, wanted: &Value, value: &Value, place: &str, depth: usize) {
        let Value::Object(object) = value else { return };
        for (name, schema) in wanted.as_object().into_iter().flatten() {
            if let Some(value) = object.get(name) {
                self.value(schema, value, &format!("{place}.{name}"), depth);
            }
        }
    }

    fn additional(
        &mut self,
        schema: &Map<String, Value>,
        wanted: &Value,
        value: &Value,
        place: &str,
        depth: usize,
    ) {
        let known = schema.get("properties").and_then(Value::as_object);
        for (name, value) in value.as_object().into_iter().flatten() {
            if known.is_none_or(|known| !known.contains_key(name)) {
                self.value(wanted, value, &format!("{place}.{name}"), depth);
            }
        }
    }

    fn format(&mut self, wanted: &Value, value: &Value, place: &str) {
        let Value::String(text) = value else { return };
        let good = match wanted.as_str() {
            Some("uuid") => uuid::Uuid::parse_str(text).is_ok(),
            Some("date-time") => text.parse::<Timestamp>().is_ok(),
            _ => true,
        };
        if !good {
            self.errors.push(format!("{place} is no {}", wanted.as_str().unwrap_or_default()));
        }
    }
}

fn is_of(wanted: &Value, value: &Value) -> bool {
    match wanted {
        Value::Array(any) => any.iter().any(|one| is_of(one, value)),
        Value::String(word) => match word.as_str() {
            "integer" => value.is_i64() || value.is_u64(),
            word => kind(value) == word,
        },
        _ => false,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["id", "lines"],
            "properties": {
                "id": {"type": "string", "format": "uuid"},
                "note": {"type": ["string", "null"]},
                "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
            },
            "$defs": {"Line": {
                "type": "object",
                "required": ["qty"],
                "properties": {"qty": {"type": "integer"}, "kind": {"type": "string", "enum": ["a", "b"]}},
            }},
        })
    }

    #[test]
    fn what_fits_has_no_errors_and_unknown_fields_are_welcome() {
        let id = uuid::Uuid::nil().to_string();
        let value = json!({"id": id, "note": null, "lines": [{"qty": 2, "kind": "a"}], "new": 1});
        assert_eq!(errors(&schema(), &value), [""; 0]);
    }

    #[test]
    fn every_error_is_named_with_its_place() {
        let value = json!({"id": "7", "note": 3, "lines": [{"qty": 1.5}, {"kind": "c"}]});
        let mut found = errors(&schema(), &value);
        found.sort();
        assert_eq!(
            found,
            [
                "payload.id is no uuid",
                "payload.lines[0].qty is number instead of \"integer\"",
                "payload.lines[1].kind is \"c\", which is none of [\"a\",\"b\"]",
                "payload.lines[1].qty is missing",
                "payload.note is number instead of [\"string\",\"null\"]",
            ]
        );
    }

    #[test]
    fn a_keyword_nobody_checks_is_an_error() {
        let found = errors(&json!({"multipleOf": 2}), &json!(3));
        assert_eq!(found, ["payload: the keyword \"multipleOf\" is unknown here"]);
    }
}
