//! What a document costs: how deep, how wide, how many fields once its pages are
//! full and its other lists of the usual length.

use std::collections::HashMap;

use anyhow::Context as _;
use async_graphql_parser::types::{
    BaseType, Field, OperationDefinition, OperationType, Selection, SelectionSet, TypeKind,
    TypeSystemDefinition,
};
use async_graphql_parser::{Positioned, types::Directive, types::FieldDefinition};
use async_graphql_value::{Name, Value};
use platform::paging::DEFAULT_PAGE;
use serde_json::{Map, Value as Json};

use super::Refusal;
use super::config::GraphqlConfig;
use super::document::{Document, too_deep};
use super::numbers::{self, Given, Inputs};

/// How long a list counts that is not paged. Some may be longer, such as the items
/// of an order: what an answer may hold in all is limited by its bytes.
const USUAL_LENGTH: u64 = 10;
/// Spreads and fields within one another, so that fragments in a circle end.
const MAX_NESTING: usize = 60;
/// Fields and spreads looked at of one document: fragments can multiply without end.
const MAX_VISITS: usize = 10_000;

/// What is needed of the public schema.
pub struct Schema {
    types: HashMap<String, HashMap<String, Shape>>,
    inputs: Inputs,
    query: String,
    mutation: String,
    subscription: String,
}

/// What a field gives.
struct Shape {
    of: String,
    list: bool,
    /// Takes a page's length, itself or in its filter.
    paged: bool,
    arguments: Given,
}

/// What was counted.
#[derive(Debug, Default)]
pub struct Size {
    pub complexity: u64,
    pub aliases: usize,
    pub directives: usize,
    pub root_fields: usize,
    /// At the top: directives, and fields that every type has.
    root_directives: usize,
    root_meta_fields: usize,
    pub asks_for_the_schema: bool,
}

impl Size {
    /// Whether there is exactly one field at the top, and always there.
    fn is_one_subscription(&self) -> bool {
        self.root_fields == 1 && self.root_directives == 0 && self.root_meta_fields == 0
    }
}

impl Schema {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let document = async_graphql_parser::parse_schema(text).context("the public schema")?;
        let (mut types, mut inputs) = (HashMap::new(), Inputs::default());
        let (mut query, mut mutation) = ("Query".to_owned(), "Mutation".to_owned());
        let mut subscription = "Subscription".to_owned();
        for definition in document.definitions {
            match definition {
                TypeSystemDefinition::Schema(schema) => {
                    let named = |root: Option<Positioned<Name>>| root.map(|n| n.node.to_string());
                    query = named(schema.node.query).unwrap_or(query);
                    mutation = named(schema.node.mutation).unwrap_or(mutation);
                    subscription = named(schema.node.subscription).unwrap_or(subscription);
                }
                TypeSystemDefinition::Type(kind) => {
                    let name = kind.node.name.node.to_string();
                    let fields = match kind.node.kind {
                        TypeKind::Object(object) => object.fields,
                        TypeKind::Interface(interface) => interface.fields,
                        TypeKind::InputObject(input) => {
                            inputs.add(name, &input);
                            continue;
                        }
                        _ => continue,
                    };
                    types.insert(name, fields.into_iter().map(shape).collect());
                }
                TypeSystemDefinition::Directive(_) => {}
            }
        }
        Ok(Schema { types, inputs, query, mutation, subscription })
    }

    /// Counts `operation` and refuses what goes beyond `limits`.
    pub fn measure(
        &self,
        document: &Document,
        operation: &OperationDefinition,
        variables: &Map<String, Json>,
        limits: &GraphqlConfig,
    ) -> Result<Size, Refusal> {
        let root = match operation.ty {
            OperationType::Query => &self.query,
            OperationType::Mutation => &self.mutation,
            OperationType::Subscription => &self.subscription,
        };
        let mut walk = Walk {
            schema: self,
            document,
            operation,
            variables,
            limits,
            size: Size::default(),
            visits: 0,
        };
        self.inputs.check_variables(operation, variables)?;
        let place = Place { of: Some(root), depth: 1, nesting: 1, in_connection: false };
        walk.directives(&operation.directives, place)?;
        walk.size.complexity = walk.selections(&operation.selection_set, place)?;
        if operation.ty == OperationType::Subscription && !walk.size.is_one_subscription() {
            let detail = "A subscription has one field at its top, and no directive on it.";
            return Err(Refusal::document("graph.one_subscription", detail));
        }
        if walk.size.complexity > limits.max_complexity {
            return Err(too_costly(limits));
        }
        Ok(walk.size)
    }
}

fn shape(field: Positioned<FieldDefinition>) -> (String, Shape) {
    let field = field.node;
    let (mut list, mut base) = (false, &field.ty.node.base);
    let of = loop {
        match base {
            BaseType::Named(name) => break name.to_string(),
            BaseType::List(inner) => (list, base) = (true, &inner.base),
        }
    };
    let paged = field
        .arguments
        .iter()
        .any(|argument| matches!(argument.node.name.node.as_str(), "first" | "last" | "filter"));
    let arguments = numbers::given(&field.arguments);
    let list = list || of_pages(&field.ty.node.base);
    (field.name.node.to_string(), Shape { of, list, paged, arguments })
}

/// Whether a type is a Relay connection: its field is where the page is counted.
fn of_pages(base: &BaseType) -> bool {
    matches!(base, BaseType::Named(name) if name.ends_with("Connection"))
}

struct Walk<'a> {
    schema: &'a Schema,
    document: &'a Document,
    operation: &'a OperationDefinition,
    variables: &'a Map<String, Json>,
    limits: &'a GraphqlConfig,
    size: Size,
    visits: usize,
}

/// Where in the document the walk is.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The type whose fields are selected, when it is known.
    of: Option<&'a str>,
    depth: usize,
    nesting: usize,
    /// The page was counted one level up.
    in_connection: bool,
}

impl<'a> Walk<'a> {
    fn selections(
        &mut self,
        set: &'a Positioned<SelectionSet>,
        place: Place<'a>,
    ) -> Result<u64, Refusal> {
        if place.nesting > MAX_NESTING || place.depth > self.limits.max_depth {
            return Err(too_deep());
        }
        let mut sum = 0_u64;
        for selection in &set.node.items {
            self.visits += 1;
            if self.visits > MAX_VISITS {
                return Err(too_costly(self.limits));
            }
            let inner = Place { nesting: place.nesting + 1, ..place };
            let cost = match &selection.node {
                Selection::Field(field) => self.field(&field.node, place)?,
                Selection::InlineFragment(fragment) => {
                    self.directives(&fragment.node.directives, place)?;
                    let on = fragment.node.type_condition.as_ref();
                    let of = on.map(|on| on.node.on.node.as_str()).or(place.of);
                    self.selections(&fragment.node.selection_set, Place { of, ..inner })?
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(&spread.node.directives, place)?;
                    // One that is nowhere is the router's to name.
                    match self.document.fragment(&spread.node.fragment_name.node) {
                        Some(fragment) => {
                            let of = Some(fragment.type_condition.node.on.node.as_str());
                            self.selections(&fragment.selection_set, Place { of, ..inner })?
                        }
                        None => 0,
                    }
                }
            };
            sum = sum.saturating_add(cost);
        }
        Ok(sum)
    }

    fn field(&mut self, field: &'a Field, place: Place<'a>) -> Result<u64, Refusal> {
        let name = field.name.node.as_str();
        if field.alias.is_some() {
            self.size.aliases += 1;
            at_most(
                self.size.aliases,
                self.limits.max_aliases,
                "graph.too_many_aliases",
                "aliases",
            )?;
        }
        if place.depth == 1 {
            self.size.root_fields += 1;
            let limit = self.limits.max_root_fields;
            at_most(self.size.root_fields, limit, "graph.too_many_fields", "fields at its top")?;
            self.size.root_meta_fields += usize::from(name.starts_with("__"));
        }
        self.directives(&field.directives, place)?;
        let shape = place.of.and_then(|of| self.schema.types.get(of)).and_then(|t| t.get(name));
        if let Some(shape) = shape {
            self.numbers(field, shape)?;
        }
        let of_the_schema = matches!(name, "__schema" | "__type");
        self.size.asks_for_the_schema |= of_the_schema;
        // How deep the schema may be asked for is the router's to say, where it may.
        if of_the_schema || field.selection_set.node.items.is_empty() {
            return Ok(1);
        }
        let times = match shape {
            Some(shape) if place.in_connection && shape.list && !shape.paged => 1,
            Some(shape) if shape.paged => self.page(field).unwrap_or(DEFAULT_PAGE.unsigned_abs()),
            Some(shape) if shape.list => USUAL_LENGTH,
            _ => 1,
        };
        let of = shape.map(|shape| shape.of.as_str());
        let inner = Place {
            of,
            depth: place.depth + 1,
            nesting: place.nesting + 1,
            in_connection: of.is_some_and(|of| of.ends_with("Connection")),
        };
        let below = self.selections(&field.selection_set, inner)?;
        Ok(below.saturating_mul(times).saturating_add(1))
    }

    fn numbers(&self, field: &Field, shape: &Shape) -> Result<(), Refusal> {
        for (name, value) in &field.arguments {
            if let Some(of) = shape.arguments.get(name.node.as_str()) {
                self.schema.inputs.check(&value.node, of)?;
            }
        }
        Ok(())
    }

    fn directives(
        &mut self,
        directives: &[Positioned<Directive>],
        place: Place<'_>,
    ) -> Result<(), Refusal> {
        self.size.directives += directives.len();
        if place.depth == 1 {
            self.size.root_directives += directives.len();
        }
        let limit = self.limits.max_directives;
        at_most(self.size.directives, limit, "graph.too_many_directives", "directives")
    }

    /// The length of the page that a field asks for.
    fn page(&self, field: &Field) -> Option<u64> {
        let of = |wanted: &str| {
            field.arguments.iter().find(|(name, _)| name.node == wanted).map(|(_, v)| &v.node)
        };
        let given = of("first").or_else(|| of("last")).and_then(|value| self.number(value));
        given.or_else(|| match of("filter")? {
            Value::Object(filter) => self.number(filter.get("first")?),
            Value::Variable(name) => self.variable(name)?.get("first")?.as_u64(),
            _ => None,
        })
    }

    fn number(&self, value: &Value) -> Option<u64> {
        match value {
            Value::Number(number) => number.as_u64(),
            Value::Variable(name) => self.variable(name)?.as_u64(),
            _ => None,
        }
    }

    /// A variable's value, or its default.
    fn variable(&self, name: &Name) -> Option<Json> {
        if let Some(given) = self.variables.get(name.as_str()) {
            return Some(given.clone());
        }
        let declared = self.operation.variable_definitions.iter();
        let declared = declared.map(|one| &one.node).find(|one| one.name.node == *name)?;
        declared.default_value.as_ref()?.node.clone().into_json().ok()
    }
}

fn at_most(count: usize, limit: usize, code: &'static str, what: &str) -> Result<(), Refusal> {
    if count <= limit {
        return Ok(());
    }
    Err(Refusal::document(code, format!("The document has more than {limit} {what}.")))
}

fn too_costly(limits: &GraphqlConfig) -> Refusal {
    let detail = format!(
        "The document may give more than {} fields; ask for shorter lists or fewer fields.",
        limits.max_complexity
    );
    Refusal::document("graph.too_costly", detail)
}
