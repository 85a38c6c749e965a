//! A client of one subgraph.

use serde_json::{Value, json};

use super::{Client, Live, TestAnswer, TestRequest};
use crate::Service;
use crate::graphql::Subgraph;

/// Asks a subgraph as the router would.
#[derive(Clone)]
pub struct Graph {
    client: Client,
    authorization: Option<String>,
}

/// What came back: the whole document.
#[derive(Clone, Debug)]
pub struct GraphAnswer(pub Value);

impl Graph {
    /// Over the subgraph of `service`, without any credential.
    ///
    /// # Panics
    /// When the service has no subgraph.
    pub fn of(service: &Service) -> Self {
        let Some(subgraph) = &service.graph else { panic!("{} has no subgraph", service.name) };
        Graph::over(subgraph.clone())
    }

    /// Over any subgraph.
    pub fn over(subgraph: Subgraph) -> Self {
        Graph { client: Client::over(subgraph.router), authorization: None }
    }

    /// The same for the bearer of `token`.
    pub fn bearer(&self, token: &str) -> Self {
        Graph { authorization: Some(format!("Bearer {token}")), ..self.clone() }
    }

    /// The same for the holder of an order's token.
    pub fn order_token(&self, token: &str) -> Self {
        Graph { authorization: Some(format!("Order {token}")), ..self.clone() }
    }

    /// Sends a document; its answer as it came.
    pub async fn send(&self, query: &str, variables: Value) -> TestAnswer {
        self.request("application/graphql-response+json", query, variables).send().await
    }

    /// Subscribes as the router does.
    pub async fn subscribe(&self, query: &str, variables: Value) -> Live {
        let accept = "multipart/mixed;subscriptionSpec=\"1.0\", text/event-stream";
        Live::over(self.request(accept, query, variables).open().await)
    }

    fn request(&self, accept: &str, query: &str, variables: Value) -> TestRequest {
        let request = self
            .client
            .post("/")
            .header("accept", accept)
            .json(&json!({"query": query, "variables": variables}));
        match &self.authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    }

    /// Asks; the document was well-formed.
    #[track_caller]
    pub fn ask(&self, query: &str, variables: Value) -> impl Future<Output = GraphAnswer> + use<> {
        let (graph, query) = (self.clone(), query.to_owned());
        async move { GraphAnswer(graph.send(&query, variables).await.expect(200).value()) }
    }

    /// Asks for entities by their representations, selecting `fields`.
    pub async fn entities(&self, representations: Value, fields: &str) -> Vec<Value> {
        let query = format!(
            "query($r: [_Any!]!) {{ _entities(representations: $r) {{ __typename {fields} }} }}"
        );
        let data = self.ask(&query, json!({"r": representations})).await.data();
        data["_entities"].as_array().cloned().unwrap_or_default()
    }
}

impl GraphAnswer {
    /// The data of an answer without errors.
    #[track_caller]
    pub fn data(self) -> Value {
        assert!(self.0["errors"].is_null(), "{}", self.0);
        self.0["data"].clone()
    }

    /// The codes of its errors.
    pub fn codes(&self) -> Vec<String> {
        let errors = self.0["errors"].as_array().cloned().unwrap_or_default();
        let code = |e: &Value| e["extensions"]["code"].as_str().unwrap_or_default().to_owned();
        errors.iter().map(code).collect()
    }
}
