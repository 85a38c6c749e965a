//! What the staff were told, in the order in which it was handled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use shared_types::live::{ClientMessage, ServerMessage};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::client::Credential;
use crate::credentials::Renewing;
use crate::settings::ShopArgs;

/// Statuses of `orders` as `/ws/admin` tells them from the beginning; ends when
/// every order was told of three times, or after `quiet` without news.
pub async fn of_orders(
    args: &ShopArgs,
    staff: &Renewing,
    orders: &BTreeSet<Uuid>,
    quiet: Duration,
) -> anyhow::Result<BTreeMap<Uuid, Vec<String>>> {
    let Credential::Bearer(token) = staff.get().await? else { bail!("staff sign in") };
    let url = format!("{}/ws/admin", args.url.trim_end_matches('/').replacen("http", "ws", 1));
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.context(url)?;
    let subscribe = ClientMessage::Subscribe {
        order_id: None,
        channel: Some("admin".to_owned()),
        after: Some(0),
    };
    for message in [ClientMessage::Authenticate { token }, subscribe] {
        socket.send(Message::text(serde_json::to_string(&message)?)).await?;
    }
    let mut told: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
    let mut complete = 0;
    let mut deadline = tokio::time::Instant::now() + quiet;
    loop {
        // After the last one, a moment for what is too much.
        let wait = if complete == orders.len() {
            deadline.min(tokio::time::Instant::now() + Duration::from_secs(2))
        } else {
            deadline
        };
        let Ok(next) = tokio::time::timeout_at(wait, socket.next()).await else { return Ok(told) };
        let text = match next.context("the live channel ended")?? {
            Message::Text(text) => text,
            Message::Close(frame) => bail!("the live channel was closed: {frame:?}"),
            _ => continue,
        };
        match ServerMessage::parse(&text)? {
            ServerMessage::Order { order_id, status, .. } if orders.contains(&order_id.0) => {
                let statuses = told.entry(order_id.0).or_default();
                statuses.push(status.to_string());
                complete += usize::from(statuses.len() == 3);
                deadline = tokio::time::Instant::now() + quiet;
            }
            ServerMessage::Error { code, message } => bail!("{code}: {message}"),
            ServerMessage::Reset => bail!("the live channel does not reach back far enough"),
            _ => {}
        }
    }
}
