//! Collects everything that is wrong with an input before refusing it.

use shared_types::FieldError;

use crate::error::ApiError;

/// Field errors gathered so far.
///
/// ```ignore
/// let mut checks = Checks::new();
/// let email = checks.text("email", &input.email, 3..=254);
/// checks.finish()?;
/// ```
#[derive(Debug, Default)]
pub struct Checks {
    errors: Vec<FieldError>,
}

/// More errors than this help nobody.
const MAX_ERRORS: usize = 100;

impl Checks {
    pub fn new() -> Self {
        Checks::default()
    }

    /// Notes an error. `code` is stable: `required`, `too_long`, …
    pub fn fail(&mut self, field: impl Into<String>, code: &str, message: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            let (code, message) = (code.to_owned(), message.into());
            self.errors.push(FieldError { field: field.into(), code, message });
        }
    }

    /// Notes an error unless `holds`.
    pub fn ensure(&mut self, holds: bool, field: &str, code: &str, message: &str) {
        if !holds {
            self.fail(field, code, message);
        }
    }

    /// A trimmed text whose length in characters lies in `chars`, without
    /// control characters (line breaks excepted).
    pub fn text(
        &mut self,
        field: &str,
        value: &str,
        chars: std::ops::RangeInclusive<usize>,
    ) -> String {
        let value = value.trim();
        let length = value.chars().count();
        if value.is_empty() && *chars.start() > 0 {
            self.fail(field, "required", "is required");
        } else if length < *chars.start() {
            self.fail(field, "too_short", format!("needs at least {} characters", chars.start()));
        } else if length > *chars.end() {
            self.fail(field, "too_long", format!("may have at most {} characters", chars.end()));
        } else if value.chars().any(|c| c.is_control() && c != '\n' && c != '\r' && c != '\t') {
            self.fail(field, "characters", "holds control characters");
        }
        value.to_owned()
    }

    /// Parses `value`; a failure becomes a field error with the parser's words.
    pub fn parse<T: std::str::FromStr>(&mut self, field: &str, value: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        if value.is_empty() {
            self.fail(field, "required", "is required");
            return None;
        }
        match value.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.fail(field, "invalid", format!("{error}"));
                None
            }
        }
    }

    /// The value, or a field error when it is absent.
    pub fn required<T>(&mut self, field: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.fail(field, "required", "is required");
        }
        value
    }

    /// An address that mail could reach, lower-cased.
    pub fn email(&mut self, field: &str, value: &str) -> String {
        let value = self.text(field, value, 3..=254).to_lowercase();
        let shaped = value.split_once('@').is_some_and(|(local, domain)| {
            let label = |l: &str| {
                !l.is_empty() && !l.starts_with('-') && !l.ends_with('-') && l.len() <= 63
            };
            (1..=64).contains(&local.len())
                && domain.contains('.')
                && domain.split('.').all(label)
                && !domain.contains('@')
                && !value.contains(char::is_whitespace)
        });
        if !value.is_empty() && !shaped {
            self.fail(field, "invalid", "must be an e-mail address");
        }
        value
    }

    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Refuses with 422 when anything was noted.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.errors)) }
    }

    pub fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        let mut checks = Checks::new();
        checks.email("email", "nobody");
        checks.text("name", "", 1..=10);
        checks.required::<u8>("qty", None);
        let error = checks.finish().unwrap_err();
        let fields: Vec<_> = error.fields.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["email", "name", "qty"]);
    }

    #[test]
    fn addresses_that_cannot_be_are_refused() {
        for bad in ["a", "@b.c", "a@b", "a b@c.de", "a@b..c", "a@-b.c", "a@b@c.de"] {
            let mut checks = Checks::new();
            checks.email("email", bad);
            assert!(!checks.is_empty(), "{bad}");
        }
        let mut checks = Checks::new();
        assert_eq!(checks.email("email", " Ada@Example.org "), "ada@example.org");
        assert!(checks.is_empty());
    }
}
