//! Shows the decoded header and payload of a token. It leaves out the signature, so what the page
//! shows cannot be used as a token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use maud::{Markup, html};
use serde_json::{Map, Value};

/// The decoded token as HTML. Nothing here is verified.
pub(crate) fn markup(text: &str) -> Markup {
    let mut parts = text.split('.');
    let header = parts.next().and_then(object);
    let payload = parts.next().and_then(object);
    let signature = parts.next().unwrap_or_default();
    html! {
        (part("Header", header.as_ref(), HEADER))
        (part("Payload", payload.as_ref(), PAYLOAD))
        h3 { "Signature" }
        p {
            code { "…" } " " (signature.len())
            " characters. No page shows them: anyone who has the complete token can act as you."
        }
    }
}

fn part(title: &str, object: Option<&Map<String, Value>>, known: &[(&str, &str)]) -> Markup {
    let Some(object) = object else {
        return html! { h3 { (title) } p { "This part cannot be decoded." } };
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
    ("alg", "The signature algorithm. The server accepts only the one that it uses itself."),
    ("kid", "The id of the server's master key. Your signing key is derived from that key."),
    ("typ", "The type of the token. Tokens of another type are signed with another key."),
];

const PAYLOAD: &[(&str, &str)] = &[
    ("iss", "The issuer: the server that issued the token."),
    ("sub", "The subject: your user id."),
    ("aud", "The audience: the service that the token is for."),
    ("exp", "The expiry time, in seconds since 1970."),
    ("iat", "The time of issue, in seconds since 1970."),
    (
        "jti",
        "The token id, for logs. Its second half is the guard: the server uses it to reject a forged \
         token before it queries the database.",
    ),
    (
        "ver",
        "Your version counter. Logging out everywhere increases the counter in the database, and \
         tokens with an older version are rejected.",
    ),
    (
        "sid",
        "The session id of this device: its slot in your sessions table, and the generation, which \
         is new with each login.",
    ),
];
