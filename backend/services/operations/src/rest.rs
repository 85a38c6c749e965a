//! Dead letters, redrives and the audit log over REST: ADMIN and OPERATOR.

mod letters;
mod redrives;

use axum::extract::State;
use platform::ApiError;
use platform::auth::Principal;
use platform::http::{Json, QueryOf};
use platform::paging::Paging;
use serde::Deserialize;
use shared_types::operations::AuditFact;
use shared_types::{Page, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::commands::require_operator;
use crate::queries::{self, AuditFilter};

/// Paths below `/api/v1`.
pub fn router(app: App) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(letters::groups))
        .routes(routes!(letters::list))
        .routes(routes!(redrives::list_redrives, redrives::plan_redrive))
        .routes(routes!(redrives::get_redrive))
        .routes(routes!(redrives::list_items))
        .routes(routes!(redrives::start))
        .routes(routes!(redrives::pause))
        .routes(routes!(redrives::resume))
        .routes(routes!(redrives::cancel))
        .routes(routes!(letters::get_letter))
        .routes(routes!(letters::add_note))
        .routes(routes!(letters::copy_letter))
        .routes(routes!(letters::delete_letter))
        .routes(routes!(letters::restore_letter))
        .routes(routes!(letters::redirect_letter))
        .routes(routes!(letters::redrive_letter))
        .routes(routes!(list_audit))
        .with_state(app)
}

/// What the audit log is searched by; exact.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, rename_all = "camelCase")]
struct AuditQuery {
    service: Option<String>,
    /// `user:…`, `service:…`.
    actor: Option<String>,
    action: Option<String>,
    target: Option<String>,
}

/// What was done by whom, newest first.
#[utoipa::path(
    get,
    path = "/admin/audit",
    tag = "operations",
    params(AuditQuery, Paging),
    responses(
        (status = 200, description = "A page of audit entries of all services", body = Page<AuditFact>),
        (status = 400, description = "Wrong query parameters", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn list_audit(
    State(app): State<App>,
    caller: Principal,
    QueryOf(query): QueryOf<AuditQuery>,
    QueryOf(paging): QueryOf<Paging>,
) -> Result<Json<Page<AuditFact>>, ApiError> {
    require_operator(&caller)?;
    let given = |text: Option<String>| text.filter(|t| !t.is_empty());
    let filter = AuditFilter {
        service: given(query.service),
        actor: given(query.actor),
        action: given(query.action),
        target: given(query.target),
    };
    Ok(Json(queries::audit(&app, &filter, &paging).await?))
}
