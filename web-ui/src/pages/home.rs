//! The front page.

use axum::response::Response;
use http::StatusCode;
use leptos::prelude::*;
use shared_types::catalog::{Category, Product};

use super::errors;
use crate::api::ProductQuery;
use crate::layout::{Head, page};
use crate::parts::{Icon, icon, picture, price, price_range, product_grid};
use crate::text::count;
use crate::visit::Visit;

const SHOWN_NEW: usize = 8;
const HERO: &str = "/artwork/scene-bellavista.svg";

pub async fn show(visit: Visit) -> Response {
    let query = ProductQuery { first: 9, sort: Some("newest"), ..ProductQuery::default() };
    let products = match visit.api().products(query).await {
        Ok(page) => page.items,
        Err(error) => return errors::failed(&visit, error).await,
    };
    let categories = visit.categories().await;
    let head = Head {
        description:
            "Objects for house and garden that are made slowly and look better each year: \
                      ceramics, linen, lamps, prints and books."
                .to_owned(),
        canonical: Some("/".to_owned()),
        preload_image: Some(HERO.to_owned()),
        ..Head::default()
    };
    let body = view! {
        {hero()}
        {newest(&products)}
        {rooms(&categories)}
        {products.get(SHOWN_NEW).or(products.first()).map(feature)}
        {promises()}
    };
    page(&visit, StatusCode::OK, head, body.into_any()).await
}

fn hero() -> AnyView {
    view! {
        <section class="hero frame">
            <div class="hero-text">
                <p class="kicker">"The winter collection"</p>
                <h1>"Things for rooms " <em>"with a view"</em></h1>
                <p class="lead">"Clay, linen, glass and light. A small collection for the places where you sit down, look up and stay a while."</p>
                <p class="actions">
                    <a class="button" href="#new">"See what is new"</a>
                    <a class="button button-quiet" href="#rooms">"Walk through the rooms"</a>
                </p>
            </div>
            <div class="hero-picture">
                <img src=HERO alt="A table by an open window: a vase with olive branches and two lemons, behind them the bay and a low sun." width="1200" height="1200" fetchpriority="high"/>
            </div>
        </section>
    }
    .into_any()
}

fn newest(products: &[Product]) -> AnyView {
    if products.is_empty() {
        return view! {
            <section class="frame section" id="new">
                <h2>"The shelves are still empty"</h2>
                <p class="lead">"The first things are being unpacked. Please come back soon."</p>
            </section>
        }
        .into_any();
    }
    let shown = &products[..products.len().min(SHOWN_NEW)];
    view! {
        <section class="frame section" id="new" aria-labelledby="new-title">
            <div class="section-head">
                <h2 id="new-title">"New in the shop"</h2>
                <p>"Just unpacked, made in small runs."</p>
            </div>
            {product_grid(shown)}
        </section>
    }
    .into_any()
}

fn rooms(categories: &[Category]) -> AnyView {
    let mut popular: Vec<&Category> = categories.iter().filter(|c| c.products > 0).collect();
    popular.sort_by_key(|category| std::cmp::Reverse(category.products));
    if popular.is_empty() {
        return ().into_any();
    }
    let tiles: Vec<_> = popular
        .into_iter()
        .take(6)
        .map(|category| {
            let picture = format!("/artwork/room-{}.svg", category.slug);
            view! {
                <li>
                    <a class="room" href=format!("/c/{}", category.slug)>
                        <img src=picture alt="" width="800" height="600" loading="lazy" decoding="async"/>
                        <span class="room-name">{category.name.clone()}</span>
                        <span class="room-count">{count(category.products, "piece", "pieces")}</span>
                    </a>
                </li>
            }
        })
        .collect();
    view! {
        <section class="section band-section" id="rooms" aria-labelledby="rooms-title">
            <div class="frame">
                <div class="section-head">
                    <h2 id="rooms-title">"Room by room"</h2>
                    <p>"Where most people begin."</p>
                </div>
                <ul class="rooms">{tiles}</ul>
            </div>
        </section>
    }
    .into_any()
}

fn feature(product: &Product) -> AnyView {
    let (src, alt) = picture(product);
    let href = format!("/p/{}", product.slug);
    let cost = price_range(product).map(|(low, high, currency)| {
        let from = (low != high).then_some("from ");
        view! { <p class="feature-price">{from}{price(low, currency)}</p> }
    });
    let text = product.description.split("\n\n").next().unwrap_or_default().to_owned();
    view! {
        <section class="frame section feature" aria-labelledby="feature-title">
            <img src=src alt=alt width="800" height="1000" loading="lazy" decoding="async"/>
            <div>
                <p class="kicker">"A closer look"</p>
                <h2 id="feature-title">{product.title.clone()}</h2>
                <p class="lead">{text}</p>
                {cost}
                <p class="actions"><a class="button" href=href>"See it"<span class="visually-hidden">{format!(": {}", product.title)}</span></a></p>
            </div>
        </section>
    }
    .into_any()
}

fn promises() -> AnyView {
    let promise = |which, title: &'static str, text: &'static str| {
        view! { <li>{icon(which)}<div><h3>{title}</h3><p>{text}</p></div></li> }
    };
    view! {
        <section class="frame section" aria-label="What you can rely on">
            <ul class="promises">
                {promise(Icon::Truck, "Delivered in 3–5 working days", "4.90, and free from 50.00. Packed in paper, never in foam.")}
                {promise(Icon::Return, "Thirty days to decide", "Send it back if the room disagrees. We pay you back at once.")}
                {promise(Icon::Clock, "Held while you pay", "What you order is set aside for you for ten minutes, honestly counted.")}
            </ul>
        </section>
    }
    .into_any()
}
