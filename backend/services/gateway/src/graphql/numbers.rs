//! Whole numbers: an `Int` has 32 bits. The router passes longer ones on, and a
//! service notices only when it comes to answer that very field.

use std::collections::HashMap;

use async_graphql_parser::Positioned;
use async_graphql_parser::types::{
    BaseType, InputObjectType, InputValueDefinition, OperationDefinition,
};
use async_graphql_value::{ConstValue, Value};
use serde_json::{Map, Value as Json};

use super::Refusal;

/// Named types by the name of what they are given to: arguments, fields of inputs.
pub type Given = HashMap<String, String>;

/// The input objects of the schema.
#[derive(Default)]
pub struct Inputs(HashMap<String, Given>);

/// What the named things are of, lists or not.
pub fn given(definitions: &[Positioned<InputValueDefinition>]) -> Given {
    let one = |definition: &Positioned<InputValueDefinition>| {
        let InputValueDefinition { name, ty, .. } = &definition.node;
        (name.node.to_string(), named(&ty.node.base).to_owned())
    };
    definitions.iter().map(one).collect()
}

fn named(mut base: &BaseType) -> &str {
    loop {
        match base {
            BaseType::Named(name) => return name,
            BaseType::List(inner) => base = &inner.base,
        }
    }
}

impl Inputs {
    pub fn add(&mut self, name: String, input: &InputObjectType) {
        self.0.insert(name, given(&input.fields));
    }

    /// Refuses a value for a type whose numbers are longer than the type's.
    pub fn check(&self, value: &Value, of: &str) -> Result<(), Refusal> {
        if self.fit(value, of) {
            return Ok(());
        }
        let detail = "An Int is a whole number of at most 32 bits.";
        Err(Refusal::document("BAD_USER_INPUT", detail))
    }

    /// The same for the variables of an operation, and what they are by default.
    pub fn check_variables(
        &self,
        operation: &OperationDefinition,
        variables: &Map<String, Json>,
    ) -> Result<(), Refusal> {
        for variable in &operation.variable_definitions {
            let variable = &variable.node;
            let of = named(&variable.var_type.node.base);
            if of != "Int" && !self.0.contains_key(of) {
                continue;
            }
            let default = variable.default_value.as_ref().map(|value| value.node.clone());
            let told = variables.get(variable.name.node.as_str());
            let told = told.and_then(|told| ConstValue::from_json(told.clone()).ok());
            for value in default.into_iter().chain(told) {
                self.check(&value.into_value(), of)?;
            }
        }
        Ok(())
    }

    fn fit(&self, value: &Value, of: &str) -> bool {
        match value {
            Value::Number(number) if of == "Int" => {
                number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
            }
            Value::List(values) => values.iter().all(|value| self.fit(value, of)),
            Value::Object(fields) => fields.iter().all(|(name, value)| {
                let inner = self.0.get(of).and_then(|input| input.get(name.as_str()));
                inner.is_none_or(|inner| self.fit(value, inner))
            }),
            // A variable in it has a type of its own.
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql_parser::parse_query;
    use async_graphql_parser::types::{DocumentOperations, TypeKind, TypeSystemDefinition};
    use serde_json::json;

    use super::*;

    fn inputs() -> Inputs {
        let text = "input Page { first: Int, then: [Page!], units: Long }";
        let mut inputs = Inputs::default();
        for definition in async_graphql_parser::parse_schema(text).unwrap().definitions {
            let TypeSystemDefinition::Type(kind) = definition else { continue };
            let TypeKind::InputObject(input) = &kind.node.kind else { continue };
            inputs.add(kind.node.name.node.to_string(), input);
        }
        inputs
    }

    #[test]
    fn an_int_has_32_bits_wherever_it_stands_and_a_long_has_more() {
        let value = |json: Json| ConstValue::from_json(json).unwrap().into_value();
        let inputs = inputs();
        for (json, fits) in [
            (json!({ "first": 7, "units": 1_i64 << 40 }), true),
            (json!({ "first": null, "unknown": 1_i64 << 40 }), true),
            (json!({ "first": 2_147_483_648_i64 }), false),
            (json!({ "then": [{ "first": 1 }, { "first": -2_147_483_649_i64 }] }), false),
            (json!({ "first": 1.5 }), false),
        ] {
            assert_eq!(inputs.check(&value(json.clone()), "Page").is_ok(), fits, "{json}");
        }
    }

    #[test]
    fn variables_are_looked_at_and_so_is_what_they_are_by_default() {
        let checked = |text: &str, variables: Json| {
            let document = parse_query(text).unwrap();
            let DocumentOperations::Single(operation) = document.operations else { return false };
            let variables = variables.as_object().unwrap();
            inputs().check_variables(&operation.node, variables).is_ok()
        };
        let text = "query ($n: Int, $p: Page) { a }";
        assert!(checked(text, json!({ "n": 1, "p": { "first": 2 } })));
        assert!(!checked(text, json!({ "n": 1_i64 << 31 })));
        assert!(!checked(text, json!({ "p": { "then": { "first": 1_i64 << 31 } } })));
        assert!(!checked("query ($n: Int = 2147483648) { a }", json!({})));
    }
}
