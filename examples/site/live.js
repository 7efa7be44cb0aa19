// Keeps the live indicator up to date: the server sends an event when this session ends.

import { createSession } from "/relatch.js";

const session = createSession({ refreshUrl: "/auth/refresh" });
const live = document.getElementById("live");

function show(state, text) {
  live.dataset.state = state;
  live.textContent = text;
}

let events;

function connect() {
  events?.close();
  events = new EventSource("/events");
  events.addEventListener("alive", () => show("alive", "Alive"));
  events.addEventListener("over", ({ data }) => {
    events.close();
    ended(data);
  });
  events.onerror = () => {
    const isRefused = events.readyState === EventSource.CLOSED;
    events.close();
    ended(isRefused ? "refused" : "lost");
  };
}

async function ended(why) {
  if (why === "expired") return settle(await status(session.fetch));
  if (why === "revoked") {
    // Another tab of this browser may be receiving new cookies at this moment.
    await pause(500);
    return settle(await status(fetch));
  }
  show("connecting", "Connecting …");
  // A random delay, because many clients may have lost the server at the same time.
  await pause(1000 + 4000 * Math.random());
  if (why === "refused") return settle(await status(session.fetch));
  connect();
}

function settle(status) {
  if (status === 204) connect();
  else if (status === 401) show("over", "Session revoked");
  else ended("lost");
}

/** The `fetch` of the session refreshes if the access token has expired. */
const status = (fetch) => fetch("/auth/check").then(({ status }) => status, () => 0);
const pause = (millis) => new Promise((resume) => setTimeout(resume, millis));

// The browser keeps a left page in its cache, and an open stream would hold one of its few connections.
addEventListener("pagehide", () => events.close());
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  show("connecting", "Connecting …");
  connect();
});

// The user may have logged in again in another tab.
document.addEventListener("visibilitychange", async () => {
  const isOver = live.dataset.state === "over" && document.visibilityState === "visible";
  if (isOver && (await status(fetch)) === 204) connect();
});

connect();
