//! Operations' part of the graph: translation only, for ADMIN and OPERATOR.

mod letter;
mod mutations;
mod redrive;

use async_graphql::{
    Context, EmptySubscription, ID, InputObject, Object, Result, Schema, SimpleObject,
};
use platform::ApiError;
use platform::auth::Principal;
use platform::graphql::{
    Connection, DateTime, Long, NodeId, Refusal, Subgraph, connection, found, held, limited,
    or_null, page_cost, paging, signed_in,
};
use shared_types::operations as told;

use crate::App;
use crate::commands::require_operator;
use crate::queries;

use letter::{DeadLetter, DeadLetterContent, DeadLetterFilter, DeadLetterGroups};
use redrive::{Redrive, RedriveItem, RedriveItemState, RedriveState};

/// The subgraph over `app`.
pub fn graph(app: App) -> Subgraph {
    let verifier = app.ctx.verifier.clone();
    let schema = Schema::build(Query, mutations::Mutation, EmptySubscription)
        .register_output_type::<Refusal>()
        .data(app);
    Subgraph::new("operations", limited(schema).finish(), verifier, |request| request)
}

/// The caller, who must be an operator.
fn operator<'a>(ctx: &Context<'a>) -> Result<&'a Principal, ApiError> {
    let caller = signed_in(ctx)?;
    require_operator(caller)?;
    Ok(caller)
}

/// A text that something has to be equal to, when one was given. PostgreSQL
/// holds no NUL, so nothing is equal to a text with one.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|t| !t.is_empty()).map(|t| storable(&t))
}

fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// What the audit log is searched by; exact.
#[derive(Clone, Debug, Default, InputObject)]
pub struct AuditFilter {
    service: Option<String>,
    /// `user:…`, `service:…`.
    actor: Option<String>,
    action: Option<String>,
    target: Option<String>,
}

/// What was done by whom.
#[derive(Clone, SimpleObject)]
pub struct AuditEntry {
    /// The service whose log it is in, and its place there.
    service: String,
    seq: Long,
    at: DateTime,
    actor: String,
    action: String,
    target: String,
    reason: Option<String>,
    before_hash: Option<String>,
    after_hash: Option<String>,
    hash: String,
}

impl From<told::AuditFact> for AuditEntry {
    fn from(f: told::AuditFact) -> Self {
        AuditEntry {
            service: f.service,
            seq: Long(f.seq),
            at: f.at.into(),
            actor: f.actor,
            action: f.action,
            target: f.target,
            reason: f.reason,
            before_hash: f.before_hash,
            after_hash: f.after_hash,
            hash: f.hash,
        }
    }
}

pub struct Query;

#[Object]
impl Query {
    /// Messages that a consumer could not handle, the latest first.
    #[graphql(complexity = "20 + page_cost(first, child_complexity)")]
    async fn dead_letters(
        &self,
        ctx: &Context<'_>,
        filter: Option<DeadLetterFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Option<Connection<DeadLetter>>> {
        or_null(ctx, async {
            operator(ctx)?;
            let filter = filter.unwrap_or_default().into_filter()?;
            let page = queries::listed(held::<App>(ctx)?, &filter, &paging(first, after)).await?;
            Ok(Some(connection(page, |l| l.number, |l| DeadLetter::from(l.summary))?))
        })
        .await
    }

    /// Dead letters by cause, with the orders, customers and money at risk;
    /// open ones unless the filter says otherwise.
    #[graphql(complexity = "100 + child_complexity")]
    async fn dead_letter_groups(
        &self,
        ctx: &Context<'_>,
        filter: Option<DeadLetterFilter>,
    ) -> Result<Option<DeadLetterGroups>> {
        or_null(ctx, async {
            operator(ctx)?;
            let filter = filter.unwrap_or_default().into_filter()?;
            Ok(Some(queries::groups(held::<App>(ctx)?, filter).await?.into()))
        })
        .await
    }

    /// Everything about one letter. That it was seen is recorded.
    #[graphql(complexity = "200 + child_complexity")]
    async fn dead_letter_content(
        &self,
        ctx: &Context<'_>,
        id: ID,
    ) -> Result<Option<DeadLetterContent>> {
        or_null(ctx, async {
            let caller = operator(ctx)?;
            let Some(id) = NodeId::read("DeadLetter", &id) else { return Ok(None) };
            let detail = queries::detail(held::<App>(ctx)?, caller, id).await;
            Ok(found(detail)?.map(DeadLetterContent::from))
        })
        .await
    }

    /// Redrives, the latest first.
    #[graphql(complexity = "20 + page_cost(first, child_complexity)")]
    async fn redrives(
        &self,
        ctx: &Context<'_>,
        state: Option<RedriveState>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Option<Connection<Redrive>>> {
        or_null(ctx, async {
            operator(ctx)?;
            let (app, page) = (held::<App>(ctx)?, paging(first, after));
            let page = queries::stored_redrives(app, state.map(Into::into), &page).await?;
            Ok(Some(connection(page, |r| r.number, |r| Redrive::from(r.redrive))?))
        })
        .await
    }

    #[graphql(complexity = "20 + child_complexity")]
    async fn redrive(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Redrive>> {
        or_null(ctx, async {
            operator(ctx)?;
            let Some(id) = NodeId::read("Redrive", &id) else { return Ok(None) };
            Ok(found(queries::redrive(held::<App>(ctx)?, id).await)?.map(Redrive::from))
        })
        .await
    }

    /// The messages of a redrive, in the order in which they go.
    #[graphql(complexity = "20 + page_cost(first, child_complexity)")]
    async fn redrive_items(
        &self,
        ctx: &Context<'_>,
        redrive: ID,
        state: Option<RedriveItemState>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Option<Connection<RedriveItem>>> {
        or_null(ctx, async {
            operator(ctx)?;
            let Some(id) = NodeId::read("Redrive", &redrive) else { return Ok(None) };
            let (app, page) = (held::<App>(ctx)?, paging(first, after));
            let items = queries::items(app, id, state.map(Into::into), &page).await;
            let Some(page) = found(items)? else { return Ok(None) };
            Ok(Some(connection(page, |i| i.position, RedriveItem::from)?))
        })
        .await
    }

    /// What was done by whom, newest first.
    #[graphql(complexity = "20 + page_cost(first, child_complexity)")]
    async fn audit_entries(
        &self,
        ctx: &Context<'_>,
        filter: Option<AuditFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Option<Connection<AuditEntry>>> {
        or_null(ctx, async {
            operator(ctx)?;
            let filter = filter.unwrap_or_default();
            let filter = queries::AuditFilter {
                service: given(filter.service),
                actor: given(filter.actor),
                action: given(filter.action),
                target: given(filter.target),
            };
            let page = queries::audit(held::<App>(ctx)?, &filter, &paging(first, after)).await?;
            Ok(Some(connection(page, |f| f.id, AuditEntry::from)?))
        })
        .await
    }
}
