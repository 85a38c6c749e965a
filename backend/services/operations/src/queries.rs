//! What operators see.

use base64::{Engine, engine::general_purpose::STANDARD};
use platform::auth::Principal;
use platform::paging::{self, Paging};
use platform::{ApiError, Kind};
use shared_types::operations::{
    AuditFact, LetterDetail, LetterGroups, LetterState, LetterSummary, Redrive, RedriveItem,
    RedriveItemState, RedriveState,
};
use shared_types::{DeadLetterId, Page, RedriveId};

use crate::App;
use crate::commands::redrive::viewed;
use crate::commands::unknown_letter;
use crate::domain::{edit, trial};
pub use crate::store::facts::Filter as AuditFilter;
use crate::store::letters::{self, Listed};
use crate::store::search;
pub use crate::store::search::Filter;
use crate::store::{
    facts,
    redrives::{self, Stored as StoredRedrive},
};

pub async fn groups(app: &App, mut filter: Filter) -> Result<LetterGroups, ApiError> {
    if filter.states.is_empty() {
        filter.states = vec![LetterState::Open, LetterState::Redriving];
    }
    let mut connection = app.ctx.pool.acquire().await?;
    Ok(search::groups(&mut connection, &filter).await?)
}

/// Letters with what their cursors are made of.
pub async fn listed(app: &App, filter: &Filter, page: &Paging) -> Result<Page<Listed>, ApiError> {
    let (limit, before) = (page.limit()?, page.position::<i64>()?);
    let mut connection = app.ctx.pool.acquire().await?;
    let found = search::list(&mut connection, filter, before, limit + 1).await?;
    Ok(paging::page(found, limit, |l| l.number))
}

pub async fn list(
    app: &App,
    filter: &Filter,
    page: &Paging,
) -> Result<Page<LetterSummary>, ApiError> {
    let page = listed(app, filter, page).await?;
    let items = page.items.into_iter().map(|l| l.summary).collect();
    Ok(Page { items, page_info: page.page_info })
}

/// Everything about one letter. That it was seen is recorded with it.
pub async fn detail(
    app: &App,
    caller: &Principal,
    id: DeadLetterId,
) -> Result<LetterDetail, ApiError> {
    let mut tx = app.ctx.pool.begin().await?;
    let letter = letters::find(&mut tx, id).await?.ok_or_else(unknown_letter)?;
    let summary = &letter.summary;
    let aggregate = summary.aggregate_id.as_deref();
    let same_aggregate = letters::relatives(&mut tx, id, aggregate, summary.order_id).await?;
    let failures = letters::failures(&mut tx, id).await?;
    let notes = letters::notes(&mut tx, id).await?;
    let copies = letters::copies(&mut tx, id).await?;
    app.ctx.audit.record(&mut tx, viewed(caller, id)).await?;
    tx.commit().await?;
    let shown = |(name, value): (&String, &String)| {
        let value = if edit::is_secret(name) { "***".to_owned() } else { value.clone() };
        (name.clone(), value)
    };
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let value = text(&letter.value);
    Ok(LetterDetail {
        key: text(&letter.key),
        value_base64: value.is_none().then(|| STANDARD.encode(&letter.value)),
        value,
        headers: letter.headers.iter().map(shown).collect(),
        locked_headers: letter.headers.keys().filter(|n| edit::is_locked(n)).cloned().collect(),
        dry_run: trial::trial(letter.consumer(), &app.consumers, &letter.value),
        failures,
        notes,
        copies,
        same_aggregate,
        neighbours: crate::neighbours::of(app, &letter).await,
        letter: letter.summary,
    })
}

pub async fn redrive(app: &App, id: RedriveId) -> Result<Redrive, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    let found = redrives::find(&mut connection, id).await?;
    found.ok_or_else(|| ApiError::not_found("redrives.unknown"))
}

/// Redrives with their progress and what their cursors are made of.
pub async fn stored_redrives(
    app: &App,
    state: Option<RedriveState>,
    page: &Paging,
) -> Result<Page<StoredRedrive>, ApiError> {
    let (limit, before) = (page.limit()?, page.position::<i64>()?);
    let mut connection = app.ctx.pool.acquire().await?;
    let found = redrives::list(&mut connection, state, before, limit + 1).await?;
    let mut page = paging::page(found, limit, |r| r.number);
    let ids: Vec<RedriveId> = page.items.iter().map(|r| r.redrive.id).collect();
    let mut progress = redrives::progress_of(&mut connection, &ids).await?;
    for stored in &mut page.items {
        stored.redrive.progress = progress.remove(&stored.redrive.id).unwrap_or_default();
    }
    Ok(page)
}

pub async fn redrives(
    app: &App,
    state: Option<RedriveState>,
    page: &Paging,
) -> Result<Page<Redrive>, ApiError> {
    let page = stored_redrives(app, state, page).await?;
    let items = page.items.into_iter().map(|stored| stored.redrive).collect();
    Ok(Page { items, page_info: page.page_info })
}

pub async fn items(
    app: &App,
    id: RedriveId,
    state: Option<RedriveItemState>,
    page: &Paging,
) -> Result<Page<RedriveItem>, ApiError> {
    let (limit, after) = (page.limit()?, page.position::<i64>()?.unwrap_or(0));
    let mut connection = app.ctx.pool.acquire().await?;
    if redrives::find(&mut connection, id).await?.is_none() {
        return Err(ApiError::not_found("redrives.unknown"));
    }
    let found = redrives::items(&mut connection, id, state, after, limit + 1).await?;
    Ok(paging::page(found, limit, |i| i.position))
}

pub async fn audit(
    app: &App,
    filter: &AuditFilter,
    page: &Paging,
) -> Result<Page<AuditFact>, ApiError> {
    let (limit, before) = (page.limit()?, page.position::<i64>()?);
    let mut connection = app.ctx.pool.acquire().await?;
    let found = facts::list(&mut connection, filter, before, limit + 1).await?;
    Ok(paging::page(found, limit, |f| f.id))
}

/// A query parameter that has to be one of a set of words.
pub fn word<T: std::str::FromStr>(name: &str, text: Option<&str>) -> Result<Option<T>, ApiError> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        let detail = format!("{name} is not what it may be.");
        ApiError::new(Kind::Unparseable, "request.query", detail)
    })
}
