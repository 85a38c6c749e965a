//! Lists of products: a category, and what a search found.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use axum::response::Response;
use http::StatusCode;
use leptos::prelude::*;
use serde::Deserialize;
use shared_types::Page;
use shared_types::catalog::Product;

use super::errors;
use crate::api::{ApiError, ProductQuery};
use crate::layout::{Head, page};
use crate::parts::{breadcrumbs, product_grid};
use crate::text::encode;
use crate::visit::Visit;

const PAGE_SIZE: u32 = 24;
const MAX_QUERY_CHARS: usize = 100;
const SORTS: [(&str, &str); 4] = [
    ("newest", "Newest"),
    ("price", "Price, low to high"),
    ("-price", "Price, high to low"),
    ("title", "Name"),
];

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ListParams {
    sort: String,
    after: String,
    q: String,
}

impl ListParams {
    /// The order asked for; unknown words mean the first.
    fn sort(&self) -> &'static str {
        SORTS.iter().find(|(word, _)| *word == self.sort).map_or(SORTS[0].0, |(word, _)| word)
    }

    fn text(&self) -> String {
        self.q.trim().chars().take(MAX_QUERY_CHARS).collect()
    }
}

pub async fn category(
    visit: Visit,
    Path(slug): Path<String>,
    params: Result<Query<ListParams>, QueryRejection>,
) -> Response {
    let params = params.map(|q| q.0).unwrap_or_default();
    let categories = visit.categories().await;
    let known = categories.iter().find(|category| category.slug == slug).cloned();
    let Some(category) = known else {
        return match categories.is_empty() {
            true => errors::away(&visit).await,
            false => errors::not_found(visit).await,
        };
    };
    let sort = params.sort();
    let query = ProductQuery { category: Some(&slug), ..list_query(&params) };
    let products = match visit.api().products(query).await {
        Ok(found) => found,
        Err(error) => {
            return unless_bad_cursor(&visit, error, &params, &format!("/c/{slug}")).await;
        }
    };
    let base = format!("/c/{slug}?sort={}", encode(sort));
    let intro = intro(&slug).map(|text| view! { <p class="lead">{text}</p> });
    let grid = match products.items.is_empty() {
        true => empty("Nothing here just now", "This shelf is waiting for its next delivery."),
        false => found_grid(&products.items),
    };
    let head = Head {
        title: category.name.clone(),
        description: format!(
            "{} at Bellavista. {}",
            category.name,
            self::intro(&slug).unwrap_or("")
        ),
        canonical: params.after.is_empty().then(|| format!("/c/{slug}")),
        ..Head::default()
    };
    let body = view! {
        <div class="frame">
            {breadcrumbs(vec![("/".into(), "Home".into())], &category.name)}
            <div class="list-head">
                <div><h1>{category.name.clone()}</h1>{intro}</div>
                {sort_form(&format!("/c/{slug}"), None, sort)}
            </div>
            {grid}
            {paging(&base, &products, &params)}
        </div>
    };
    page(&visit, StatusCode::OK, head, body.into_any()).await
}

pub async fn search(visit: Visit, params: Result<Query<ListParams>, QueryRejection>) -> Response {
    let params = params.map(|q| q.0).unwrap_or_default();
    let text = params.text();
    let head =
        Head::new(if text.is_empty() { "Search".to_owned() } else { format!("“{text}”") });
    if text.is_empty() {
        let body = view! { <div class="frame">{search_head("What are you looking for?")}{big_search("")}{ways_on(&visit).await}</div> };
        return page(&visit, StatusCode::OK, head, body.into_any()).await;
    }
    let query = ProductQuery { text: Some(&text), ..list_query(&params) };
    let products = match visit.api().products(query).await {
        Ok(found) => found,
        Err(error) => {
            let way_back = format!("/search?q={}", encode(&text));
            return unless_bad_cursor(&visit, error, &params, &way_back).await;
        }
    };
    let body = if products.items.is_empty() {
        let title = format!("Nothing found for “{text}”");
        view! {
            <div class="frame">
                {search_head(&title)}
                <p class="lead">"Try a shorter or more general word, such as “lamp” or “linen”, or walk through the rooms."</p>
                {big_search(&text)}
                {ways_on(&visit).await}
            </div>
        }
        .into_any()
    } else {
        let base = format!("/search?q={}&sort={}", encode(&text), encode(params.sort()));
        view! {
            <div class="frame">
                <div class="list-head">
                    {search_head(&format!("Found for “{text}”"))}
                    {sort_form("/search", Some(&text), params.sort())}
                </div>
                {found_grid(&products.items)}
                {paging(&base, &products, &params)}
            </div>
        }
        .into_any()
    };
    page(&visit, StatusCode::OK, head, body).await
}

fn list_query(params: &ListParams) -> ProductQuery<'_> {
    let after = Some(params.after.as_str()).filter(|a| !a.is_empty() && a.len() <= 500);
    ProductQuery { first: PAGE_SIZE, after, sort: Some(params.sort()), ..ProductQuery::default() }
}

/// A cursor the API no longer knows leads to the first page, not to an error.
async fn unless_bad_cursor(
    visit: &Visit,
    error: ApiError,
    params: &ListParams,
    first_page: &str,
) -> Response {
    let refused = error.refusal().is_some_and(|r| {
        matches!(r.status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
    });
    match refused && !params.after.is_empty() {
        true => super::see_other(first_page),
        false => errors::failed(visit, error).await,
    }
}

/// The grid under a heading of its own, for those who move by headings.
fn found_grid(products: &[Product]) -> AnyView {
    view! { <h2 class="visually-hidden">"Products"</h2>{product_grid(products)} }.into_any()
}

fn search_head(title: &str) -> AnyView {
    view! { <div class="search-head"><p class="kicker">"Search"</p><h1>{title.to_owned()}</h1></div> }
        .into_any()
}

fn big_search(text: &str) -> AnyView {
    view! {
        <form class="big-search" action="/search" method="get" role="search" aria-label="Search again">
            <label class="visually-hidden" for="q-again">"Search for"</label>
            <input id="q-again" type="search" name="q" value=text.to_owned() maxlength="100"/>
            <button class="button" type="submit">"Search"</button>
        </form>
    }
    .into_any()
}

async fn ways_on(visit: &Visit) -> AnyView {
    let categories = visit.categories().await;
    let links: Vec<_> = categories
        .iter()
        .map(|c| view! { <li><a class="chip" href=format!("/c/{}", c.slug)>{c.name.clone()}</a></li> })
        .collect();
    view! { <ul class="chips">{links}</ul> }.into_any()
}

fn empty(title: &'static str, text: &'static str) -> AnyView {
    view! {
        <div class="empty">
            <h2>{title}</h2>
            <p>{text}</p>
            <p class="actions"><a class="button" href="/">"To the front page"</a></p>
        </div>
    }
    .into_any()
}

fn sort_form(action: &str, text: Option<&str>, sort: &str) -> AnyView {
    let options: Vec<_> = SORTS
        .iter()
        .map(|(word, label)| {
            view! { <option value=*word selected=*word == sort>{*label}</option> }
        })
        .collect();
    let text = text.map(|text| view! { <input type="hidden" name="q" value=text.to_owned()/> });
    view! {
        <form class="sort" action=action.to_owned() method="get">
            {text}
            <label for="sort">"Sort by"</label>
            <select id="sort" name="sort">{options}</select>
            <button class="button button-quiet button-small" type="submit">"Apply"</button>
        </form>
    }
    .into_any()
}

fn paging(base: &str, products: &Page<Product>, params: &ListParams) -> AnyView {
    let next = products.page_info.end_cursor.as_ref().filter(|_| products.page_info.has_next_page);
    let first = (!params.after.is_empty()).then(|| {
        view! { <a class="button button-quiet" href=base.to_owned()>"Back to the first page"</a> }
    });
    let next = next.map(|cursor| {
        let href = format!("{base}&after={}", encode(cursor));
        view! { <a class="button button-quiet" rel="next" href=href>"Show more"</a> }
    });
    if first.is_none() && next.is_none() {
        return ().into_any();
    }
    view! { <nav class="paging" aria-label="Pages">{first}{next}</nav> }.into_any()
}

/// A line on a shelf the demo shop has.
fn intro(slug: &str) -> Option<&'static str> {
    Some(match slug {
        "homeware" => "Vases, bowls and mirrors: the quiet company of a room.",
        "kitchen" => "Made for daily use, and for the table straight from the stove.",
        "textiles" => "Linen and wool that soften with every wash.",
        "lighting" => "Lamps that know when to step back.",
        "garden" => "For the half of the house without a roof.",
        "prints" => "Paper, ink and horizons, printed in small editions.",
        "books" => "For long tables and slow afternoons.",
        _ => return None,
    })
}
