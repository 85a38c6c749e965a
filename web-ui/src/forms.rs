//! What was typed into a form, what is wrong with it, and how both are shown.

use std::collections::BTreeMap;

use leptos::prelude::*;
use shared_types::FieldError;

/// The longest text a form field may carry on.
const MAX_FIELD_CHARS: usize = 400;

/// The fields of a form as typed, without spaces at the ends (but for passwords).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed(BTreeMap<String, String>);

impl Typed {
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let fit = |(name, value): (String, String)| {
            // Spaces may be part of a password; the API judges its length.
            let value = match name.as_str() {
                "password" => value,
                _ => value.trim().chars().take(MAX_FIELD_CHARS).collect(),
            };
            (name, value)
        };
        Typed(pairs.into_iter().take(64).map(fit).collect())
    }

    /// The field's text; empty when it is absent.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The same without fields that must not outlive the request.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|name, _| !names.contains(&name.as_str()));
        self
    }
}

/// What is wrong, field by field, in the order found.
#[derive(Clone, Debug, Default)]
pub struct Errors(Vec<(String, String)>);

impl Errors {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first complaint about a field is the one shown.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        if self.of(field).is_none() {
            self.0.push((field.to_owned(), message.into()));
        }
    }

    pub fn require(&mut self, typed: &Typed, field: &str, message: &str) {
        if typed.text(field).is_empty() {
            self.add(field, message);
        }
    }

    pub fn of(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == field).map(|(_, message)| message.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, message)| (name.as_str(), message.as_str()))
    }

    /// Takes over the API's field errors. `labels` maps the last part of the
    /// API's field path, which is the form's field name, to its label.
    pub fn take_over(&mut self, errors: &[FieldError], labels: &[(&str, &str)]) {
        for error in errors {
            let field = error.field.rsplit('.').next().unwrap_or_default();
            let label = labels.iter().find(|(name, _)| *name == field).map(|(_, label)| *label);
            let Some(label) = label else { continue };
            let starts_lower = error.message.chars().next().is_some_and(char::is_lowercase);
            match starts_lower {
                true => {
                    self.add(field, format!("{label} {}.", error.message.trim_end_matches('.')))
                }
                false => self.add(field, error.message.clone()),
            }
        }
    }
}

/// Says at the top of a form what has to be mended, with links to the fields.
pub fn error_summary(general: Option<&str>, errors: &Errors) -> AnyView {
    if general.is_none() && errors.is_empty() {
        return ().into_any();
    }
    let general = general.map(|text| view! { <p>{text.to_owned()}</p> });
    let items: Vec<_> = errors
        .iter()
        .map(|(field, message)| {
            view! { <li><a href=format!("#f-{field}")>{message.to_owned()}</a></li> }
        })
        .collect();
    let list = (!items.is_empty()).then(|| view! { <ul>{items}</ul> });
    view! {
        <div class="notice notice-problem" role="alert" id="problems" tabindex="-1">
            <h2 class="notice-title">"Please check this before you go on"</h2>
            {general}
            {list}
        </div>
    }
    .into_any()
}

/// A labelled input with its hint and error.
pub struct Field<'a> {
    pub name: &'a str,
    pub label: &'a str,
    pub kind: &'a str,
    pub autocomplete: &'a str,
    pub hint: Option<&'a str>,
    pub optional: bool,
    /// Class of the wrapper, for the width it takes in a row.
    pub width: &'a str,
}

impl Field<'_> {
    pub fn show(&self, typed: &Typed, errors: &Errors) -> AnyView {
        let id = format!("f-{}", self.name);
        let error = errors.of(self.name);
        let described = describe(&id, self.hint.is_some(), error.is_some());
        // A password is never sent back to the browser.
        let value = match self.kind {
            "password" => String::new(),
            _ => typed.text(self.name).to_owned(),
        };
        let optional = self.optional.then(|| view! { <span class="optional">" (optional)"</span> });
        view! {
            <div class=format!("field {}", self.width)>
                <label for=id.clone()>{self.label.to_owned()}{optional}</label>
                {hint(&id, self.hint)}
                <input
                    id=id.clone()
                    name=self.name.to_owned()
                    type=self.kind.to_owned()
                    value=value
                    autocomplete=self.autocomplete.to_owned()
                    maxlength="200"
                    required=!self.optional
                    aria-describedby=described
                    aria-invalid=error.map(|_| "true")
                />
                {field_error(&id, error)}
            </div>
        }
        .into_any()
    }
}

/// The value of `aria-describedby` for a control with this id.
pub fn describe(id: &str, hint: bool, error: bool) -> Option<String> {
    match (hint, error) {
        (false, false) => None,
        (true, false) => Some(format!("{id}-hint")),
        (false, true) => Some(format!("{id}-error")),
        (true, true) => Some(format!("{id}-hint {id}-error")),
    }
}

fn hint(id: &str, text: Option<&str>) -> Option<AnyView> {
    let (id, text) = (format!("{id}-hint"), text?.to_owned());
    Some(view! { <p class="field-hint" id=id>{text}</p> }.into_any())
}

/// The complaint under a control.
pub fn field_error(id: &str, message: Option<&str>) -> Option<AnyView> {
    let (id, message) = (format!("{id}-error"), message?.to_owned());
    Some(view! { <p class="field-error" id=id>{message}</p> }.into_any())
}

/// Whether a text can be an e-mail address; the API decides for good.
pub fn looks_like_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
    }) && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_s_field_paths_meet_the_form_s_fields() {
        let mut errors = Errors::default();
        let from_api = [FieldError {
            field: "shippingAddress.postalCode".into(),
            code: "invalid".into(),
            message: "is too long".into(),
        }];
        errors.take_over(&from_api, &[("postalCode", "Postal code")]);
        assert_eq!(errors.of("postalCode"), Some("Postal code is too long."));
    }

    #[test]
    fn addresses_without_host_are_noticed() {
        assert!(looks_like_email("ada@example.org"));
        for bad in ["ada", "ada@", "@example.org", "a b@c.de", "ada@example"] {
            assert!(!looks_like_email(bad), "{bad}");
        }
    }
}
