//! Fine rules about people, written in Rego and evaluated in process.
//!
//! The same file works in an OPA server. Whatever is not a clear `true` is a
//! refusal: an error, a rule that is undefined for the input, another type.

use anyhow::Context as _;
use regorus::{Engine, Value};
use serde::Serialize;

/// A compiled policy with one question. Cheap enough to ask per request.
#[derive(Clone)]
pub struct Policy {
    /// Compiled; cloned per question, because answers are remembered in it.
    engine: Engine,
    rule: String,
}

impl Policy {
    /// Compiles `source` for the question `rule`, such as
    /// `data.bellavista.orders.cancel.allow`. Fails when the source is no Rego
    /// or has no such rule.
    pub fn new(name: &str, source: &str, rule: &str) -> anyhow::Result<Self> {
        let mut engine = Engine::new();
        let package = engine
            .add_policy(name.to_owned(), source.to_owned())
            .with_context(|| format!("policy {name}"))?;
        anyhow::ensure!(
            rule.strip_prefix(&package).is_some_and(|rest| rest.starts_with('.')),
            "policy {name}: {rule} is not in {package}"
        );
        let policy = Policy { engine, rule: rule.to_owned() };
        // Finds an unknown rule now instead of as an endless refusal.
        policy.evaluate(&serde_json::Value::Object(Default::default()))?;
        Ok(policy)
    }

    /// Whether the policy says yes to `input`.
    pub fn allows(&self, input: &impl Serialize) -> bool {
        match self.evaluate(input) {
            Ok(value) => value == Value::from(true),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(rule = self.rule, error, "a policy failed: refused");
                false
            }
        }
    }

    fn evaluate(&self, input: &impl Serialize) -> anyhow::Result<Value> {
        let mut engine = self.engine.clone();
        engine.set_input_json(&serde_json::to_string(input)?)?;
        engine.eval_rule(self.rule.clone())
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Policy({})", self.rule)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(body: &str) -> anyhow::Result<Policy> {
        let source = format!("package t\nimport rego.v1\n{body}");
        Policy::new("t.rego", &source, "data.t.allow")
    }

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        let strict = policy("allow if input.n == 1").unwrap();
        assert!(strict.allows(&json!({ "n": 1 })));
        assert!(!strict.allows(&json!({ "n": 2 })), "undefined");
        assert!(!strict.allows(&json!({})));
        let text = policy("allow := \"true\"").unwrap();
        assert!(!text.allows(&json!({})), "another type");
        let torn = policy("allow := 1 if input.n\nallow := true if input.n").unwrap();
        assert!(!torn.allows(&json!({ "n": true })), "an error");
    }

    #[test]
    fn what_is_no_policy_is_refused_at_once() {
        assert!(policy("allow if {").is_err());
        assert!(policy("deny := true").is_err(), "no such rule");
        assert!(Policy::new("t", "package t\nallow := true", "data.u.allow").is_err());
    }
}
