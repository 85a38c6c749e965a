//! Operations' part of the graph.

use platform::testing::Graph;
use serde_json::{Value, json};
use shared_types::{OrderId, Role, UserId};

use crate::{House, house};

impl House {
    fn anybody(&self) -> Graph {
        Graph::over(self.subgraph.clone())
    }

    fn graph(&self, roles: &[Role]) -> Graph {
        let token = self.bench.token_for_user(self.bench.id::<UserId>(), roles);
        self.anybody().bearer(&token)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_shows_no_table() {
    let house = house().await;
    let subgraph = &house.subgraph;
    for table in ["dead_letters", "redrive_items", "audit_facts"] {
        assert!(!subgraph.sdl.contains(table), "{table} leaks");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_listed_grouped_and_opened_for_operators_only() {
    let house = house().await;
    let order: OrderId = house.bench.id();
    let letter = house.dies(&house.paid(order)).await;
    house.dies(&house.confirmation(order)).await;
    let list = "query($f: DeadLetterFilter, $n: Int) { deadLetters(filter: $f, first: $n) {
        nodes { letterId state consumer aboutMoney amount { amount } order { id } }
        pageInfo { hasNextPage } } deadLetterGroups { count moneyAtRisk { amount currency } } }";
    let operator = house.graph(&[Role::Operator]);
    let seen = operator.ask(list, json!({"n": 1})).await.data();
    assert_eq!(seen["deadLetters"]["pageInfo"]["hasNextPage"], true);
    assert_eq!(seen["deadLetterGroups"]["count"], 2);
    assert_eq!(
        seen["deadLetterGroups"]["moneyAtRisk"],
        json!([{"amount": "129.50", "currency": "USD"}])
    );
    let about = json!({"f": {"orderId": format!("Order:{order}"), "states": ["OPEN"]}});
    let seen = operator.ask(list, about).await.data();
    let nodes = seen["deadLetters"]["nodes"].as_array().unwrap().clone();
    assert_eq!(nodes.len(), 2);
    let paid = nodes.iter().find(|n| n["letterId"] == json!(letter)).unwrap();
    assert_eq!((&paid["aboutMoney"], &paid["amount"]["amount"]), (&json!(true), &json!("129.50")));
    assert_eq!(paid["order"]["id"], format!("Order:{order}"));
    let wrong = operator.ask(list, json!({"f": {"orderId": "nothing"}})).await;
    assert_eq!(wrong.codes(), ["request.query"]);

    let content = "query($id: ID!) { deadLetterContent(id: $id) { value headers { name value }
        dryRun { passes } letter { letterId } } }";
    let opened = operator.ask(content, json!({"id": format!("DeadLetter:{letter}")})).await.data();
    let opened = &opened["deadLetterContent"];
    assert_eq!(opened["letter"]["letterId"], json!(letter));
    let secret =
        opened["headers"].as_array().unwrap().iter().find(|h| h["name"] == "authorization");
    assert_eq!(secret.unwrap()["value"], "***");
    assert!(house.audited(&letter).await.iter().any(|a| a.contains("view")), "it was seen");
    let unknown = operator.ask(content, json!({"id": "x"})).await.data();
    assert_eq!(unknown["deadLetterContent"], Value::Null);

    for (graph, code) in [
        (house.anybody(), "auth.invalid_token"),
        (house.graph(&[Role::Support]), "auth.role_missing"),
    ] {
        for query in [
            "{ deadLetters { nodes { letterId } } }",
            "{ deadLetterGroups { count } }",
            "{ redrives { nodes { id } } }",
            "{ auditEntries { nodes { hash } } }",
            "{ redrive(id: \"x\") { id } }",
            "{ redriveItems(redrive: \"x\") { nodes { position } } }",
        ] {
            assert_eq!(graph.ask(query, json!({})).await.codes(), [code], "{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redrives_are_planned_and_refused_as_over_rest() {
    let house = house().await;
    let operator = house.graph(&[Role::Operator]);
    let letter = house.dies(&house.paid(house.bench.id())).await;
    let plan = "mutation($input: PlanRedriveInput!) { planRedrive(input: $input) { __typename
        ... on RedriveChanged { redrive { id state plan { messages aboutMoney } progress { total } } }
        ... on InvalidInput { fields { field } } ... on Refusal { code } } }";
    let ask = async |input: Value| {
        operator.ask(plan, json!({"input": input})).await.data()["planRedrive"].clone()
    };
    let without = ask(json!({"selection": {"all": true}})).await;
    assert_eq!(without["fields"], json!([{"field": "reason"}]), "money needs a reason: {without}");
    let input = json!({"selection": {"ids": [format!("DeadLetter:{letter}")]}, "reason": "mended"});
    let planned = ask(input).await;
    assert_eq!(planned["redrive"]["plan"], json!({"messages": 1, "aboutMoney": 1}), "{planned}");
    let id = planned["redrive"]["id"].clone();
    let act = "mutation($id: ID!) { changeRedrive(id: $id, action: PAUSE) { __typename
        ... on Refusal { code } } }";
    let refused = operator.ask(act, json!({"id": id})).await.data();
    assert_eq!(refused["changeRedrive"]["code"], "redrives.state");
    let listed =
        operator.ask("{ redrives(first: 5) { nodes { id state } } }", json!({})).await.data();
    assert_eq!(listed["redrives"]["nodes"], json!([{"id": id, "state": "PLANNED"}]));

    let delete = "mutation($id: ID!, $why: String!) { deleteDeadLetter(id: $id, reason: $why) {
        __typename ... on DeadLetterChanged { letter { state } } ... on Refusal { code } } }";
    let gone = operator.ask(delete, json!({"id": letter, "why": "a duplicate"})).await.data();
    assert_eq!(gone["deleteDeadLetter"]["letter"]["state"], "DELETED", "{gone}");
    let unknown = operator.ask(delete, json!({"id": "x", "why": "a duplicate"})).await.data();
    assert_eq!(unknown["deleteDeadLetter"]["code"], "dead_letters.unknown");
    let answer =
        house.graph(&[Role::Customer]).ask(delete, json!({"id": letter, "why": "x"})).await;
    assert_eq!(answer.codes(), ["auth.role_missing"]);
}
