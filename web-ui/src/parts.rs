//! Small pieces that several pages share.

use leptos::prelude::*;
use shared_types::catalog::{Availability, Product};
use shared_types::{Amount, Currency};

use crate::posted::CSRF_FIELD;
use crate::text::money;
use crate::visit::Visit;

/// Icons from one set (Lucide, ISC), drawn inline in the text's colour.
#[derive(Clone, Copy)]
pub enum Icon {
    Mark,
    Search,
    Bag,
    Person,
    Check,
    Truck,
    Return,
    Clock,
    Lock,
}

pub fn icon(which: Icon) -> AnyView {
    let paths = match which {
        // Our own: the sun over the line of the sea.
        Icon::Mark => r#"<path d="M5 14a7 7 0 0 1 14 0"/><path d="M2 14h20M5 18h14M9 22h6"/>"#,
        Icon::Search => r#"<circle cx="11" cy="11" r="7"/><path d="m20 20-4-4"/>"#,
        Icon::Bag => {
            r#"<path d="M6 2 3 6v14a2 2 0 0 0 2 2h14a2 2 0 0 0 2-2V6l-3-4Z"/><path d="M3 6h18M16 10a4 4 0 0 1-8 0"/>"#
        }
        Icon::Person => {
            r#"<path d="M19 21v-2a4 4 0 0 0-4-4H9a4 4 0 0 0-4 4v2"/><circle cx="12" cy="7" r="4"/>"#
        }
        Icon::Check => r#"<path d="M20 6 9 17l-5-5"/>"#,
        Icon::Truck => {
            r#"<path d="M14 18V6a1 1 0 0 0-1-1H3a1 1 0 0 0-1 1v11a1 1 0 0 0 1 1h2M15 18H9M19 18h2a1 1 0 0 0 1-1v-4l-3-4h-5"/><circle cx="17" cy="18" r="2"/><circle cx="7" cy="18" r="2"/>"#
        }
        Icon::Return => r#"<path d="M3 12a9 9 0 1 0 3-6.7L3 8"/><path d="M3 3v5h5"/>"#,
        Icon::Clock => r#"<circle cx="12" cy="12" r="9"/><path d="M12 7v5l3 2"/>"#,
        Icon::Lock => {
            r#"<rect x="4" y="11" width="16" height="10" rx="2"/><path d="M8 11V7a4 4 0 0 1 8 0v4"/>"#
        }
    };
    let svg = format!(
        r#"<svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">{paths}</svg>"#
    );
    view! { <span class="icon-box" inner_html=svg></span> }.into_any()
}

/// The hidden field every POST form carries.
pub fn csrf_field(visit: &Visit) -> AnyView {
    let value = visit.csrf().to_owned();
    view! { <input type="hidden" name=CSRF_FIELD value=value/> }.into_any()
}

pub fn hidden(name: &'static str, value: impl Into<String>) -> AnyView {
    view! { <input type="hidden" name=name value=value.into()/> }.into_any()
}

/// A price; never wraps.
pub fn price(amount: Amount, currency: Currency) -> AnyView {
    view! { <span class="price">{money(amount, currency)}</span> }.into_any()
}

/// The stock band in words, colour and shape.
pub fn stock_band(availability: Availability) -> AnyView {
    let (class, words) = match availability {
        Availability::InStock => ("band band-in", "In stock"),
        Availability::Low => ("band band-low", "Only a few left"),
        Availability::Out => ("band band-out", "Sold out"),
    };
    view! { <span class=class data-live="band">{words}</span> }.into_any()
}

/// Lowest and highest variant price, in the lowest one's currency.
pub fn price_range(product: &Product) -> Option<(Amount, Amount, Currency)> {
    let currency = product.variants.first()?.currency;
    let minor = |amount: Amount| amount.in_currency(currency).map_or(i64::MAX, |m| m.minor);
    let priced = || product.variants.iter().filter(|v| v.currency == currency).map(|v| v.price);
    let low = priced().min_by_key(|amount| minor(*amount))?;
    let high = priced().max_by_key(|amount| minor(*amount))?;
    Some((low, high, currency))
}

/// The best band any variant has.
pub fn best_band(product: &Product) -> Availability {
    product.variants.iter().map(|v| v.availability).min().unwrap_or(Availability::Out)
}

/// Address and text of a product's picture; artwork when it has none.
pub fn picture(product: &Product) -> (String, String) {
    match product.media.first().filter(|media| is_own_path(&media.url)) {
        Some(media) => (media.url.clone(), media.alt.clone()),
        None => (format!("/artwork/{}.svg", product.slug), String::new()),
    }
}

/// Whether a picture lies on the shop's own origin: others are not shown, as
/// the content security policy would refuse them.
pub fn is_own_path(url: &str) -> bool {
    url.starts_with('/') && !url.starts_with("//") && !url.contains('\\')
}

/// A product in a grid. `eager` ones are in the first view.
pub fn product_card(product: &Product, eager: bool) -> AnyView {
    let (src, alt) = picture(product);
    let href = format!("/p/{}", product.slug);
    let cost = price_range(product).map(|(low, high, currency)| {
        let from = (low != high).then_some("from ");
        view! { <p class="card-price">{from}{price(low, currency)}</p> }
    });
    let flag = match best_band(product) {
        Availability::InStock => None,
        Availability::Low => {
            Some(view! { <span class="flag flag-low">"Few left"</span> }.into_any())
        }
        Availability::Out => {
            Some(view! { <span class="flag flag-out">"Sold out"</span> }.into_any())
        }
    };
    let choices = (product.variants.len() > 1).then(
        || view! { <p class="card-note">{format!("{} choices", product.variants.len())}</p> },
    );
    view! {
        <article class="card">
            <div class="card-picture">
                <img src=src alt=alt width="800" height="1000" decoding="async" loading=if eager { "eager" } else { "lazy" }/>
                {flag}
            </div>
            <div class="card-text">
                <h3><a href=href>{product.title.clone()}</a></h3>
                {cost}
                {choices}
            </div>
        </article>
    }
    .into_any()
}

/// A grid of products.
pub fn product_grid(products: &[Product]) -> AnyView {
    let cards: Vec<_> = products
        .iter()
        .enumerate()
        .map(|(at, product)| view! { <li>{product_card(product, at < 4)}</li> })
        .collect();
    view! { <ul class="grid">{cards}</ul> }.into_any()
}

/// A line of a summary of sums.
pub fn sum_row(label: &'static str, value: String, class: &'static str) -> AnyView {
    view! { <div class=class><dt>{label}</dt><dd class="price">{value}</dd></div> }.into_any()
}

/// Where this page stands: links, then the page itself.
pub fn breadcrumbs(links: Vec<(String, String)>, here: &str) -> AnyView {
    let links: Vec<_> =
        links.into_iter().map(|(href, name)| view! { <li><a href=href>{name}</a></li> }).collect();
    view! {
        <nav class="crumbs" aria-label="Breadcrumb">
            <ol>{links}<li aria-current="page">{here.to_owned()}</li></ol>
        </nav>
    }
    .into_any()
}
