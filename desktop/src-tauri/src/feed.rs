//! The live feed: one WebSocket to `/ws/admin`, resumed by `seq`, reconnected
//! for as long as the session lasts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use desktop_bridge::{Connection, OrderRow, Refusal, RefusalKind, amount_text};
use futures_util::{SinkExt, StreamExt};
use shared_types::{
    Timestamp,
    live::{ClientMessage, ServerMessage},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

use crate::{
    backoff,
    session::{NoAccess, Signed},
    shell::{Shell, now},
    shop_api::NOT_STAFF,
};

/// For connecting and for each step until the feed stands.
const STEP_WAIT: Duration = Duration::from_secs(10);
/// Changes are handed to the window together, this often at most.
const BATCH_EVERY: Duration = Duration::from_millis(80);
/// So many changes at most wait for the window.
const BATCH_LIMIT: usize = 200;
const PING_EVERY: Duration = Duration::from_secs(15);
/// A line on which nothing arrives, not even a pong, is broken.
const SILENCE_LIMIT: Duration = Duration::from_secs(40);
/// After so many failed attempts the window speaks of offline.
const OFFLINE_AFTER: u32 = 3;
const MESSAGE_LIMIT: usize = 1 << 20;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why one connection ended.
enum Broken {
    /// The token was not taken.
    Unauthenticated,
    /// The account may not listen here.
    Forbidden,
    Line(String),
}

/// What lasts from one connection to the next.
struct Feed {
    shell: Arc<Shell>,
    signed: Arc<Signed>,
    /// The `seq` of the last change that arrived; none: from now on.
    seen: Option<i64>,
    /// Failed attempts since the feed stood last.
    attempt: u32,
    stood_at: Option<Timestamp>,
    /// A token that the shop did not take.
    refused: Option<String>,
}

/// Runs until the session ends or the task is aborted.
pub async fn run(shell: Arc<Shell>, signed: Arc<Signed>) {
    let mut feed = Feed { shell, signed, seen: None, attempt: 0, stood_at: None, refused: None };
    loop {
        let reason = match feed.signed.access(feed.refused.as_deref()).await {
            Ok(token) => match feed.connection(&token).await {
                Broken::Unauthenticated if feed.refused.is_none() => {
                    feed.refused = Some(token);
                    continue;
                }
                Broken::Unauthenticated => "it does not accept the session".to_owned(),
                Broken::Forbidden => {
                    let why =
                        Refusal { kind: RefusalKind::NotStaff, message: NOT_STAFF.to_owned() };
                    return feed.shell.ended(&feed.signed, why).await;
                }
                Broken::Line(reason) => reason,
            },
            Err(NoAccess::Ended(why)) => return feed.shell.ended(&feed.signed, why).await,
            Err(NoAccess::Away(why)) => why.to_string(),
        };
        feed.pause(reason).await;
    }
}

impl Feed {
    async fn pause(&mut self, reason: String) {
        self.attempt = self.attempt.saturating_add(1);
        let attempt = self.attempt;
        let pause = backoff::pause(attempt, backoff::chance());
        let retry_in_ms = pause.as_millis() as u64;
        tracing::info!(attempt, retry_in_ms, %reason, "live feed broken");
        self.shell.connection_is(if attempt < OFFLINE_AFTER {
            Connection::Reconnecting { attempt, retry_in_ms }
        } else {
            Connection::Offline { attempt, retry_in_ms, since: self.stood_at, reason }
        });
        // Over early when the person says "try now".
        let _ = timeout(pause, self.shell.hurry.notified()).await;
    }

    /// One connection from its opening to its end.
    async fn connection(&mut self, token: &str) -> Broken {
        let mut socket = match self.open(token).await {
            Ok(socket) => socket,
            Err(broken) => return broken,
        };
        let mut batch = Vec::new();
        let broken = self.listen(&mut socket, &mut batch).await;
        self.hand_over(&mut batch);
        broken
    }

    async fn open(&self, token: &str) -> Result<Socket, Broken> {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        let address = self.signed.api.url.admin_socket();
        let opening = connect_async_with_config(address, Some(limits), true);
        let mut socket = match timeout(STEP_WAIT, opening).await {
            Err(_) => return Err(line("it takes too long to answer")),
            Ok(Err(tungstenite::Error::Http(answer))) => {
                return Err(match answer.status().as_u16() {
                    401 => Broken::Unauthenticated,
                    403 => Broken::Forbidden,
                    status => line(format!("it says {status}")),
                });
            }
            Ok(Err(why)) => return Err(line(why)),
            Ok(Ok((socket, _))) => socket,
        };
        say(&mut socket, &ClientMessage::Authenticate { token: token.to_owned() }).await?;
        match next_message(&mut socket, STEP_WAIT).await? {
            ServerMessage::Authenticated => {}
            ServerMessage::Error { code, message } => return Err(refused(&code, message)),
            _ => return Err(line("it does not answer the sign-in")),
        }
        let channel = Some("admin".to_owned());
        let subscribe = ClientMessage::Subscribe { order_id: None, channel, after: self.seen };
        say(&mut socket, &subscribe).await?;
        Ok(socket)
    }

    async fn listen(&mut self, socket: &mut Socket, batch: &mut Vec<OrderRow>) -> Broken {
        let mut ping = tokio::time::interval(PING_EVERY);
        let mut flush = tokio::time::interval(BATCH_EVERY);
        let mut heard = Instant::now();
        let mut acknowledged = self.seen;
        loop {
            tokio::select! {
                message = socket.next() => {
                    heard = Instant::now();
                    let text = match message {
                        Some(Ok(Message::Text(text))) => text,
                        Some(Ok(Message::Close(frame))) => return closed(frame),
                        Some(Ok(_)) => continue,
                        Some(Err(why)) => return line(why),
                        None => return line("the shop closed the line"),
                    };
                    // Newer shops may say more than this console knows.
                    let Ok(message) = ServerMessage::parse(&text) else { continue };
                    if let Err(broken) = self.take(socket, message, batch).await {
                        return broken;
                    }
                    if batch.len() >= BATCH_LIMIT {
                        self.hand_over(batch);
                    }
                }
                _ = flush.tick(), if !batch.is_empty() => self.hand_over(batch),
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE_LIMIT {
                        return line("nothing is heard from the shop any more");
                    }
                    if let Some(seq) = self.seen.filter(|_| self.seen != acknowledged) {
                        acknowledged = self.seen;
                        if let Err(broken) = say(socket, &ClientMessage::Ack { seq }).await {
                            return broken;
                        }
                    }
                    if let Err(broken) = send(socket, Message::Ping(Vec::new().into())).await {
                        return broken;
                    }
                }
            }
        }
    }

    async fn take(
        &mut self,
        socket: &mut Socket,
        message: ServerMessage,
        batch: &mut Vec<OrderRow>,
    ) -> Result<(), Broken> {
        match message {
            ServerMessage::Subscribed { .. } => self.stands(self.seen.is_some()),
            ServerMessage::Reset => {
                self.seen = None;
                self.stands(false);
            }
            ServerMessage::Order {
                seq,
                order_id,
                order_number,
                status,
                stage,
                total_amount,
                currency,
                at,
            } => {
                self.seen = Some(seq);
                let amount = amount_text(total_amount, currency);
                let currency = currency.to_string();
                let number = order_number;
                batch.push(OrderRow { order_id, number, status, stage, amount, currency, at });
            }
            ServerMessage::Heartbeat { .. } => {
                self.stood_at = now();
                say(socket, &ClientMessage::Pong).await?;
            }
            ServerMessage::Error { code, message } => return Err(refused(&code, message)),
            ServerMessage::Authenticated | ServerMessage::OrderStatus { .. } => {}
        }
        Ok(())
    }

    fn stands(&mut self, resumed: bool) {
        self.attempt = 0;
        self.refused = None;
        self.stood_at = now();
        self.shell.connection_is(Connection::Live { resumed });
    }

    fn hand_over(&mut self, batch: &mut Vec<OrderRow>) {
        if !batch.is_empty() {
            self.stood_at = now();
            self.shell.arrived(std::mem::take(batch));
        }
    }
}

async fn say(socket: &mut Socket, message: &ClientMessage) -> Result<(), Broken> {
    let text = serde_json::to_string(message).map_err(line)?;
    send(socket, Message::Text(text.into())).await
}

async fn send(socket: &mut Socket, message: Message) -> Result<(), Broken> {
    match timeout(STEP_WAIT, socket.send(message)).await {
        Ok(sent) => sent.map_err(line),
        Err(_) => Err(line("the shop takes nothing in any more")),
    }
}

/// The next message that can be read, within `wait`.
async fn next_message(socket: &mut Socket, wait: Duration) -> Result<ServerMessage, Broken> {
    let reading = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    if let Ok(message) = ServerMessage::parse(&text) {
                        return Ok(message);
                    }
                }
                Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
                Some(Ok(_)) => {}
                Some(Err(why)) => return Err(line(why)),
                None => return Err(line("the shop closed the line")),
            }
        }
    };
    timeout(wait, reading).await.unwrap_or_else(|_| Err(line("it takes too long to answer")))
}

fn line(why: impl std::fmt::Display) -> Broken {
    Broken::Line(why.to_string())
}

/// Refusals carry stable codes such as `live.forbidden`.
fn refused(code: &str, message: String) -> Broken {
    match code.rsplit('.').next().unwrap_or(code) {
        "unauthenticated" | "unauthorized" | "invalid_token" | "token_expired" => {
            Broken::Unauthenticated
        }
        "forbidden" => Broken::Forbidden,
        _ => line(message),
    }
}

fn closed(frame: Option<tungstenite::protocol::CloseFrame>) -> Broken {
    match frame {
        Some(frame) if u16::from(frame.code) == 4401 => Broken::Unauthenticated,
        Some(frame) if u16::from(frame.code) == 4403 => Broken::Forbidden,
        Some(frame) if !frame.reason.is_empty() => line(frame.reason.as_str()),
        _ => line("the shop closed the line"),
    }
}
