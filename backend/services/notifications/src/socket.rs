//! The two sockets: one conversation each, bounded in every direction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use platform::auth::Principal;
use platform::{ApiError, Kind};
use shared_types::live::{ClientMessage, ServerMessage};
use shared_types::{OrderId, Role};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::{Instant, interval, timeout};

use crate::store::{self, Message};
use crate::{App, access};

/// A first message must come within this time when no token came before.
const AUTHENTICATE_WITHIN: Duration = Duration::from_secs(10);
/// A client that takes nothing for so long is closed.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// Heartbeats without any sign of the client before it counts as gone.
const SILENT_HEARTBEATS: u32 = 3;
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// Read from the store at once.
const BATCH: i64 = 200;
/// Orders in the picture that a newcomer gets.
const SNAPSHOT: i64 = 100;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Which of the two doors it came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Orders,
    Admin,
}

pub async fn orders(
    State(app): State<App>,
    caller: Option<Extension<Principal>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    open(app, Door::Orders, caller, &headers, upgrade).await
}

pub async fn admin(
    State(app): State<App>,
    caller: Option<Extension<Principal>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    open(app, Door::Admin, caller, &headers, upgrade).await
}

async fn open(
    app: App,
    door: Door,
    caller: Option<Extension<Principal>>,
    headers: &HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Err(error) = access::same_origin(headers) {
        return error.into_response();
    }
    let Some(place) = Place::take(app.config.max_sockets) else {
        let detail = "Too many live connections; try again later.";
        return ApiError::unavailable("live.full", detail).into_response();
    };
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|v| v.to_str().ok());
    let protocol = offered
        .into_iter()
        .flat_map(|v| v.split(','))
        .map(|p| p.trim().to_owned())
        .find(|p| p.starts_with("bearer."));
    let token = protocol.as_deref().and_then(|p| p.strip_prefix("bearer.")).map(str::to_owned);
    let caller = match token {
        Some(token) => match access::caller_of(&app, &token).await {
            Ok(principal) => Some(principal),
            Err(error) => return error.into_response(),
        },
        // Whoever the gateway knows already; a guest may still authenticate.
        None => caller.map(|Extension(principal)| principal),
    };
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).protocols(protocol);
    upgrade.on_upgrade(async move |socket| {
        let _place = place;
        let mut talk = Conversation::new(app, door, caller, socket);
        if let Err(goodbye) = talk.run().await {
            talk.close(goodbye).await;
        }
    })
}

/// One of the process's sockets; given back on drop.
struct Place;

impl Place {
    fn take(limit: usize) -> Option<Place> {
        let taken = OPEN.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!("live_sockets").increment(1.0);
        let place = Place;
        (taken < limit).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("live_sockets").decrement(1.0);
    }
}

/// Why a conversation ends.
enum Goodbye {
    /// The client left, or cannot be reached.
    Gone,
    /// Closed by us: code and reason.
    Closed(u16, &'static str),
}

const UNAUTHENTICATED: Goodbye = Goodbye::Closed(4401, "authenticate first");
const RESTARTING: Goodbye = Goodbye::Closed(1012, "restarting");
const TRY_AGAIN: Goodbye = Goodbye::Closed(1013, "try again");

struct Subscription {
    target: String,
    /// The last number that was sent.
    sent: i64,
}

/// Where a subscription begins: behind `after` when that is still kept, otherwise
/// with the picture of now.
async fn start(pool: &PgPool, target: &str, after: Option<i64>) -> Result<Start, ApiError> {
    let (oldest, last) = store::range(pool, target).await?;
    if let Some(after) = after
        && (oldest - 1..=last).contains(&after)
    {
        return Ok(Start { reset: false, picture: Vec::new(), upto: after });
    }
    let picture = store::snapshot(pool, target, SNAPSHOT).await?;
    // Numbers given while we looked are sent by the catch-up that follows.
    let upto = picture.last().map_or(last, |m| m.seq);
    Ok(Start { reset: after.is_some(), picture, upto })
}

struct Start {
    /// What the client saw last is not kept any more.
    reset: bool,
    picture: Vec<Message>,
    upto: i64,
}

struct Conversation {
    app: App,
    door: Door,
    caller: Option<Principal>,
    socket: WebSocket,
    subscriptions: Vec<Subscription>,
    wake: Arc<Notify>,
    silent: u32,
}

impl Conversation {
    fn new(app: App, door: Door, caller: Option<Principal>, socket: WebSocket) -> Self {
        let (subscriptions, wake) = (Vec::new(), Arc::new(Notify::new()));
        Conversation { app, door, caller, socket, subscriptions, wake, silent: 0 }
    }

    async fn run(&mut self) -> Result<(), Goodbye> {
        let mut heartbeat = interval(self.app.config.heartbeat());
        heartbeat.tick().await;
        let patience = Instant::now() + AUTHENTICATE_WITHIN;
        let lifecycle = self.app.ctx.lifecycle.clone();
        if self.authenticated() {
            self.send(&ServerMessage::Authenticated).await?;
        }
        loop {
            let wake = self.wake.clone();
            tokio::select! {
                () = lifecycle.draining() => return Err(RESTARTING),
                () = tokio::time::sleep_until(patience), if !self.authenticated() => {
                    return Err(UNAUTHENTICATED);
                }
                () = wake.notified() => self.catch_up().await?,
                _ = heartbeat.tick() => self.beat().await?,
                frame = self.socket.recv() => match frame {
                    Some(Ok(Frame::Text(text))) => {
                        self.silent = 0;
                        self.hear(&text).await?;
                    }
                    Some(Ok(Frame::Binary(_))) => {
                        return Err(Goodbye::Closed(1003, "text only"));
                    }
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => self.silent = 0,
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => return Err(Goodbye::Gone),
                },
            }
        }
    }

    /// Guests are authenticated by their cookie on the shoppers' door only.
    fn authenticated(&self) -> bool {
        self.caller.as_ref().is_some_and(|c| self.door == Door::Orders || c.has_role(Role::Support))
    }

    async fn beat(&mut self) -> Result<(), Goodbye> {
        self.silent += 1;
        if self.silent > SILENT_HEARTBEATS {
            return Err(Goodbye::Gone);
        }
        let now = self.app.ctx.clock.now();
        if self.caller.as_ref().is_some_and(|c| c.expires_at() <= now.unix()) {
            return Err(Goodbye::Closed(4401, "the token ended"));
        }
        self.frame(Frame::Ping(Vec::new().into())).await?;
        self.send(&ServerMessage::Heartbeat { at: now }).await
    }

    async fn hear(&mut self, text: &str) -> Result<(), Goodbye> {
        let message = match serde_json::from_str::<ClientMessage>(text) {
            Ok(message) => message,
            Err(error) => {
                let detail = format!("not a message: {error}");
                let error = ApiError::new(Kind::Unparseable, "live.unparseable", detail);
                return self.refuse(error).await;
            }
        };
        match message {
            ClientMessage::Authenticate { token } => self.authenticate(&token).await,
            ClientMessage::Subscribe { order_id, channel, after } => {
                match self.subscribe(order_id, channel, after).await {
                    Ok(()) => Ok(()),
                    Err(Stop::Refused(error)) => self.refuse(*error).await,
                    Err(Stop::Goodbye(goodbye)) => Err(goodbye),
                }
            }
            // What was sent is in the store; what arrived is the client's to know.
            ClientMessage::Ack { .. } | ClientMessage::Pong => Ok(()),
        }
    }

    async fn authenticate(&mut self, token: &str) -> Result<(), Goodbye> {
        let caller = match access::caller_of(&self.app, token).await {
            Ok(caller) => caller,
            Err(error) => {
                self.refuse(error).await?;
                return Err(UNAUTHENTICATED);
            }
        };
        if self.door == Door::Admin && !caller.has_role(Role::Support) {
            let error = ApiError::new(Kind::Forbidden, "auth.role_missing", "This is for staff.");
            self.refuse(error).await?;
            return Err(Goodbye::Closed(4403, "staff only"));
        }
        let same = self.caller.as_ref().is_none_or(|before| before.subject == caller.subject);
        if !same {
            // One account per socket: the old one's channels end here.
            self.subscriptions.clear();
        }
        self.caller = Some(caller);
        self.send(&ServerMessage::Authenticated).await
    }

    async fn subscribe(
        &mut self,
        order: Option<OrderId>,
        channel: Option<String>,
        after: Option<i64>,
    ) -> Result<(), Stop> {
        if !self.authenticated() {
            return Err(UNAUTHENTICATED.into());
        }
        let Some(caller) = self.caller.clone() else { return Err(UNAUTHENTICATED.into()) };
        let target = match (self.door, order, channel.as_deref()) {
            (Door::Orders, Some(order), None) => {
                access::order_target(&self.app, &caller, order).await?
            }
            (Door::Orders, None, Some("me")) => access::personal_target(&caller)?,
            (Door::Admin, None, None | Some("admin")) => store::ADMIN.to_owned(),
            _ => {
                let detail = "Subscribe to an orderId, or to the channel me (admin for staff).";
                return Err(ApiError::new(Kind::Unparseable, "live.channel", detail).into());
            }
        };
        let known = self.subscriptions.iter().any(|s| s.target == target);
        if !known && self.subscriptions.len() >= self.app.config.max_subscriptions {
            let detail = "This socket has all the subscriptions it may have.";
            return Err(ApiError::new(Kind::Limited, "live.subscriptions", detail).into());
        }
        self.subscriptions.retain(|s| s.target != target);
        self.app.hub.subscribe(&target, &self.wake);
        // Looked up before it is said: who hears it may count on every later change.
        let start = start(&self.app.ctx.pool, &target, after).await?;
        self.send(&ServerMessage::Subscribed { order_id: order, channel }).await?;
        if start.reset {
            self.send(&ServerMessage::Reset).await?;
        }
        for message in &start.picture {
            self.tell(message).await?;
        }
        self.subscriptions.push(Subscription { target, sent: start.upto });
        self.catch_up().await?;
        Ok(())
    }

    /// Sends everything that was said since.
    async fn catch_up(&mut self) -> Result<(), Goodbye> {
        let pool = self.app.ctx.pool.clone();
        for index in 0..self.subscriptions.len() {
            loop {
                let Subscription { target, sent } = &self.subscriptions[index];
                let news = store::messages_after(&pool, target, *sent, BATCH).await;
                let news = news.map_err(|error| {
                    tracing::warn!(%error, "reading live messages");
                    TRY_AGAIN
                })?;
                for message in &news {
                    self.tell(message).await?;
                    self.subscriptions[index].sent = message.seq;
                }
                if news.len() < BATCH as usize {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn tell(&mut self, message: &Message) -> Result<(), Goodbye> {
        let said = message.said;
        let (seq, order_id, status, stage, at) =
            (message.seq, said.order, said.status, said.stage, said.at);
        let text = match self.door {
            Door::Orders => ServerMessage::OrderStatus { seq, order_id, status, stage, at },
            Door::Admin => ServerMessage::Order {
                seq,
                order_id,
                order_number: message.order_number.clone(),
                status,
                stage,
                total_amount: message.total.amount(),
                currency: message.total.currency,
                at,
            },
        };
        self.send(&text).await
    }

    async fn refuse(&mut self, error: ApiError) -> Result<(), Goodbye> {
        if error.kind == Kind::Internal {
            tracing::error!(?error, "a live request failed");
        }
        let (code, message) = (error.code.to_owned(), error.detail);
        self.send(&ServerMessage::Error { code, message }).await
    }

    async fn send(&mut self, message: &ServerMessage) -> Result<(), Goodbye> {
        let text = serde_json::to_string(message).map_err(|error| {
            tracing::error!(%error, "printing a live message");
            TRY_AGAIN
        })?;
        self.frame(Frame::Text(text.into())).await
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Goodbye> {
        match timeout(SEND_WITHIN, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Goodbye::Gone),
        }
    }

    async fn close(&mut self, goodbye: Goodbye) {
        if let Goodbye::Closed(code, reason) = goodbye {
            let frame = CloseFrame { code, reason: reason.into() };
            // The client may be gone already; then there is nobody to tell.
            let _ = timeout(SEND_WITHIN, self.socket.send(Frame::Close(Some(frame)))).await;
        }
    }
}

/// What a request on the socket can end with.
enum Stop {
    Refused(Box<ApiError>),
    Goodbye(Goodbye),
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Stop::Refused(Box::new(error))
    }
}

impl From<Goodbye> for Stop {
    fn from(goodbye: Goodbye) -> Self {
        Stop::Goodbye(goodbye)
    }
}
