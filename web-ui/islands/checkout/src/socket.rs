//! A browser's WebSocket as a stream of texts.

use futures_channel::mpsc::{self, Receiver};
use futures_util::{
    StreamExt,
    future::{Either, select},
};
use shared_types::live::ClientMessage;
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{CloseEvent, Event, MessageEvent, WebSocket};

use crate::page;

/// Messages that wait to be read; a server that sends faster is cut off, and
/// the next connection resumes behind what was read.
const WAITING: usize = 64;

enum Happened {
    Opened,
    Text(String),
    Closed,
}

pub struct Socket {
    socket: WebSocket,
    events: Receiver<Happened>,
    // Held because the browser calls them.
    _on_open: Closure<dyn FnMut(Event)>,
    _on_text: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut(CloseEvent)>,
}

impl Socket {
    /// Starts to connect to `path` of the page's own origin.
    pub fn open(path: &str) -> Option<Self> {
        let location = web_sys::window()?.location();
        let scheme = if location.protocol().ok()? == "https:" { "wss" } else { "ws" };
        let socket = WebSocket::new(&format!("{scheme}://{}{path}", location.host().ok()?)).ok()?;
        let (sender, events) = mpsc::channel(WAITING);

        let mut to = sender.clone();
        let on_open = Closure::<dyn FnMut(Event)>::new(move |_| {
            let _ = to.try_send(Happened::Opened);
        });
        let mut to = sender.clone();
        let cut = socket.clone();
        let on_text = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            if let Some(text) = event.data().as_string()
                && to.try_send(Happened::Text(text)).is_err()
            {
                let _ = cut.close();
            }
        });
        let mut to = sender;
        let on_close = Closure::<dyn FnMut(CloseEvent)>::new(move |_| {
            let _ = to.try_send(Happened::Closed);
        });
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_text.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Some(Self { socket, events, _on_open: on_open, _on_text: on_text, _on_close: on_close })
    }

    async fn next(&mut self, within_ms: u32) -> Option<Happened> {
        match select(self.events.next(), Box::pin(page::sleep(within_ms))).await {
            Either::Left((happened, _)) => happened,
            Either::Right(_) => None,
        }
    }

    /// Waits for the connection; false when it is refused or takes too long.
    pub async fn is_open(&mut self, within_ms: u32) -> bool {
        matches!(self.next(within_ms).await, Some(Happened::Opened))
    }

    /// The next text; `None` when the connection is over or silent for too long.
    pub async fn hear(&mut self, within_ms: u32) -> Option<String> {
        match self.next(within_ms).await? {
            Happened::Text(text) => Some(text),
            Happened::Opened | Happened::Closed => None,
        }
    }

    /// Sends; a failure shows itself as the end of the stream.
    pub fn say(&self, message: &ClientMessage) {
        if let Ok(text) = serde_json::to_string(message) {
            let _ = self.socket.send_with_str(&text);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        let _ = self.socket.close();
    }
}
