//! Extractors: the verified token of a request.

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;
use serde::{Serialize, de::DeserializeOwned};
use time::Duration;

use super::{refusal::Refusal, web::Web};
use crate::{
    authority::verified::Verified, live::Watch, store::StoredUser, token::purpose::NoClaims,
};

/// The verified access token of the request.
///
/// `Option<Authenticated>` is `None` if the request has no token or its token is rejected: the
/// client is then anonymous. All other refusals remain errors.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "destructured in a handler's arguments")]
pub struct Authenticated<F = (), C = NoClaims>(pub Verified<StoredUser<F>, C>);

/// The verified access token of the request, verified with the user's current record in the database
/// and not in the cache. Use it before a sensitive operation.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "destructured in a handler's arguments")]
pub struct Fresh<F = (), C = NoClaims>(pub Verified<StoredUser<F>, C>);

/// [`Fresh`], for a user who authenticated in the last `MINUTES` minutes: by a login, or by giving
/// the password again ([`endpoints::reauthenticate`](super::endpoints::reauthenticate)). Otherwise,
/// and for a token of no session, the response is 403. With fields and claims the number comes
/// first: `Recent<5, Profile, Role>`.
///
/// # Example
///
/// Pages that redirect to a form for the password:
///
/// ```
/// use axum::{
///     Form, Router,
///     extract::Request,
///     http::request::Parts,
///     middleware::{Next, from_fn},
///     response::{IntoResponse, Redirect, Response},
///     routing::{get, post},
/// };
/// use relatch::axum::{Grant, Recent, Refusal, Web, local_path};
/// use serde::Deserialize;
///
/// async fn keys(Recent(verified): Recent<5>) -> String {
///     format!("{:?}", verified.user())
/// }
///
/// /// A `from_fn`, because `map_response` does not have the request's URI.
/// async fn confirm_first(request: Request, next: Next) -> Response {
///     let confirm = format!("/confirm?to={}", request.uri().path());
///     let response = next.run(request).await;
///     match Refusal::of(&response) {
///         Some(Refusal::StepUp { .. }) => Redirect::to(&confirm).into_response(),
///         _ => response,
///     }
/// }
///
/// #[derive(Deserialize)]
/// struct Confirm {
///     password: String,
///     to: String,
/// }
///
/// /// Handles the form of the page `/confirm`.
/// async fn confirm(
///     web: Web,
///     request: Parts,
///     Form(form): Form<Confirm>,
/// ) -> Result<(Grant, Redirect), Refusal> {
///     let grant = web.reauthenticate(&request, &form.password).await?;
///     Ok((grant, Redirect::to(local_path(&form.to).unwrap_or("/"))))
/// }
///
/// # fn app(web: &Web) -> Router {
/// Router::new()
///     .route("/keys", get(keys))
///     .route("/confirm", post(confirm))
///     .layer(from_fn(confirm_first))
///     .layer(web.layer())
/// # }
/// ```
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "destructured in a handler's arguments")]
pub struct Recent<const MINUTES: u32, F = (), C = NoClaims>(pub Verified<StoredUser<F>, C>);

/// The verified access token of a request that opens a connection, and a future that resolves when
/// it stops being valid.
///
/// # Example
///
/// Race the future against all work of the connection. Server-sent events, with `futures-util`:
///
/// ```
/// use std::convert::Infallible;
///
/// use axum::response::sse::{Event, Sse};
/// use futures_util::{Stream, StreamExt};
/// use relatch::axum::LiveAuthenticated;
///
/// # fn news() -> impl Stream<Item = String> { futures_util::stream::pending() }
/// async fn events(LiveAuthenticated { watch, .. }: LiveAuthenticated) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
///     let events = news().map(|text| Ok(Event::default().data(text)));
///     Sse::new(events.take_until(watch))
/// }
/// ```
///
/// A WebSocket, with axum's feature `ws`. Its close code tells the client what to do:
///
/// ```
/// use axum::{
///     extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
///     response::Response,
/// };
/// use relatch::{axum::LiveAuthenticated, live::Ended};
///
/// # async fn talk(_: &mut WebSocket) {}
/// async fn chat(LiveAuthenticated { watch, .. }: LiveAuthenticated, upgrade: WebSocketUpgrade) -> Response {
///     upgrade.on_upgrade(async |mut socket| {
///         let ended = tokio::select! {
///             ended = watch => ended,
///             () = talk(&mut socket) => return,
///         };
///         let code = match ended {
///             Ended::Revoked(_) => 3000, // log in
///             Ended::Expired => 3001,    // refresh, and come back
///             _ => 1013,                 // come back after a random pause
///         };
///         let close = CloseFrame { code, reason: "".into() };
///         let _gone = socket.send(Message::Close(Some(close))).await;
///     })
/// }
/// ```
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "destructured in a handler's arguments")]
pub struct LiveAuthenticated<F = (), C = NoClaims> {
    /// The verified access token.
    pub verified: Verified<StoredUser<F>, C>,
    /// Resolves when the token expires or is revoked, or when it can no longer be confirmed.
    pub watch: Watch,
}

impl<S, F, C> FromRequestParts<S> for Authenticated<F, C>
where
    S: Sync,
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let web = Web::of(&parts.extensions)?;
        match web.already_verified(&parts.extensions) {
            Some(verified) => Ok(Self(verified)),
            None => web.authenticate(parts).await.map(Self),
        }
    }
}

impl<S, F, C> OptionalFromRequestParts<S> for Authenticated<F, C>
where
    S: Sync,
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Refusal> {
        match <Self as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(verified) => Ok(Some(verified)),
            Err(refusal) if refusal.is_logged_out() => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }
}

impl<S, F, C> FromRequestParts<S> for Fresh<F, C>
where
    S: Sync,
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Web::of(&parts.extensions)?.authenticate_fresh(parts).await.map(Self)
    }
}

impl<const MINUTES: u32, S, F, C> FromRequestParts<S> for Recent<MINUTES, F, C>
where
    S: Sync,
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let web = Web::of(&parts.extensions)?;
        web.authenticate_recent(parts, Duration::minutes(MINUTES.into())).await.map(Self)
    }
}

impl<S, F, C> FromRequestParts<S> for LiveAuthenticated<F, C>
where
    S: Sync,
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let (verified, watch) = Web::of(&parts.extensions)?.watch(parts).await?;
        Ok(Self { verified, watch })
    }
}

impl<S, F, C> FromRequestParts<S> for Web<F, C>
where
    S: Sync,
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::of(&parts.extensions)
    }
}
