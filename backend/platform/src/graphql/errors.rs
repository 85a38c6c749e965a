//! Failures as a caller of the graph sees them.

use async_graphql::{Context, Error, ErrorExtensions, Value};

use crate::auth::{Principal, invalid_token};
use crate::error::{ApiError, Kind};

/// The verified caller, when the request carried a token.
pub fn caller<'a>(ctx: &Context<'a>) -> Option<&'a Principal> {
    ctx.data_opt::<Principal>()
}

/// The verified caller; 401 without one.
pub fn signed_in<'a>(ctx: &Context<'a>) -> Result<&'a Principal, ApiError> {
    caller(ctx).ok_or_else(invalid_token)
}

/// What the schema or the request was given under the type `T`.
pub fn held<'a, T: Send + Sync + 'static>(ctx: &Context<'a>) -> Result<&'a T, ApiError> {
    ctx.data::<T>().map_err(|error| ApiError::internal(anyhow::anyhow!(error.message)))
}

/// A field that may be null: when `work` fails it is, with an error beside it,
/// and what was asked for around it is answered all the same.
pub async fn or_null<T>(
    ctx: &Context<'_>,
    work: impl Future<Output = Result<Option<T>, Error>>,
) -> Result<Option<T>, Error> {
    work.await.or_else(|error| {
        ctx.add_error(ctx.set_error_path(error.into_server_error(ctx.item.pos)));
        Ok(None)
    })
}

/// Null instead of 404.
pub fn found<T>(result: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is told of an error whose inside nobody may see.
const INTERNAL: &str = "Something went wrong here.";

impl ApiError {
    /// The failure as an entry of a GraphQL answer's `errors`. It says what the
    /// problem document over REST would.
    pub fn as_graphql(&self) -> Error {
        self.log();
        let message = match self.kind {
            Kind::Internal => INTERNAL.to_owned(),
            _ if self.detail.is_empty() => self.problem().title,
            _ => self.detail.clone(),
        };
        let problem = self.problem();
        Error::new(message).extend_with(|_, e| {
            e.set("code", problem.code.as_str());
            e.set("status", i32::from(problem.status));
            e.set("traceId", problem.instance.as_str());
            if !problem.errors.is_empty()
                && let Ok(fields) = serde_json::to_value(&problem.errors)
                && let Ok(fields) = Value::from_json(fields)
            {
                e.set("errors", fields);
            }
            if let Some(after) = self.retry_after {
                e.set(
                    "retryAfterSeconds",
                    i32::try_from(after.as_secs().max(1)).unwrap_or(i32::MAX),
                );
            }
        })
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        error.as_graphql()
    }
}
