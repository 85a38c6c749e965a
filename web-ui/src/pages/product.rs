//! One product: what it is, what it costs, and putting it into the cart.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use axum::response::Response;
use http::StatusCode;
use leptos::prelude::*;
use serde::Deserialize;
use shared_types::catalog::{Availability, Category, Product, Variant};
use time::OffsetDateTime;

use super::errors;
use crate::api::ProductQuery;
use crate::forms::{Errors, Typed, describe, error_summary, field_error};
use crate::layout::{Head, page};
use crate::parts::{
    Icon, best_band, breadcrumbs, csrf_field, hidden, icon, is_own_path, picture, price,
    price_range, product_grid, stock_band,
};
use crate::seo::product_json_ld;
use crate::text::{delivery_window, money};
use crate::visit::Visit;

/// The most units the quantity list offers; the cart takes more.
const LISTED_QUANTITY: i64 = 10;

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ProductParams {
    sku: String,
}

/// An "add to cart" that was refused, to be shown again.
#[derive(Default)]
pub struct Refused {
    pub typed: Typed,
    pub errors: Errors,
    pub general: Option<String>,
}

pub async fn show(
    visit: Visit,
    Path(slug): Path<String>,
    params: Result<Query<ProductParams>, QueryRejection>,
) -> Response {
    let wanted = params.map(|q| q.0.sku).unwrap_or_default();
    let typed = Typed::new([("sku".to_owned(), wanted)]);
    let refused = Refused { typed, ..Refused::default() };
    render(&visit, &slug, StatusCode::OK, refused).await
}

/// The page of the product with this slug (or id), with the form as given.
pub async fn render(visit: &Visit, slug: &str, status: StatusCode, form: Refused) -> Response {
    let product = match visit.api().product(slug).await {
        Ok(product) => product,
        Err(error) => return errors::failed(visit, error).await,
    };
    let categories = visit.categories().await;
    let category = category_of(&product, &categories);
    let related = related(visit, &product, category).await;
    let head = Head {
        title: product.title.clone(),
        description: first_sentence(&product.description),
        canonical: Some(format!("/p/{}", product.slug)),
        json_ld: Some(product_json_ld(&product, &visit.config().public_url)),
        preload_image: Some(picture(&product).0),
        ..Head::default()
    };
    let mut crumbs = vec![("/".to_owned(), "Home".to_owned())];
    crumbs.extend(category.map(|c| (format!("/c/{}", c.slug), c.name.clone())));
    let body = view! {
        <div class="frame">
            {breadcrumbs(crumbs, &product.title)}
            <div class="product">
                {gallery(&product)}
                <div class="product-side">
                    {heading(&product, category)}
                    {buy_form(visit, &product, &form)}
                    {facts()}
                    {description(&product)}
                </div>
            </div>
            {related}
        </div>
    };
    page(visit, status, head, body.into_any()).await
}

fn first_sentence(text: &str) -> String {
    let end = text.find(". ").map_or(text.len(), |at| at + 1);
    text[..end].chars().take(160).collect()
}

/// The first of the product's categories that the shop lists.
fn category_of<'a>(product: &Product, categories: &'a [Category]) -> Option<&'a Category> {
    let named = |category: &&Category| {
        product.categories.iter().any(|c| {
            c.eq_ignore_ascii_case(&category.slug) || c.eq_ignore_ascii_case(&category.name)
        })
    };
    categories.iter().find(named)
}

/// Others of the same shelf; nothing when they cannot be had.
async fn related(visit: &Visit, product: &Product, category: Option<&Category>) -> Option<AnyView> {
    let slug = category?.slug.as_str();
    let query = ProductQuery { first: 5, category: Some(slug), ..ProductQuery::default() };
    let mut others = visit.api().products(query).await.ok()?.items;
    others.retain(|other| other.id != product.id);
    others.truncate(4);
    if others.is_empty() {
        return None;
    }
    let view = view! {
        <section class="section related" aria-labelledby="related-title">
            <div class="section-head"><h2 id="related-title">"From the same shelf"</h2></div>
            {product_grid(&others)}
        </section>
    };
    Some(view.into_any())
}

fn gallery(product: &Product) -> AnyView {
    let (src, alt) = picture(product);
    let more: Vec<_> = product
        .media
        .iter()
        .skip(1)
        .filter(|media| is_own_path(&media.url))
        .take(8)
        .map(|media| {
            view! { <img src=media.url.clone() alt=media.alt.clone() width="800" height="1000" loading="lazy"/> }
        })
        .collect();
    view! {
        <div class="gallery">
            <img class="gallery-main" src=src alt=alt width="800" height="1000" fetchpriority="high"/>
            {more}
        </div>
    }
    .into_any()
}

fn heading(product: &Product, category: Option<&Category>) -> AnyView {
    let kicker = category.map(|c| view! { <p class="kicker">{c.name.clone()}</p> });
    let cost = price_range(product).map(|(low, high, currency)| {
        let range = (low != high).then(|| view! { " – "{price(high, currency)} });
        view! { <p class="product-price" data-live="price">{price(low, currency)}{range}</p> }
    });
    view! {
        {kicker}
        <h1>{product.title.clone()}</h1>
        <div class="product-line">{cost}{stock_band(best_band(product))}</div>
    }
    .into_any()
}

fn buy_form(visit: &Visit, product: &Product, form: &Refused) -> AnyView {
    if product.variants.is_empty() || best_band(product) == Availability::Out {
        return view! {
            {error_summary(form.general.as_deref(), &form.errors)}
            <p class="notice notice-plain">
                "This one has sold out. More may come; until then the same shelf has other fine things."
            </p>
        }
        .into_any();
    }
    let chosen = chosen_variant(product, form.typed.text("sku"));
    let choice = match product.variants.as_slice() {
        [only] => hidden("sku", only.sku.as_str()),
        several => variant_choice(several, chosen, form.errors.of("sku")),
    };
    let units = form.typed.text("qty").parse::<i64>().unwrap_or(1).clamp(1, LISTED_QUANTITY);
    let quantities: Vec<_> = (1..=LISTED_QUANTITY)
        .map(|n| view! { <option value=n.to_string() selected=n == units>{n}</option> })
        .collect();
    let error = form.errors.of("qty");
    view! {
        <form class="buy" method="post" action="/cart/items" data-product-id=product.id.to_string()>
            {csrf_field(visit)}
            {hidden("product", product.slug.clone())}
            {error_summary(form.general.as_deref(), &form.errors)}
            {choice}
            <div class="buy-row">
                <div class="field field-qty">
                    <label for="f-qty">"Quantity"</label>
                    <select id="f-qty" name="qty" aria-invalid=error.map(|_| "true") aria-describedby=describe("f-qty", false, error.is_some())>{quantities}</select>
                    {field_error("f-qty", error)}
                </div>
                <button class="button button-wide" type="submit">{icon(Icon::Bag)}"Add to the cart"</button>
            </div>
        </form>
    }
    .into_any()
}

/// The variant asked for, else the first that can be bought.
fn chosen_variant<'a>(product: &'a Product, sku: &str) -> Option<&'a Variant> {
    let buyable = |v: &&Variant| v.availability != Availability::Out;
    let asked = product.variants.iter().find(|v| v.sku.as_str().eq_ignore_ascii_case(sku));
    asked.filter(buyable).or_else(|| product.variants.iter().find(buyable))
}

fn variant_choice(variants: &[Variant], chosen: Option<&Variant>, error: Option<&str>) -> AnyView {
    let legend = variants
        .first()
        .and_then(|v| v.options.keys().next().cloned())
        .filter(|name| {
            variants.iter().all(|v| v.options.len() == 1 && v.options.contains_key(name))
        })
        .unwrap_or_else(|| "Choose one".to_owned());
    let options: Vec<_> = variants
        .iter()
        .enumerate()
        .map(|(at, variant)| {
            let id = if at == 0 { "f-sku".to_owned() } else { format!("f-sku-{at}") };
            let out = variant.availability == Availability::Out;
            let note = match variant.availability {
                Availability::InStock => None,
                Availability::Low => Some(view! { <span class="option-note note-low">"Few left"</span> }.into_any()),
                Availability::Out => Some(view! { <span class="option-note">"Sold out"</span> }.into_any()),
            };
            view! {
                <li>
                    <input type="radio" name="sku" id=id.clone() value=variant.sku.as_str().to_owned() checked=chosen.is_some_and(|c| c.id == variant.id) disabled=out required=true/>
                    <label for=id class="option">
                        <span class="option-title">{variant.title.clone()}</span>
                        {note}
                        <span class="price">{money(variant.price, variant.currency)}</span>
                    </label>
                </li>
            }
        })
        .collect();
    view! {
        <fieldset class="options" aria-describedby=describe("f-sku", false, error.is_some())>
            <legend>{legend}</legend>
            <ul>{options}</ul>
            {field_error("f-sku", error)}
        </fieldset>
    }
    .into_any()
}

fn facts() -> AnyView {
    let window = delivery_window(OffsetDateTime::now_utc());
    view! {
        <ul class="facts">
            <li>{icon(Icon::Truck)}<span>"Arrives "<strong class="nowrap">{window}</strong>" by standard delivery"</span></li>
            <li>{icon(Icon::Check)}<span>"Delivery 4.90, free from 50.00"</span></li>
            <li>{icon(Icon::Return)}<span>"Thirty days to send it back"</span></li>
        </ul>
    }
    .into_any()
}

fn description(product: &Product) -> AnyView {
    let paragraphs: Vec<_> = product
        .description
        .split("\n\n")
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .map(|p| view! { <p>{p.to_owned()}</p> })
        .collect();
    view! {
        <section class="prose" aria-labelledby="about-title">
            <h2 id="about-title">"About it"</h2>
            {paragraphs}
        </section>
    }
    .into_any()
}
