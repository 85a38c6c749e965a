//! The state behind the window: at most one session with its feed, the orders
//! known last, and what the window is told.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use desktop_bridge::{
    Board, Connection, Feed, KnownShop, OrderPage, OrderRow, Refusal, RefusalKind, Session, SignIn,
    TokenStore, events,
};
use serde::Serialize;
use shared_types::Timestamp;
use tauri::{AppHandle, Emitter, async_runtime::JoinHandle};
use tokio::sync::Notify;

use crate::{
    config::Home,
    feed,
    session::{NoAccess, Signed},
    shop_api::{ApiError, ShopApi},
    shop_url::ShopUrl,
    shops::{Current, Shops},
    vault::Vault,
};

/// The one shell of the program.
pub struct Shell {
    app: AppHandle,
    vault: Arc<Vault>,
    shops: Mutex<Shops>,
    /// Held while signing in or out: these never overlap.
    current: tokio::sync::Mutex<Option<Active>>,
    board: Mutex<Board>,
    feed: Mutex<Feed>,
    /// Tells the feed not to wait any longer.
    pub hurry: Notify,
}

struct Active {
    signed: Arc<Signed>,
    feed: JoinHandle<()>,
}

impl Shell {
    pub fn new(app: AppHandle, home: &Home, vault: Vault) -> Self {
        Shell {
            app,
            vault: Arc::new(vault),
            shops: Mutex::new(Shops::open(home.file("shops.json"))),
            current: tokio::sync::Mutex::new(None),
            board: Mutex::default(),
            feed: Mutex::default(),
            hurry: Notify::new(),
        }
    }

    /// Takes up the session of the last run, if one was kept.
    pub async fn restore(self: &Arc<Self>) {
        let mut current = self.current.lock().await;
        let Some(known) = lock(&self.shops).current().cloned() else { return };
        let (vault, shop) = (self.vault.clone(), known.shop.url.clone());
        let found = tauri::async_runtime::spawn_blocking(move || vault.find(&shop)).await;
        let refresh = match found {
            Ok(Ok(Some(refresh))) => refresh,
            Ok(Ok(None)) => return self.remember(|shops| shops.signed_out()),
            Ok(Err(why)) => return tracing::warn!(%why, "the kept session cannot be read"),
            Err(why) => return tracing::warn!(%why, "the kept session cannot be read"),
        };
        let Ok(url) = ShopUrl::parse(&known.shop.url) else { return };
        let Ok(api) = ShopApi::new(url) else { return };
        let vault = self.vault.clone();
        let signed = Signed::new(api, vault, known.shop.email, known.roles, refresh);
        self.start(&mut current, Arc::new(signed));
        drop(current);
        let session = self.session().await;
        self.emit(events::SESSION, &session);
    }

    /// Who is signed in where, and how the feed stands.
    pub async fn session(&self) -> Session {
        match &*self.current.lock().await {
            Some(active) => self.signed_in(&active.signed),
            None => self.signed_out(None),
        }
    }

    /// Signs in and starts the feed. A session that stood before is closed first.
    ///
    /// # Errors
    /// In words for the person.
    pub async fn sign_in(self: &Arc<Self>, wanted: SignIn) -> Result<Session, Refusal> {
        let url = ShopUrl::parse(&wanted.shop_url)?;
        let email = wanted.email.trim();
        if !email.contains('@') || email.len() > 254 {
            return Err(fields("Enter the e-mail address of your account."));
        }
        if wanted.password.is_empty() || wanted.password.len() > 1024 {
            return Err(fields("Enter your password."));
        }
        let mut current = self.current.lock().await;
        if let Some(before) = current.take() {
            before.feed.abort();
            before.signed.sign_out().await;
        }
        let api = ShopApi::new(url.clone()).map_err(|why| why.refusal(&url))?;
        let vault = self.vault.clone();
        let signed = Arc::new(Signed::in_with_password(api, vault, email, &wanted.password).await?);
        let shop = KnownShop { url: url.text().into(), email: email.into() };
        let roles = signed.roles();
        self.remember(|shops| shops.signed_in(Current { shop, roles }));
        self.start(&mut current, signed.clone());
        Ok(self.signed_in(&signed))
    }

    /// Ends the session, also at the shop.
    pub async fn sign_out(&self) -> Session {
        let mut current = self.current.lock().await;
        if let Some(active) = current.take() {
            active.feed.abort();
            active.signed.sign_out().await;
        }
        self.remember(|shops| shops.signed_out());
        lock(&self.board).clear();
        self.signed_out(None)
    }

    /// The shop has ended the session: the window is told why.
    pub async fn ended(&self, signed: &Signed, why: Refusal) {
        let mut current = self.current.lock().await;
        if !current.as_ref().is_some_and(|active| std::ptr::eq(&*active.signed, signed)) {
            return;
        }
        *current = None;
        signed.forget().await;
        self.remember(|shops| shops.signed_out());
        lock(&self.board).clear();
        self.emit(events::SESSION, &self.signed_out(Some(why)));
    }

    /// A page of orders; the newest ones also refresh the board. While the shop is
    /// away the first page is what the board holds.
    ///
    /// # Errors
    /// In words for the person.
    pub async fn list_orders(&self, after: Option<&str>) -> Result<OrderPage, Refusal> {
        let signed = self.current.lock().await.as_ref().map(|active| active.signed.clone());
        let Some(signed) = signed else {
            let message = "You are signed out.".into();
            return Err(Refusal { kind: RefusalKind::SignedOut, message });
        };
        match page_of_orders(&signed, after).await {
            Ok(page) => {
                lock(&self.board).merge(page.rows.iter().cloned());
                Ok(page)
            }
            Err(NoAccess::Away(ApiError::Unreachable(_))) if after.is_none() => {
                let rows = lock(&self.board).rows().to_vec();
                Ok(OrderPage { rows, older: None, stale: true })
            }
            Err(NoAccess::Away(why)) => Err(why.refusal(&signed.api.url)),
            Err(NoAccess::Ended(why)) => {
                self.ended(&signed, why.clone()).await;
                Err(why)
            }
        }
    }

    /// Orders that the feed brought.
    pub fn arrived(&self, rows: Vec<OrderRow>) {
        lock(&self.board).merge(rows.iter().cloned());
        self.emit(events::ORDER, &rows);
    }

    /// The feed stands differently.
    pub fn connection_is(&self, connection: Connection) {
        let feed = self.turn_feed(connection);
        self.emit(events::CONNECTION, &feed);
    }

    fn turn_feed(&self, connection: Connection) -> Feed {
        let mut feed = lock(&self.feed);
        *feed = Feed { turn: feed.turn + 1, connection };
        feed.clone()
    }

    pub fn emit(&self, event: &str, payload: &(impl Serialize + Clone)) {
        if let Err(why) = self.app.emit_to("main", event, payload.clone()) {
            tracing::warn!(event, %why, "the window was not told");
        }
    }

    fn start(self: &Arc<Self>, current: &mut Option<Active>, signed: Arc<Signed>) {
        lock(&self.board).clear();
        self.turn_feed(Connection::Connecting);
        let feed = tauri::async_runtime::spawn(feed::run(self.clone(), signed.clone()));
        *current = Some(Active { signed, feed });
    }

    fn signed_in(&self, signed: &Signed) -> Session {
        Session::SignedIn {
            shop_url: signed.api.url.text().into(),
            email: signed.email.clone(),
            roles: signed.roles(),
            token_store: self.token_store(),
            feed: lock(&self.feed).clone(),
        }
    }

    fn signed_out(&self, ended: Option<Refusal>) -> Session {
        let shops = lock(&self.shops).known().to_vec();
        Session::SignedOut { shops, token_store: self.token_store(), ended }
    }

    fn token_store(&self) -> TokenStore {
        self.vault.store()
    }

    /// A settings file that cannot be written costs the memory, not the work.
    fn remember(&self, change: impl FnOnce(&mut Shops) -> io::Result<()>) {
        if let Err(why) = change(&mut lock(&self.shops)) {
            tracing::warn!(%why, "the remembered shops could not be written");
        }
    }
}

/// One page, with one renewal when the shop does not take the token.
async fn page_of_orders(signed: &Signed, after: Option<&str>) -> Result<OrderPage, NoAccess> {
    let token = signed.access(None).await?;
    let page = match signed.api.orders(&token, after).await {
        Err(why) if why.status() == Some(401) => {
            let token = signed.access(Some(&token)).await?;
            signed.api.orders(&token, after).await
        }
        other => other,
    }
    .map_err(NoAccess::Away)?;
    let older = page.page_info.end_cursor.filter(|_| page.page_info.has_next_page);
    Ok(OrderPage {
        rows: page.items.into_iter().map(OrderRow::from).collect(),
        older,
        stale: false,
    })
}

/// Now, by this machine's clock.
pub fn now() -> Option<Timestamp> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).ok()?)
}

fn fields(message: &str) -> Refusal {
    Refusal { kind: RefusalKind::Fields, message: message.into() }
}

/// A panic in another holder leaves these values whole: each is set in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|gone| gone.into_inner())
}
