//! The small print, in plain words.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use leptos::prelude::*;

use super::errors;
use crate::layout::{Head, page};
use crate::parts::breadcrumbs;
use crate::visit::Visit;

struct Text {
    title: &'static str,
    /// Heading and paragraph.
    sections: &'static [(&'static str, &'static str)],
}

const IMPRINT: Text = Text {
    title: "Imprint",
    sections: &[
        (
            "Who runs this shop",
            "Bellavista is run by whoever installed it. A real installation names the company, its address, register number, tax number and a person to talk to here.",
        ),
        (
            "Demonstration",
            "As delivered this is a demonstration: products, prices and orders are invented, and no contract comes about.",
        ),
        (
            "Typefaces and icons",
            "Fraunces and Instrument Sans are used under the SIL Open Font License; the icons come from Lucide under the ISC licence.",
        ),
    ],
};

const PRIVACY: Text = Text {
    title: "Privacy",
    sections: &[
        (
            "What we keep",
            "For an order we keep your e-mail address, your delivery address and what you ordered. For an account we also keep your name and a hash of your password. Personal details are stored encrypted and never appear in logs or statistics.",
        ),
        (
            "Cookies",
            "Only those the shop cannot work without: one that keeps a guest's cart, one that keeps you signed in, one that opens the page of an order you placed, and two that make sure a form is yours. None of them follows you anywhere, so there is no banner.",
        ),
        (
            "Payment",
            "Card numbers never reach us. The payment page gives us a token, and the token is all we use.",
        ),
        (
            "Your rights",
            "You can have a copy of your data or have it erased. What tax law obliges us to keep is kept without your name.",
        ),
    ],
};

const TERMS: Text = Text {
    title: "Terms",
    sections: &[
        (
            "The order",
            "When you order, your things are set aside for ten minutes so that you can pay in peace. The first try to pay extends this once. What is not paid by then is released again.",
        ),
        (
            "The contract",
            "The contract comes about when we confirm the order. If something has sold out at the very last moment we say so, and every amount paid goes back to you.",
        ),
        (
            "Prices",
            "The total you see before ordering is what you pay, with tax and delivery. If it changes while you are typing, we ask again before anything is placed.",
        ),
        (
            "Cancelling",
            "Until an order is paid you can cancel it yourself on its page. Afterwards write to us, as long as it has not left the house.",
        ),
    ],
};

const RETURNS: Text = Text {
    title: "Delivery and returns",
    sections: &[
        (
            "Delivery",
            "Standard delivery takes three to five working days. It costs 4.90 and is free from 50.00.",
        ),
        ("Packaging", "Paper, card and straw. Ceramics travel in boxes that we gladly take back."),
        (
            "Returns",
            "Thirty days from arrival, unused, in the box it came in. The money goes back the way it came, within three days after we have the parcel.",
        ),
        (
            "Broken on the way",
            "Send us a picture within a week and we send another one, or the money back if there is none.",
        ),
    ],
};

pub async fn show(visit: Visit, Path(name): Path<String>) -> Response {
    let text = match name.as_str() {
        "imprint" => &IMPRINT,
        "privacy" => &PRIVACY,
        "terms" => &TERMS,
        "returns" => &RETURNS,
        _ => return errors::not_found(visit).await,
    };
    let sections: Vec<_> = text
        .sections
        .iter()
        .map(|(heading, paragraph)| view! { <section><h2>{*heading}</h2><p>{*paragraph}</p></section> })
        .collect();
    let head = Head {
        canonical: Some(format!("/legal/{name}")),
        description: format!("{} of the Bellavista shop.", text.title),
        ..Head::new(text.title)
    };
    let body = view! {
        <div class="frame">
            {breadcrumbs(vec![("/".into(), "Home".into())], text.title)}
            <article class="legal prose"><h1>{text.title}</h1>{sections}</article>
        </div>
    };
    page(&visit, StatusCode::OK, head, body.into_any()).await
}
