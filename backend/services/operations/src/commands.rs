//! What operators do: one transaction each, with its audit entry.

pub mod letter;
pub mod redrive;

use platform::auth::Principal;
use platform::validate::Checks;
use platform::{ApiError, Kind};
use shared_types::operations::LetterState;
use shared_types::{DeadLetterId, Role};

use crate::store::letters::Letter;

/// A reason is a sentence.
const REASON_CHARS: std::ops::RangeInclusive<usize> = 3..=500;

/// ADMIN or OPERATOR.
pub fn require_operator(caller: &Principal) -> Result<(), ApiError> {
    if caller.has_role(Role::Admin) {
        return Ok(());
    }
    caller.require_role(Role::Operator)
}

pub fn unknown_letter() -> ApiError {
    ApiError::not_found("dead_letters.unknown")
}

pub fn target(id: DeadLetterId) -> String {
    format!("dead_letter:{id}")
}

/// The reason as it is kept; noted in `checks` when it is needed and missing.
pub fn reason(given: Option<&str>, needed: bool, checks: &mut Checks) -> Option<String> {
    match given.map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => Some(checks.text("reason", text, REASON_CHARS)),
        None => {
            checks.ensure(!needed, "reason", "required", "is required");
            None
        }
    }
}

/// 409 unless the letter waits for a person.
pub fn require_open(letter: &Letter) -> Result<(), ApiError> {
    let (code, detail) = match letter.summary.state {
        LetterState::Open => return Ok(()),
        LetterState::Redriving => ("dead_letters.redriving", "It was sent back a moment ago."),
        LetterState::Deleted => ("dead_letters.deleted", "It is deleted; restore it first."),
        _ => ("dead_letters.resolved", "It is resolved already."),
    };
    let state = serde_json::Value::from(letter.summary.state.as_str());
    Err(ApiError::new(Kind::Conflict, code, detail).with_extension("state", state))
}
