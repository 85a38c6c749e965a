//! The public REST document: merged from the services, served, checked in.

use anyhow::Context as _;
use axum::routing::get;
use http::header;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, Info, OpenApi, OpenApiBuilder, Ref, ResponseBuilder};

/// The document of all services as it stood when it was last generated; for a
/// gateway that runs without them.
const CHECKED_IN: &str = include_str!("../../../docs/openapi.json");

/// One document of all services' paths, below `/api/v1`.
pub fn merge(documents: Vec<OpenApi>) -> OpenApi {
    let mut info = Info::new("Bellavista", "1");
    info.description = Some(
        "The public REST API. Errors are RFC 9457 problem documents with a stable `code`. \
         Lists page by cursor: `first`, `after`."
            .to_owned(),
    );
    let mut all = OpenApiBuilder::new().info(info).build();
    for document in documents {
        all = all.nest(platform::http::REST_PREFIX, document);
    }
    for item in all.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        operations.into_iter().flatten().for_each(add_common_answers);
    }
    all
}

/// What every operation may answer, whatever it does: said once, here.
fn add_common_answers(operation: &mut Operation) {
    let always = [
        ("429", "Too many requests; wait `Retry-After` seconds."),
        ("503", "Something it needs is away; try again after `Retry-After` seconds."),
    ];
    let with_a_body = [
        ("413", "`request.too_large`: the body is larger than 1 MB."),
        ("415", "`request.media_type`: the body is not `application/json`."),
    ];
    let bodies = with_a_body.into_iter().filter(|_| operation.request_body.is_some());
    for (status, description) in always.into_iter().chain(bodies) {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        let answer =
            ResponseBuilder::new().description(description).content(PROBLEM, problem).build();
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| answer.into());
    }
}

const PROBLEM: &str = "application/problem+json";

/// The document that ships with this version.
pub fn checked_in() -> anyhow::Result<OpenApi> {
    serde_json::from_str(CHECKED_IN).context("docs/openapi.json")
}

/// As it is checked in: pretty, with a line break at the end.
pub fn text(document: &OpenApi) -> anyhow::Result<String> {
    Ok(document.to_pretty_json().context("printing the API document")? + "\n")
}

/// `/api/v1/openapi.json` and a page at `/api/v1/docs` that needs no network.
pub fn router(document: &OpenApi) -> anyhow::Result<axum::Router> {
    let json: &'static str = text(document)?.leak();
    let page: &'static str = page(document).leak();
    let as_json = [(header::CONTENT_TYPE, "application/json")];
    let as_html = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    ];
    Ok(axum::Router::new()
        .route("/api/v1/openapi.json", get(async move || (as_json, json)))
        .route("/api/v1/docs", get(async move || (as_html, page))))
}

/// A plain reference page: every operation with parameters and answers.
fn page(document: &OpenApi) -> String {
    let mut rows = String::new();
    let value = serde_json::to_value(document).unwrap_or_default();
    let empty = serde_json::Map::new();
    let paths = value["paths"].as_object().unwrap_or(&empty);
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap_or(&empty) {
            let Some(answers) = operation["responses"].as_object() else { continue };
            let said = operation["summary"].as_str().or(operation["description"].as_str());
            let mut answer_list = String::new();
            for (status, answer) in answers {
                let text = answer["description"].as_str().unwrap_or("");
                answer_list.push_str(&format!(
                    "<li><code>{}</code> {}</li>",
                    escape(status),
                    escape(text)
                ));
            }
            rows.push_str(&format!(
                "<section><h2><b>{}</b> <code>{}</code></h2><p>{}</p><ul>{answer_list}</ul></section>",
                escape(&method.to_uppercase()),
                escape(path),
                escape(said.unwrap_or("")),
            ));
        }
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Bellavista API</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><style>{STYLE}</style>\
         <main><h1>Bellavista API</h1><p>The complete document: \
         <a href=\"/api/v1/openapi.json\">openapi.json</a></p>{rows}</main></html>"
    )
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;color:#1d1c22;background:#fbf8f3;\
margin:0}main{max-width:52rem;margin:0 auto;padding:2rem 1rem}h2{font-size:1rem;\
border-top:1px solid #d9d2c6;padding-top:1rem;overflow-wrap:anywhere}h2 b{color:#c23a22}\
ul{padding-left:1.2rem}@media(prefers-color-scheme:dark){body{color:#f3efe8;background:#17161a}\
a{color:#ff9d88}h2{border-color:#3a373f}h2 b{color:#ff9d88}}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
