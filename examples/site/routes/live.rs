//! Live connections that end when their session ends: server-sent events and a WebSocket.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    response::{
        Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use relatch::live::{Ended, Watch};
use tokio::{sync::watch::Receiver, time::timeout};

use crate::{Profile, Site};

type LiveAuthenticated = relatch::axum::LiveAuthenticated<Profile>;

/// Server-sent events: `alive` at the start, and `over` when the session ends.
pub(crate) async fn events(
    State(Site { mut running, .. }): State<Site>,
    LiveAuthenticated { watch, .. }: LiveAuthenticated,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let alive = async { Event::default().event("alive").data("alive") };
    let over = watch.map(|ended| Event::default().event("over").data(close_reason(ended).0));
    let stopped = async move { running.changed().await };
    let events = stream::once(alive).chain(stream::once(over)).take_until(stopped);
    Sse::new(events.map(Ok)).keep_alive(KeepAlive::default())
}

/// A WebSocket that echoes each message.
pub(crate) async fn socket(
    State(Site { running, .. }): State<Site>,
    LiveAuthenticated { watch, .. }: LiveAuthenticated,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.max_message_size(64 * 1024).on_upgrade(|socket| serve(socket, watch, running))
}

async fn serve(mut socket: WebSocket, watch: Watch, mut running: Receiver<()>) {
    // Race the watch against all of the work: a client that does not read must not delay it.
    let (reason, code) = tokio::select! {
        () = echo(&mut socket) => return,
        ended = watch => close_reason(ended),
        _ = running.changed() => ("stopping", 1001),
    };
    let close = CloseFrame { code, reason: reason.into() };
    let close = socket.send(Message::Close(Some(close)));
    // A client that does not read must not keep the connection open either.
    drop(timeout(Duration::from_secs(5), close).await);
}

async fn echo(socket: &mut WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// The text and the WebSocket close code that the client receives.
const fn close_reason(ended: Ended) -> (&'static str, u16) {
    match ended {
        Ended::Expired => ("expired", 3001),
        Ended::Revoked(_) => ("revoked", 3000),
        _ => ("unconfirmed", 1013),
    }
}
