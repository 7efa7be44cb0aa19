// Keeps the live indicator true: it is told by the server when this session ends.

const indicator = document.getElementById("live");

function show(state, text) {
  indicator.dataset.state = state;
  indicator.textContent = text;
}

function connect() {
  const events = new EventSource("/events");
  events.addEventListener("alive", () => show("alive", "Alive"));
  events.addEventListener("over", ({ data }) => {
    events.close();
    ended(data);
  });
  events.onerror = () => {
    const isRefused = events.readyState === EventSource.CLOSED;
    events.close();
    lost(isRefused);
  };
}

function ended(why) {
  if (why === "expired") return refresh();
  if (why === "revoked") return check();
  return lost(false);
}

// The access token expired: a fresh one, and on.
async function refresh() {
  const status = await ask("POST", "/auth/refresh");
  if (status === 200) return connect();
  return status === 401 ? over() : lost(true);
}

// The token is dead; if another page of this browser has fresh cookies since, the session is not.
async function check() {
  const status = await ask("GET", "/auth/check");
  if (status === 204) return connect();
  return status === 401 ? over() : lost(false);
}

// Not known: after a while that is not the same for all who lost their server at once.
async function lost(isRefused) {
  show("connecting", "Connecting …");
  await new Promise((resume) => setTimeout(resume, 1000 + 4000 * Math.random()));
  if (isRefused && (await ask("GET", "/auth/check")) === 401) return refresh();
  return connect();
}

function over() {
  show("over", "Session revoked");
}

async function ask(method, path) {
  return fetch(path, { method }).then((answer) => answer.status, () => 0);
}

if (indicator) connect();
