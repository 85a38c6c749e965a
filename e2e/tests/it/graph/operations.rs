//! Every operation of the graph beside its form over REST, asked so that asking
//! changes nothing: the inputs of what would are wrong on purpose.

use e2e::api::{Answer, Api};
use reqwest::Method;
use serde_json::{Value, json};

use super::ask;
use crate::fresh_key;

/// An id that nothing has.
pub const NOBODY: &str = "0199aaaa-0000-7000-8000-000000000001";
/// What every caller may do.
pub const ALL: &str = "ogsmpOA";
const OPERATORS: &str = "OA";
const MERCHANTS: &str = "mA";
const LETTERS: &str = "/admin/dead-letters";
const EDGES: &str = "{ edges { node { __typename } } }";

/// What the operations are about; the order is canceled, the payment an intent.
pub struct Scene {
    pub order: String,
    pub sku: String,
    pub product: String,
    pub payment: String,
    /// Who placed the order and made the payment.
    pub owner: String,
    /// A guest's token, as a browser has it in its cookie.
    pub guest: String,
}

/// One operation in both languages. `{fresh}` in what is sent becomes a word that
/// nobody used before.
#[derive(Clone)]
pub struct Operation {
    /// The root field; with what follows it, when there are several ways to ask.
    pub field: &'static str,
    method: Method,
    path: String,
    if_match: Option<&'static str>,
    body: Option<Value>,
    /// Variables as a document declares them; each is the argument of its name.
    types: &'static str,
    variables: Value,
    selection: &'static str,
    /// Who may: o(wner), g(uest who does not own it), s(hopper who does not),
    /// m(erchant), p(artner), O(perator), A(dmin).
    pub allowed: &'static str,
    /// It is about something that does not exist: 404 bars nobody.
    pub of_nothing: bool,
}

/// How an operation ended, the same word for both languages.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// A stable code, `done`, or `nothing` where there is no such thing.
    pub word: String,
    /// "You may not", or "there is no such thing".
    pub barred: bool,
    pub nothing: bool,
}

impl Operation {
    fn new(field: &'static str, allowed: &'static str, method: Method, path: String) -> Self {
        Operation {
            field,
            method,
            path: format!("/api/v1{path}"),
            if_match: None,
            body: None,
            types: "",
            variables: json!({}),
            selection: "{ __typename ... on Refusal { code } }",
            allowed,
            of_nothing: false,
        }
    }

    pub fn post(
        field: &'static str,
        allowed: &'static str,
        path: impl Into<String>,
        body: Value,
    ) -> Self {
        Operation { body: Some(body), ..Self::new(field, allowed, Method::POST, path.into()) }
    }

    pub fn put(
        field: &'static str,
        allowed: &'static str,
        path: impl Into<String>,
        body: Value,
    ) -> Self {
        Operation { body: Some(body), ..Self::new(field, allowed, Method::PUT, path.into()) }
    }

    pub fn delete(field: &'static str, allowed: &'static str, path: impl Into<String>) -> Self {
        Self::new(field, allowed, Method::DELETE, path.into())
    }

    fn get(
        field: &'static str,
        allowed: &'static str,
        path: impl Into<String>,
        selection: &'static str,
    ) -> Self {
        Operation { selection, ..Self::new(field, allowed, Method::GET, path.into()) }
    }

    pub fn asks(self, types: &'static str, variables: Value) -> Self {
        Operation { types, variables, ..self }
    }

    pub fn if_match(self, tag: &'static str) -> Self {
        Operation { if_match: Some(tag), ..self }
    }

    pub fn of_nothing(self) -> Self {
        Operation { of_nothing: true, ..self }
    }

    fn document(&self) -> String {
        let kind = if self.method == Method::GET { "query" } else { "mutation" };
        let names = self.types.split(", ").filter(|one| !one.is_empty());
        let names = names.filter_map(|one| one.split(':').next());
        let given: Vec<_> =
            names.map(|name| format!("{}: {name}", name.trim_start_matches('$'))).collect();
        let (declared, given) = match given.is_empty() {
            true => (String::new(), String::new()),
            false => (format!("({})", self.types), format!("({})", given.join(", "))),
        };
        let root = root_of(self.field);
        format!("{kind} A{declared} {{ done: {root}{given} {} }}", self.selection)
    }

    /// The operation by REST and by the graph.
    pub async fn both(&self, api: &Api) -> anyhow::Result<(Outcome, Outcome)> {
        let key = fresh_key();
        let mut headers = vec![("Idempotency-Key", key.as_str())];
        headers.extend(self.if_match.map(|tag| ("If-Match", tag)));
        let body = self.body.as_ref().map(refreshed).transpose()?;
        let rest = api.send(self.method.clone(), &self.path, &headers, body.as_ref()).await?;
        let mut variables = refreshed(&self.variables)?;
        if self.types.contains("$idempotencyKey") {
            variables["idempotencyKey"] = json!(fresh_key());
        }
        let graph = ask(api, &self.document(), variables).await?;
        assert_eq!(graph.status, 200, "{}: {}", self.field, graph.body);
        Ok((by_rest(&rest), by_graph(&graph)))
    }
}

/// `product` of `product prices`.
pub fn root_of(field: &str) -> &str {
    field.split(' ').next().unwrap_or(field)
}

fn refreshed(value: &Value) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&value.to_string().replace("{fresh}", &fresh_key()))?)
}

fn by_rest(answer: &Answer) -> Outcome {
    let done = answer.status.is_success();
    Outcome {
        word: if done { "done".to_owned() } else { answer.code() },
        barred: matches!(answer.status.as_u16(), 401 | 403 | 404),
        nothing: answer.status == 404,
    }
}

fn by_graph(answer: &Answer) -> Outcome {
    let said = answer.json();
    let (error, done) = (&said["errors"][0]["extensions"], &said["data"]["done"]);
    let status = error["status"].as_u64();
    let nothing = (status.is_none() && done.is_null()) || done["__typename"] == "NotFound";
    let word = error["code"].as_str().or(done["code"].as_str());
    let word = word.unwrap_or(if done.is_null() { "nothing" } else { "done" });
    Outcome {
        word: word.to_owned(),
        barred: nothing || matches!(status, Some(401 | 403 | 404)),
        nothing: nothing || status == Some(404),
    }
}

pub fn all(scene: &Scene) -> Vec<Operation> {
    [of_orders(scene), of_payments(scene), of_carts(scene), of_the_shop(scene), of_letters()]
        .into_iter()
        .flatten()
        .chain(of_people(scene))
        .collect()
}

const CARD: &str = "tok_declined";

fn of_orders(scene: &Scene) -> Vec<Operation> {
    let order = &scene.order;
    let empty = json!({ "lines": [], "email": "ada@example.org", "shippingAddress": {
        "name": "Ada", "line1": "1 Road", "city": "Springfield", "postalCode": "62701",
        "region": "IL", "country": "US" } });
    let card = json!({ "type": "card", "token": CARD });
    let reason = "changed my mind";
    let refund = json!({ "orderId": order, "reason": "broken" });
    vec![
        Operation::post("placeOrder", ALL, "/orders", empty.clone())
            .asks("$input: PlaceOrderInput!, $idempotencyKey: String!", json!({ "input": empty })),
        Operation::post(
            "payOrder",
            "o",
            format!("/orders/{order}/pay"),
            json!({ "paymentMethod": card }),
        )
        .asks(
            "$id: ID!, $paymentMethod: PaymentMethodInput!, $idempotencyKey: String!",
            json!({ "id": order, "paymentMethod": card }),
        ),
        Operation::post(
            "cancelOrder",
            "omA",
            format!("/orders/{order}/cancel"),
            json!({ "reason": reason }),
        )
        .asks("$id: ID!, $reason: String!", json!({ "id": order, "reason": reason })),
        Operation::post("refundOrder", MERCHANTS, "/payments/refund", refund.clone()).asks(
            "$input: RefundOrderInput!, $idempotencyKey: String!",
            json!({ "input": refund }),
        ),
        Operation::get("order", "omA", format!("/orders/{order}"), "{ status }")
            .asks("$id: ID!", json!({ "id": order })),
        Operation::get("orders", ALL, "/orders?first=1", EDGES)
            .asks("$first: Int", json!({ "first": 1 })),
    ]
}

fn of_payments(scene: &Scene) -> Vec<Operation> {
    let payment = &scene.payment;
    let card = json!({ "type": "card", "token": CARD });
    let path = |what: &str| format!("/payments/{payment}/{what}");
    vec![
        Operation::post(
            "createPaymentIntent",
            ALL,
            "/payments/intent",
            json!({ "amount": -5, "currency": "USD" }),
        )
        .asks(
            "$input: PaymentIntentInput!, $idempotencyKey: String!",
            json!({ "input": { "amount": "-5.00", "currency": "USD" } }),
        ),
        Operation::post(
            "confirmPayment",
            "omA",
            "/payments/confirm",
            json!({ "paymentId": payment, "paymentMethod": card }),
        )
        .asks(
            "$id: ID!, $input: ConfirmPaymentInput!, $idempotencyKey: String!",
            json!({ "id": payment, "input": { "paymentMethod": card } }),
        ),
        Operation::post("capturePayment", MERCHANTS, path("capture"), json!({}))
            .asks("$id: ID!, $idempotencyKey: String!", json!({ "id": payment })),
        Operation::post("voidPayment", MERCHANTS, path("void"), json!({ "reason": "" })).asks(
            "$id: ID!, $reason: String!, $idempotencyKey: String!",
            json!({ "id": payment, "reason": "" }),
        ),
        Operation::post("refundPayment", MERCHANTS, path("refunds"), json!({ "reason": "broken" }))
            .asks(
                "$id: ID!, $reason: String!, $idempotencyKey: String!",
                json!({ "id": payment, "reason": "broken" }),
            ),
        Operation::get("payment", "omA", format!("/payments/{payment}"), "{ status }")
            .asks("$id: ID!", json!({ "id": payment })),
    ]
}

fn of_carts(scene: &Scene) -> Vec<Operation> {
    let unknown = json!({ "sku": "NO-SUCH-SKU", "qty": 1 });
    let item = format!("/cart/items/{NOBODY}");
    let token = json!({ "guestToken": scene.guest });
    vec![
        Operation::post("addCartItem", ALL, "/cart/items", unknown.clone())
            .asks("$input: AddCartItemInput!", json!({ "input": unknown })),
        Operation::put("changeCartItem", ALL, item.clone(), json!({ "qty": 1 }))
            .asks("$itemId: ID!, $qty: Int!", json!({ "itemId": NOBODY, "qty": 1 }))
            .of_nothing(),
        Operation::delete("removeCartItem", ALL, item)
            .asks("$itemId: ID!", json!({ "itemId": NOBODY }))
            .of_nothing(),
        Operation::delete("clearCart", ALL, "/cart"),
        Operation::post("mergeCart", "osmpOA", "/cart/merge", token.clone())
            .asks("$guestToken: String!", token),
        Operation::get("cart", ALL, "/cart", "{ id }"),
    ]
}

fn of_the_shop(scene: &Scene) -> Vec<Operation> {
    let (sku, product) = (&scene.sku, &scene.product);
    let at = |what: &str| format!("/products/{product}{what}");
    let of_sku = |what: &str| format!("/inventory/{sku}/{what}");
    let id = || json!({ "id": product });
    let empty = json!({ "title": "", "description": "", "categories": [], "status": "DRAFT",
        "variants": [] });
    let count = json!({ "delta": 0, "reason": "COUNT", "expectedOnHand": 1 });
    let mut of_it = count.clone();
    of_it["sku"] = json!(sku);
    vec![
        Operation::post("createProduct", MERCHANTS, "/products", empty.clone())
            .asks("$input: ProductInput!", json!({ "input": empty })),
        Operation::put("updateProduct", MERCHANTS, at(""), empty.clone())
            .asks(
                "$id: ID!, $input: ProductInput!, $version: Int!",
                json!({ "id": product, "input": empty, "version": 99 }),
            )
            .if_match("\"v99\""),
        Operation::delete("archiveProduct", MERCHANTS, at(""))
            .asks("$id: ID!, $version: Int!", json!({ "id": product, "version": 99 }))
            .if_match("\"v99\""),
        Operation::post("adjustStock", MERCHANTS, of_sku("adjustments"), count)
            .asks("$input: AdjustStockInput!", json!({ "input": of_it })),
        Operation::get("product", ALL, at(""), "{ title }").asks("$id: ID!", id()),
        Operation::get("product prices", MERCHANTS, at("/prices"), "{ prices { __typename } }")
            .asks("$id: ID!", id()),
        Operation::get("products", ALL, "/products?first=1", "{ title }")
            .asks("$filter: ProductFilter", json!({ "filter": { "first": 1 } })),
        Operation::get("productsConnection", ALL, "/products?first=1", EDGES)
            .asks("$first: Int", json!({ "first": 1 })),
        Operation::get("categories", ALL, "/categories?first=1", EDGES)
            .asks("$first: Int", json!({ "first": 1 })),
        Operation::get("productInventory", ALL, at("/inventory"), "{ availability }")
            .asks("$id: ID!", id()),
        Operation::get("stock", MERCHANTS, of_sku("stock"), "{ onHand }")
            .asks("$sku: String!", json!({ "sku": sku })),
        Operation::get("stockLedger", MERCHANTS, of_sku("ledger"), EDGES)
            .asks("$sku: String!", json!({ "sku": sku })),
        Operation::get("warehouses", MERCHANTS, "/inventory/warehouses", EDGES),
        Operation::get("affectedOrders", MERCHANTS, "/inventory/affected-orders", EDGES),
    ]
}

fn of_letters() -> Vec<Operation> {
    let letter = |what: &str| format!("{LETTERS}/{NOBODY}{what}");
    let redrive = |what: &str| format!("{LETTERS}/redrives/{NOBODY}{what}");
    let why = || json!({ "reason": "looked into it" });
    let asked = || json!({ "id": NOBODY, "reason": "looked into it" });
    let id = || json!({ "id": NOBODY });
    let first = || json!({ "first": 1 });
    let everything = json!({ "selection": {} });
    vec![
        Operation::post("deleteDeadLetter", OPERATORS, letter("/delete"), why())
            .asks("$id: ID!, $reason: String!", asked())
            .of_nothing(),
        Operation::post("restoreDeadLetter", OPERATORS, letter("/restore"), why())
            .asks("$id: ID!, $reason: String", asked())
            .of_nothing(),
        Operation::post("redriveDeadLetter", OPERATORS, letter("/redrive"), why())
            .asks("$id: ID!, $reason: String", asked())
            .of_nothing(),
        Operation::post(
            "planRedrive",
            OPERATORS,
            format!("{LETTERS}/redrives"),
            everything.clone(),
        )
        .asks("$input: PlanRedriveInput!", json!({ "input": everything })),
        Operation::post("changeRedrive", OPERATORS, redrive("/pause"), why())
            .asks(
                "$id: ID!, $action: RedriveAction!, $reason: String",
                json!({ "id": NOBODY, "action": "PAUSE", "reason": "looked into it" }),
            )
            .of_nothing(),
        Operation::get("deadLetters", OPERATORS, format!("{LETTERS}?first=1"), EDGES)
            .asks("$first: Int", first()),
        Operation::get("deadLetterGroups", OPERATORS, format!("{LETTERS}/groups"), "{ count }"),
        Operation::get("deadLetterContent", OPERATORS, letter(""), "{ key }")
            .asks("$id: ID!", id())
            .of_nothing(),
        Operation::get("redrives", OPERATORS, format!("{LETTERS}/redrives?first=1"), EDGES)
            .asks("$first: Int", first()),
        Operation::get("redrive", OPERATORS, redrive(""), "{ id }")
            .asks("$id: ID!", id())
            .of_nothing(),
        Operation::get("redriveItems", OPERATORS, redrive("/items"), EDGES)
            .asks("$redrive: ID!", json!({ "redrive": NOBODY }))
            .of_nothing(),
    ]
}

fn of_people(scene: &Scene) -> Vec<Operation> {
    let nowhere = json!({ "email": "nowhere", "password": "a long password", "firstName": "Eve",
        "lastName": "L" });
    let owner = &scene.owner;
    vec![
        Operation::post("registerUser", ALL, "/users/register", nowhere.clone())
            .asks("$input: RegisterUserInput!", json!({ "input": nowhere })),
        Operation::get("user", "omA", format!("/users/{owner}"), "{ email }")
            .asks("$id: ID!", json!({ "id": owner })),
        Operation::get("auditEntries", OPERATORS, "/admin/audit?first=1", EDGES)
            .asks("$first: Int", json!({ "first": 1 })),
    ]
}
