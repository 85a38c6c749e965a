//! The page around the island.

use serde::de::DeserializeOwned;
use shared_types::{
    OrderId,
    orders::{OrderStatus, Stage},
};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Document, DomParser, Element, HtmlElement, Response, SupportedType};

/// The part of the page that the server draws anew.
const CONTENT: &str = ".order .with-aside";
const LIVE: &str = "order-live";
/// The message that the page was opened with.
const SAID: &str = "main > .flash";

/// The order as the server drew it.
pub struct Order {
    pub id: OrderId,
    pub status: OrderStatus,
    pub stage: Stage,
}

fn document() -> Option<Document> {
    web_sys::window()?.document()
}

pub fn order() -> Option<Order> {
    let live = document()?.get_element_by_id(LIVE)?;
    Some(Order {
        id: live.get_attribute("data-order-id")?.parse().ok()?,
        status: live.get_attribute("data-status")?.parse().ok()?,
        stage: live.get_attribute("data-stage")?.parse().ok()?,
    })
}

/// A new element in front of the content, for the island's own line.
pub fn place_for_link_state() -> Option<HtmlElement> {
    let document = document()?;
    let content = document.query_selector(CONTENT).ok()??;
    let place = document.create_element("div").ok()?;
    content.parent_node()?.insert_before(&place, Some(&content)).ok()?;
    place.dyn_into().ok()
}

/// Marks state and steps; instant, and all there is when the network fails.
pub fn show(status: OrderStatus, stage: Stage) {
    let Some(live) = document().and_then(|document| document.get_element_by_id(LIVE)) else {
        return;
    };
    let _ = live.set_attribute("data-status", status.as_str());
    let _ = live.set_attribute("data-stage", stage.as_str());
    let Ok(steps) = live.query_selector_all("[data-step]") else { return };
    let steps: Vec<Element> =
        (0..steps.length()).filter_map(|at| steps.get(at)?.dyn_into().ok()).collect();
    let is_reached =
        |step: &Element| step.get_attribute("data-step").as_deref() == Some(status.as_str());
    let Some(reached) = steps.iter().position(is_reached) else { return };
    for (at, step) in steps.iter().enumerate() {
        let _ = step.class_list().toggle_with_force("done", at <= reached);
        let _ = if at == reached {
            step.set_attribute("aria-current", "step")
        } else {
            step.remove_attribute("aria-current")
        };
    }
}

/// Fetches the page and puts its content in place of the present one.
pub async fn refresh(order: &OrderId) {
    let Some(text) = get_text(&format!("/orders/{order}")).await else { return };
    let fresh = DomParser::new()
        .and_then(|parser| parser.parse_from_string(&text, SupportedType::TextHtml))
        .ok()
        .and_then(|page| page.query_selector(CONTENT).ok().flatten());
    let present = document().and_then(|page| page.query_selector(CONTENT).ok().flatten());
    if let (Some(fresh), Some(present)) = (fresh, present) {
        let _ = present.replace_with_with_node_1(&fresh);
        // What was said about the state before no longer holds.
        if let Some(said) = document().and_then(|page| page.query_selector(SAID).ok().flatten()) {
            said.remove();
        }
    }
}

/// The body of a successful GET from the page's own origin.
async fn get_text(path: &str) -> Option<String> {
    let answer = JsFuture::from(web_sys::window()?.fetch_with_str(path)).await.ok()?;
    let answer: Response = answer.dyn_into().ok()?;
    if !answer.ok() {
        return None;
    }
    JsFuture::from(answer.text().ok()?).await.ok()?.as_string()
}

/// The same, read as JSON.
pub async fn get_json<T: DeserializeOwned>(path: &str) -> Option<T> {
    serde_json::from_str(&get_text(path).await?).ok()
}

/// Waits on the browser's clock.
pub async fn sleep(ms: u32) {
    let promise = js_sys::Promise::new(&mut |resolve: js_sys::Function, _| {
        let ms = i32::try_from(ms).unwrap_or(i32::MAX);
        if let Some(window) = web_sys::window() {
            let _ = window.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms);
        } else {
            let _ = resolve.call0(&JsValue::NULL);
        }
    });
    let _ = JsFuture::from(promise).await;
}
