//! Talking to the shell: its commands as functions, its events as callbacks.

use desktop_bridge::{OrderPage, Refusal, RefusalKind, Session, SignIn};
use js_sys::{Function, JSON, Object, Promise, Reflect};
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;

pub async fn session() -> Result<Session, Refusal> {
    command("session", &()).await
}

pub async fn sign_in(wanted: &SignIn) -> Result<Session, Refusal> {
    command("sign_in", wanted).await
}

pub async fn sign_out() -> Result<Session, Refusal> {
    command("sign_out", &()).await
}

/// The newest page, or the one behind `after`.
pub async fn list_orders(after: Option<&str>) -> Result<OrderPage, Refusal> {
    #[derive(Serialize)]
    struct Arguments<'a> {
        after: Option<&'a str>,
    }
    command("list_orders", &Arguments { after }).await
}

/// Ends the wait for the next attempt to connect.
pub async fn reconnect() -> Result<(), Refusal> {
    command("reconnect", &()).await
}

/// Gives the window's frame and native menu `light` or `dark`.
pub async fn frame_theme(theme: &str) {
    #[derive(Serialize)]
    struct Arguments<'a> {
        label: &'a str,
        value: &'a str,
    }
    let arguments = Arguments { label: "main", value: theme };
    if let Err(why) = command::<()>("plugin:window|set_theme", &arguments).await {
        leptos::logging::error!("the frame keeps its theme: {}", why.message);
    }
}

/// Calls `heard` for every event of that name, for as long as the window lives.
pub async fn listen<T: DeserializeOwned>(event: &str, mut heard: impl FnMut(T) + 'static) {
    let callback = Closure::<dyn FnMut(JsValue)>::new(move |message: JsValue| {
        let payload = Reflect::get(&message, &"payload".into()).unwrap_or(JsValue::UNDEFINED);
        match from_js(&payload) {
            Ok(payload) => heard(payload),
            Err(why) => leptos::logging::error!("unreadable event: {why}"),
        }
    });
    let arguments = [JsValue::from(event), callback.as_ref().clone()];
    if let Err(why) = call("event", "listen", &arguments).await {
        leptos::logging::error!("cannot listen to {event}: {why:?}");
    }
    // The window's listeners live exactly as long as the page.
    callback.forget();
}

async fn command<T: DeserializeOwned>(
    name: &str,
    arguments: &impl Serialize,
) -> Result<T, Refusal> {
    let arguments = to_js(arguments).map_err(failed)?;
    match call("core", "invoke", &[JsValue::from(name), arguments]).await {
        Ok(answer) => from_js(&answer).map_err(failed),
        Err(refusal) => Err(from_js::<Refusal>(&refusal).unwrap_or_else(|_| {
            failed(refusal.as_string().unwrap_or_else(|| format!("{name} was refused")))
        })),
    }
}

/// `window.__TAURI__.<part>.<function>(…arguments)`.
async fn call(part: &str, function: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let mut holder: JsValue = js_sys::global().into();
    for name in ["__TAURI__", part] {
        holder = Reflect::get(&holder, &name.into())?;
    }
    let function: Function = Reflect::get(&holder, &function.into())?.dyn_into()?;
    let promise: Promise = function.apply(&holder, &arguments.iter().collect())?.dyn_into()?;
    JsFuture::from(promise).await
}

fn to_js(value: &impl Serialize) -> Result<JsValue, String> {
    let text = serde_json::to_string(value).map_err(|why| why.to_string())?;
    if text == "null" {
        return Ok(Object::new().into());
    }
    JSON::parse(&text).map_err(|_| "not JSON".to_owned())
}

fn from_js<T: DeserializeOwned>(value: &JsValue) -> Result<T, String> {
    let text = JSON::stringify(value).ok().and_then(|text| text.as_string());
    // `undefined` has no JSON; commands without an answer give it.
    serde_json::from_str(text.as_deref().unwrap_or("null")).map_err(|why| why.to_string())
}

fn failed(message: impl Into<String>) -> Refusal {
    Refusal { kind: RefusalKind::Failed, message: message.into() }
}
