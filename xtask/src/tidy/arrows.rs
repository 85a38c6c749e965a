//! Arrows inside the code: who may call what.

use super::{
    Finding, Tree,
    source::{Source, has_word, identifiers, segments},
};

/// Words of the trade, which the ground must not know.
const BUSINESS: [&str; 16] = [
    "cart",
    "carts",
    "sku",
    "skus",
    "product",
    "products",
    "catalog",
    "checkout",
    "payment",
    "payments",
    "refund",
    "refunds",
    "invoice",
    "coupon",
    "warehouse",
    "inventory",
];
const IMPURE: [&str; 17] = [
    "sqlx",
    "axum",
    "tonic",
    "rdkafka",
    "tokio",
    "async_graphql",
    "reqwest",
    "async fn",
    "async move",
    "await",
    "now_utc",
    "SystemTime",
    "Instant::now",
    "rand::",
    "now_v7",
    "new_v4",
    "std::fs",
];
const PRODUCERS: [&str; 5] =
    ["rdkafka::producer", "FutureProducer", "BaseProducer", "ThreadedProducer", "BaseRecord"];
const ENVIRONMENT: [&str; 6] =
    ["env::var", "env::var_os", "env::vars", "env::vars_os", "env::set_var", "env::remove_var"];
const MONEY: [&str; 7] = ["amount", "price", "prices", "money", "minor", "subtotal", "revenue"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.rust {
        if source.path.starts_with("xtask/") {
            continue;
        }
        for (number, line) in source.product_lines() {
            for (wrong, mend) in line_faults(source, line) {
                findings.push(Finding::new(&source.path, number, wrong, mend));
            }
        }
        findings.extend(business_literals(source));
    }
    findings
}

type Fault = (String, &'static str);

fn line_faults(source: &Source, line: &str) -> Vec<Fault> {
    let path = source.path.as_str();
    let mut faults = Vec::new();
    if let Some(word) = business_word(path, line) {
        faults.push((format!("the platform knows the business word `{word}`"), PLATFORM_MEND));
    }
    if is_domain(path) {
        for impure in IMPURE.iter().filter(|impure| contains(line, impure)) {
            faults.push((
                format!("domain code uses `{impure}`"),
                "the domain decides from values alone; hand in what it needs and do the rest in the command",
            ));
        }
    }
    if is_transport(path) && (line.contains("crate::store") || line.contains("super::store")) {
        faults.push((
            "transport reaches into the store".to_owned(),
            "go through a command or a query; transport only translates",
        ));
    }
    if !may_read_environment(path) && ENVIRONMENT.iter().any(|call| has_word(line, call)) {
        faults.push((
            "the environment is read outside the configuration".to_owned(),
            "add a documented knob to the crate's config module and pass its value",
        ));
    }
    // A bench fills the event log of a shop of its own before it measures.
    let fills_a_log = path == "proofs/src/bench/replay.rs";
    if !path.starts_with("backend/platform/")
        && !fills_a_log
        && PRODUCERS.iter().any(|name| has_word(line, name))
    {
        faults.push((
            "a raw Kafka producer outside the platform".to_owned(),
            "append to the outbox on the business transaction",
        ));
    }
    if (has_word(line, "f32") || has_word(line, "f64")) && speaks_of_money(line) {
        faults.push((
            "money in a float".to_owned(),
            "use shared_types::Money or minor units in an i64",
        ));
    }
    if !may_spawn(path) && (has_word(line, "tokio::spawn") || has_word(line, "task::spawn")) {
        faults.push((
            "a background task outside the lifecycle".to_owned(),
            "use the lifecycle's spawner, so that draining waits for it and its failure is seen",
        ));
    }
    faults
}

const PLATFORM_MEND: &str =
    "take it as a parameter, or move the code to the service that owns the word";

fn contains(line: &str, word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ' ');
    if plain { has_word(line, word) } else { line.contains(word) }
}

fn business_word(path: &str, line: &str) -> Option<String> {
    if !path.starts_with("backend/platform/src/") {
        return None;
    }
    // HTTP's 402 has a name of its own.
    identifiers(line)
        .filter(|name| !name.eq_ignore_ascii_case("payment_required"))
        .flat_map(segments)
        .find(|word| BUSINESS.contains(&word.as_str()))
}

fn business_literals(source: &Source) -> Vec<Finding> {
    source
        .literals
        .iter()
        .filter(|literal| !literal.in_test)
        .filter_map(|literal| {
            let word = business_word(&source.path, &literal.text)?;
            let wrong = format!("the platform knows the business word `{word}`");
            Some(Finding::new(&source.path, literal.line, wrong, PLATFORM_MEND))
        })
        .collect()
}

fn inside_service(path: &str) -> Option<&str> {
    path.strip_prefix("backend/services/")?.split_once("/src/").map(|(_, rest)| rest)
}

fn is_domain(path: &str) -> bool {
    inside_service(path).is_some_and(|rest| rest == "domain.rs" || rest.starts_with("domain/"))
}

fn is_transport(path: &str) -> bool {
    inside_service(path).is_some_and(|rest| {
        ["rest", "grpc", "graph", "soap", "ws"].iter().any(|kind| {
            rest.strip_prefix(kind).is_some_and(|tail| tail == ".rs" || tail.starts_with('/'))
        })
    })
}

/// The ground reads the engines' surroundings (who am I, where is PostgreSQL)
/// in its own `config`; proofs are programs for people.
fn may_read_environment(path: &str) -> bool {
    path.starts_with("proofs/")
        || path.contains("/config/")
        || path.ends_with("/config.rs")
        || path.ends_with("/build.rs")
}

/// The supervisor keeps its handle and awaits it: a child engine outlives the
/// services whose lifecycle this is. A batch of the graph is awaited by the
/// requests that asked for it.
fn may_spawn(path: &str) -> bool {
    path.starts_with("backend/platform/src/lifecycle")
        || path == "backend/platform/src/engines/supervisor.rs"
        || path == "backend/platform/src/graphql/batch.rs"
        || path.starts_with("proofs/")
}

fn speaks_of_money(line: &str) -> bool {
    identifiers(line).flat_map(segments).any(|word| MONEY.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tests::tree;

    fn faults(path: &str, text: &str) -> Vec<String> {
        check(&tree(&[(path, text)])).into_iter().map(|finding| finding.wrong).collect()
    }

    #[test]
    fn the_platform_may_not_know_the_trade() {
        let found =
            faults("backend/platform/src/outbox.rs", "fn f(cart_id: u8) {}\nlet s = \"a refund\";");
        assert_eq!(found.len(), 2);
        assert!(faults("backend/platform/src/outbox.rs", "fn order_by_id() {} // cart").is_empty());
        assert!(faults("backend/services/cart/src/rest.rs", "fn f(cart_id: u8) {}").is_empty());
    }

    #[test]
    fn the_domain_is_pure() {
        for text in ["use sqlx::PgPool;", "async fn f() {}", "let now = OffsetDateTime::now_utc();"]
        {
            assert_eq!(
                faults("backend/services/orders/src/domain/order.rs", text).len(),
                1,
                "{text}"
            );
            assert!(faults("backend/services/orders/src/commands/a.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn transport_does_not_reach_into_the_store() {
        let text = "use crate::store::orders;";
        assert_eq!(faults("backend/services/orders/src/rest.rs", text).len(), 1);
        assert_eq!(faults("backend/services/orders/src/grpc/a.rs", text).len(), 1);
        assert!(faults("backend/services/orders/src/queries.rs", text).is_empty());
    }

    #[test]
    fn only_the_configuration_reads_the_environment() {
        let text = "let x = std::env::var(\"X\");";
        assert_eq!(faults("backend/services/orders/src/rest.rs", text).len(), 1);
        assert!(faults("backend/services/orders/src/config.rs", text).is_empty());
        assert!(faults("backend/services/orders/tests/it/main.rs", text).is_empty());
        assert!(
            faults("backend/services/orders/src/rest.rs", "env!(\"CARGO_PKG_NAME\")").is_empty()
        );
    }

    #[test]
    fn events_leave_through_the_outbox_only() {
        let text = "use rdkafka::producer::FutureProducer;";
        assert_eq!(faults("backend/services/orders/src/consumers.rs", text).len(), 1);
        assert!(faults("backend/platform/src/relay.rs", text).is_empty());
    }

    #[test]
    fn money_is_never_a_float() {
        assert_eq!(faults("shared-types/src/a.rs", "pub struct A { unit_price: f64 }").len(), 1);
        assert!(faults("shared-types/src/a.rs", "pub struct A { seconds: f64 }").is_empty());
    }

    #[test]
    fn background_tasks_belong_to_the_lifecycle() {
        let text = "tokio::spawn(work());";
        assert_eq!(faults("backend/services/orders/src/sagas.rs", text).len(), 1);
        assert!(faults("backend/platform/src/lifecycle.rs", text).is_empty());
        let test = format!("#[cfg(test)]\nmod tests {{\n{text}\n}}\n");
        assert!(faults("backend/services/orders/src/sagas.rs", &test).is_empty());
        assert!(
            faults("backend/services/orders/src/sagas.rs", "tokio::task::spawn_blocking(f)")
                .is_empty()
        );
    }
}
