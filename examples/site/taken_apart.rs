//! A token taken apart, for people to look at: all but its signature, without which it is worth
//! nothing.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use maud::{Markup, html};
use serde_json::{Map, Value};

/// What the parts of this text say. Nothing of it is known to be true.
pub(crate) fn token(text: &str) -> Markup {
    let mut parts = text.split('.');
    let header = parts.next().and_then(object);
    let payload = parts.next().and_then(object);
    let signature = parts.next().unwrap_or_default();
    html! {
        (part("Header", header.as_ref(), HEADER))
        (part("Payload", payload.as_ref(), PAYLOAD))
        h3 { "Signature" }
        p { code { "…" } " " (signature.len()) " characters, which no page shows: whoever has them is you." }
    }
}

fn part(title: &str, object: Option<&Map<String, Value>>, known: &[(&str, &str)]) -> Markup {
    let Some(object) = object else {
        return html! { h3 { (title) } p { "It cannot be read." } };
    };
    let said = known.iter().filter_map(|(name, text)| Some((name, object.get(*name)?, text)));
    html! {
        h3 { (title) }
        pre tabindex="0" { (serde_json::to_string_pretty(object).unwrap_or_default()) }
        dl {
            @for (name, _, text) in said {
                dt { code { (name) } }
                dd { (text) }
            }
        }
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

const HEADER: &[(&str, &str)] = &[
    ("alg", "How it is signed. The server compares it with what it issues, and never obeys it."),
    ("kid", "Which of the server's keys yours is derived from."),
    ("typ", "What it is for. A token for something else has another key."),
];

const PAYLOAD: &[(&str, &str)] = &[
    ("iss", "Who issued it."),
    ("sub", "Whose it is: your id."),
    ("aud", "For whom it is meant."),
    ("exp", "When it dies by itself, in seconds since 1970."),
    ("iat", "When it was issued."),
    (
        "jti",
        "Names it in a log. Its second half is the guard: a forged token is found out by that, \
         before anything is looked up.",
    ),
    (
        "ver",
        "Your version. The one in the database moves on when you log out everywhere, and every \
         token with another one is dead.",
    ),
    ("sid", "Which of your devices: its slot, and the generation that began with its login."),
];
