//! Choosing how to pay, shared by the checkout and the order page.
//!
//! Card data never enters the shop: a way to pay is a token. In demo mode the
//! payment simulator's tokens are offered as they are.

use leptos::prelude::*;
use shared_types::orders::{PayOrder, PaymentMethod};

use crate::forms::{Errors, Typed, describe, field_error};

struct DemoCard {
    token: &'static str,
    name: &'static str,
    note: &'static str,
}

const DEMO_CARDS: [DemoCard; 5] = [
    DemoCard { token: "tok_ok", name: "Test card – approved", note: "Pays at once" },
    DemoCard { token: "tok_declined", name: "Test card – declined", note: "The bank says no" },
    DemoCard {
        token: "tok_insufficient_funds",
        name: "Test card – no money left",
        note: "Declined for lack of funds",
    },
    DemoCard {
        token: "tok_slow",
        name: "Test card – slow bank",
        note: "The answer takes its time",
    },
    DemoCard {
        token: "tok_lost_after",
        name: "Test card – lost answer",
        note: "Charged, but the answer gets lost; the shop finds out",
    },
];

/// The token chosen, or what is wrong with the choice.
pub fn chosen(typed: &Typed) -> Result<&'static str, &'static str> {
    let token = typed.text("token");
    let card = DEMO_CARDS.iter().find(|card| card.token == token);
    card.map(|card| card.token).ok_or("Choose how you want to pay.")
}

/// The request that pays with this token.
pub fn pay_with(token: &str) -> PayOrder {
    let method = PaymentMethod { kind: "card".to_owned(), token: token.to_owned() };
    PayOrder { payment_method: Some(method) }
}

/// The choice of demo cards as a fieldset; the first is chosen when none was.
pub fn choice(typed: &Typed, errors: &Errors) -> AnyView {
    let chosen = chosen(typed).unwrap_or(DEMO_CARDS[0].token);
    let error = errors.of("token");
    let cards: Vec<_> = DEMO_CARDS
        .iter()
        .enumerate()
        .map(|(at, card)| {
            let id = if at == 0 { "f-token".to_owned() } else { format!("f-token-{at}") };
            view! {
                <li>
                    <input type="radio" name="token" id=id.clone() value=card.token checked=card.token == chosen/>
                    <label for=id class="option option-card">
                        <span class="option-title">{card.name}</span>
                        <span class="option-note">{card.note}</span>
                    </label>
                </li>
            }
        })
        .collect();
    view! {
        <fieldset class="options options-list" aria-describedby=describe("f-token", true, error.is_some())>
            <legend>"Pay with"</legend>
            <p class="field-hint" id="f-token-hint">"Demonstration: no real card, no real money."</p>
            <ul>{cards}</ul>
            {field_error("f-token", error)}
        </fieldset>
    }
    .into_any()
}
