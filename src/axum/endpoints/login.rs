//! Login by name and password.

use std::fmt;

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::request::Parts;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error, Visitor},
};
use zeroize::Zeroizing;

use crate::axum::{refusal::Refusal, web::Web};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_login(&self, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        #[derive(Deserialize)]
        struct Login {
            username: String,
            password: Zeroizing<String>,
            in_place_of: Option<String>,
            #[serde(default)]
            remember_me: RememberMe,
        }
        let Login { username, password, in_place_of, remember_me: RememberMe(is_wanted) } =
            self.body(parts, body).await?;
        let login = (self.0.normalize_login)(&username);
        let client = self.client(parts);
        let client = match self.0.remembered.as_ref().filter(|_| is_wanted) {
            Some(policy) => client.policy(policy),
            None => client,
        };
        // A text that is no id belongs to no session.
        let client = match in_place_of.and_then(|id| id.parse().ok()) {
            Some(id) => client.in_place_of(id),
            None => client,
        };
        Ok(self.login_of(parts, &login, &password, client).await?.into_response())
    }
}

/// A box that is ticked: `true` or `false` in JSON, and `on` or `true`, or `false`, in a form. Browsers
/// omit a box that is not ticked.
#[derive(Default)]
struct RememberMe(bool);

impl<'de> Deserialize<'de> for RememberMe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Ticked).map(Self)
    }
}

struct Ticked;

impl Visitor<'_> for Ticked {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false` or `on`")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        match value {
            "on" | "true" => Ok(true),
            "false" | "" => Ok(false),
            _ => Err(E::custom("neither ticked nor not")),
        }
    }
}
