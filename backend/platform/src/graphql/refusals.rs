//! Expected refusals of a mutation: data of its answer, each of a type.
//!
//! A caller who is not signed in, lacks a role, is too fast or comes while
//! something is away gets an error instead; so does whoever meets a fault.

use async_graphql::{Interface, SimpleObject, Union};
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::idempotency::Answer;

/// One wrong field of an input.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
#[graphql(shareable)]
pub struct WrongField {
    /// Where it is: `variants[1].sku`.
    pub field: String,
    /// Stable, for programs.
    pub code: String,
    pub message: String,
}

/// Fields are wrong: all of them are named.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
#[graphql(shareable)]
pub struct InvalidInput {
    pub code: String,
    pub message: String,
    pub fields: Vec<WrongField>,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
        #[graphql(shareable)]
        pub struct $name {
            pub code: String,
            pub message: String,
        }
    )*};
}

refusals! {
    /// What the mutation is about does not exist, or not for this caller.
    NotFound;
    /// It is in a state that does not allow this.
    Conflict;
    /// It changed since the version that was named.
    Stale;
    /// A rule refuses it.
    Refused;
    /// The payment was declined.
    Declined;
}

/// Why a mutation changed nothing.
#[allow(clippy::duplicated_attributes, reason = "two fields of one type are no repetition")]
#[derive(Clone, Debug, Interface)]
#[graphql(
    field(name = "code", ty = "&String", desc = "Stable, for programs: `orders.stock_short`."),
    field(name = "message", ty = "&String", desc = "For people.")
)]
pub enum Refusal {
    InvalidInput(InvalidInput),
    NotFound(NotFound),
    Conflict(Conflict),
    Stale(Stale),
    Refused(Refused),
    Declined(Declined),
}

/// The refusals that every mutation may answer with.
#[derive(Clone, Debug, PartialEq, Eq, Union)]
pub enum CommonRefusal {
    InvalidInput(InvalidInput),
    NotFound(NotFound),
    Conflict(Conflict),
    Stale(Stale),
    Refused(Refused),
    Declined(Declined),
}

impl CommonRefusal {
    /// The refusal that `error` is; the error again when it is none to expect.
    pub fn of(error: ApiError) -> Result<Self, ApiError> {
        CommonRefusal::of_problem(error.problem()).ok_or(error)
    }

    /// The refusal that a problem document tells of; none when it tells of an
    /// error.
    pub fn of_problem(problem: shared_types::Problem) -> Option<Self> {
        let shared_types::Problem { status, code, detail, title, errors, .. } = problem;
        let message = if detail.is_empty() { title } else { detail };
        Some(match status {
            404 => CommonRefusal::NotFound(NotFound { code, message }),
            409 => CommonRefusal::Conflict(Conflict { code, message }),
            412 => CommonRefusal::Stale(Stale { code, message }),
            402 => CommonRefusal::Declined(Declined { code, message }),
            422 if errors.is_empty() => CommonRefusal::Refused(Refused { code, message }),
            400 | 422 => {
                let fields = errors.into_iter().map(|e| WrongField {
                    field: e.field,
                    code: e.code,
                    message: e.message,
                });
                let fields = fields.collect();
                CommonRefusal::InvalidInput(InvalidInput { code, message, fields })
            }
            _ => return None,
        })
    }
}

/// The payload of a mutation: what it made, or why it was refused.
pub fn outcome<T, R>(
    done: Result<T, ApiError>,
    made: impl FnOnce(T) -> R,
    refused: impl FnOnce(CommonRefusal) -> R,
) -> Result<R, ApiError> {
    match done {
        Ok(value) => Ok(made(value)),
        Err(error) => CommonRefusal::of(error).map(refused),
    }
}

/// [`outcome`] of a command whose answers are kept: the answer read again, or
/// the refusal that was kept.
pub fn outcome_of_answer<T: DeserializeOwned, R>(
    done: Result<Answer, ApiError>,
    made: impl FnOnce(StatusCode, T) -> R,
    refused: impl FnOnce(CommonRefusal) -> R,
) -> Result<R, ApiError> {
    let answer = match done {
        Ok(answer) => answer,
        Err(error) => return CommonRefusal::of(error).map(refused),
    };
    if answer.status.is_success() {
        let value = serde_json::from_slice(&answer.body).map_err(ApiError::internal)?;
        return Ok(made(answer.status, value));
    }
    let problem: shared_types::Problem =
        serde_json::from_slice(&answer.body).map_err(ApiError::internal)?;
    let status = problem.status;
    CommonRefusal::of_problem(problem)
        .map(refused)
        .ok_or_else(|| ApiError::internal(anyhow::anyhow!("an answer of status {status} was kept")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn expected_failures_become_refusals_and_the_others_stay_errors() {
        let fields = vec![shared_types::FieldError {
            field: "lines[0].qty".into(),
            code: "range".into(),
            message: "must be at least 1".into(),
        }];
        let CommonRefusal::InvalidInput(invalid) =
            CommonRefusal::of(ApiError::invalid(fields)).unwrap()
        else {
            panic!("not an InvalidInput");
        };
        assert_eq!(invalid.fields[0].field, "lines[0].qty");
        let conflict = ApiError::new(Kind::Conflict, "orders.stock_short", "Too few.");
        let expected = Conflict { code: "orders.stock_short".into(), message: "Too few.".into() };
        assert_eq!(CommonRefusal::of(conflict).unwrap(), CommonRefusal::Conflict(expected));
        for kind in [
            Kind::Internal,
            Kind::Unavailable,
            Kind::Forbidden,
            Kind::Unauthenticated,
            Kind::Limited,
        ] {
            let kept = CommonRefusal::of(ApiError::new(kind, "x.y", "")).unwrap_err();
            assert_eq!(kept.kind, kind);
        }
    }
}
