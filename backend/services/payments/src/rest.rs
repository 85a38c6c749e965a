//! REST: what support sees of a payment.

use axum::extract::State;
use platform::ApiError;
use platform::auth::Principal;
use platform::http::{Json, PathOf};
use shared_types::payments::Payment;
use shared_types::{PaymentId, Problem, Role};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::house::House;
use crate::queries;

pub fn router(house: House) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(get_payment)).with_state(house)
}

/// One payment. Buyers see theirs on the order.
#[utoipa::path(
    get,
    path = "/payments/{id}",
    tag = "payments",
    operation_id = "getPayment",
    params(("id" = PaymentId, Path, description = "Payment id")),
    responses(
        (status = 200, description = "The payment", body = Payment),
        (status = 401, description = "No or a wrong token", body = Problem),
        (status = 403, description = "Needs the role SUPPORT or a service account", body = Problem),
        (status = 404, description = "No such payment", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn get_payment(
    State(house): State<House>,
    caller: Principal,
    PathOf(id): PathOf<PaymentId>,
) -> Result<Json<Payment>, ApiError> {
    if !caller.is_service() {
        caller.require_role(Role::Support)?;
    }
    queries::get_payment(&house, id).await.map(Json)
}
