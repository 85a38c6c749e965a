//! Identity's part of the graph.

use platform::testing::{self, Bench, Graph, Statements};
use serde_json::{Value, json};
use shared_types::{Role, UserId};

use crate::SETTINGS;

async fn house() -> (Bench, Graph) {
    let bench = testing::house("identity", &identity::MIGRATIONS, SETTINGS).await;
    let service = identity::build(bench.ctx.clone()).unwrap();
    (bench, Graph::of(&service))
}

const REGISTER: &str = "mutation($input: RegisterUserInput!, $key: String) {
    registerUser(input: $input, idempotencyKey: $key) { __typename
        ... on UserRegistered { user { userId email roles } }
        ... on InvalidInput { fields { field } } ... on Refusal { code } } }";

fn person(email: &str) -> Value {
    json!({"email": email, "password": "a long password", "firstName": "Ada", "lastName": "L"})
}

async fn register(graph: &Graph, input: Value, key: Option<&str>) -> Value {
    graph.ask(REGISTER, json!({"input": input, "key": key})).await.data()["registerUser"].clone()
}

#[tokio::test]
async fn an_account_is_made_once_and_refused_as_over_rest() {
    let (_bench, graph) = house().await;
    let key = Some("a-key-of-its-own-1");
    let made = register(&graph, person("Ada@Example.org"), key).await;
    assert_eq!(made["user"]["email"], "ada@example.org");
    assert_eq!(made["user"]["roles"], json!(["CUSTOMER"]));
    assert_eq!(register(&graph, person("Ada@Example.org"), key).await, made);
    let taken = register(&graph, person("ada@example.org"), None).await;
    assert_eq!(taken, json!({"__typename": "Conflict", "code": "identity.email_taken"}));
    let mut wrong = person("nobody");
    wrong["password"] = json!("short");
    let refused = register(&graph, wrong, None).await;
    assert_eq!(refused["fields"], json!([{"field": "email"}, {"field": "password"}]));
    let mut admin = person("eve@example.org");
    admin["roles"] = json!(["ADMIN"]);
    let answer = graph.ask(REGISTER, json!({"input": admin})).await;
    assert_eq!(answer.codes(), ["auth.role_missing"]);
}

#[tokio::test]
async fn people_see_themselves_support_sees_all_and_others_see_nobody() {
    let (bench, graph) = house().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        let made = register(&graph, person(&format!("p{n}@example.org")), None).await;
        ids.push(made["user"]["userId"].as_str().unwrap().to_owned());
    }
    let id: UserId = ids[0].parse().unwrap();
    let own = graph.bearer(&bench.token_for_user(id, &[Role::Customer]));
    let support = graph.bearer(&bench.token_for_user(bench.id(), &[Role::Support]));
    let other = graph.bearer(&bench.token_for_user(bench.id(), &[Role::Customer]));
    let me = own.ask("{ me { id userId firstName email } }", json!({})).await.data();
    assert_eq!(me["me"]["id"], format!("User:{id}"));
    let guest = graph.bearer(&bench.guest_token(bench.id()));
    assert_eq!(guest.ask("{ me { id } }", json!({})).await.data()["me"], Value::Null);
    assert_eq!(graph.ask("{ me { id } }", json!({})).await.codes(), ["auth.invalid_token"]);
    let query = "query($id: ID!) { user(id: $id) { email } }";
    for (graph, seen) in [(&own, true), (&support, true), (&other, false), (&guest, false)] {
        let data = graph.ask(query, json!({"id": ids[0]})).await.data();
        assert_eq!(!data["user"].is_null(), seen);
    }
    let asked: Vec<_> =
        ids.iter().map(|i| json!({"__typename": "User", "id": format!("User:{i}")})).collect();
    let counted = Statements::counted();
    let found = support.entities(json!(asked), "... on User { email }").await;
    assert!(found.iter().all(|u| u["email"].is_string()));
    assert_eq!(counted.take(), 1);
    let found = own.entities(json!(asked), "... on User { email }").await;
    assert_eq!(found.iter().filter(|u| !u.is_null()).count(), 1);
}
