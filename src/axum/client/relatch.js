// Keeps a relatch session alive in pages and workers. The guide's page "Clients" has the protocol.
// Serve this module by `endpoints::client_script`, or copy it: there is no build step.

const TRIES = 4;
const TIMEOUT = 7_000; // ms of one exchange: with the pause after it, below the grace
const LOCK_TIMEOUT = 15_000;
const PATIENCE = 30; // the longest `Retry-After` that is waited for, in seconds

/**
 * `refreshUrl` is where `endpoints::refresh` is mounted. `storage` keeps the tokens if they are not in
 * cookies: `{ load(), save(tokens) }`, both may be async.
 *
 * Its events: `renewed`, `loggedout`, and `unavailable` with `detail.response` or `detail.error`.
 */
export function createSession({ refreshUrl, storage }) {
  const session = new EventTarget();
  const url = new URL(refreshUrl, globalThis.location?.href);
  const name = `relatch ${url}`;
  const channel = globalThis.BroadcastChannel && new BroadcastChannel(name);
  let tokens;
  let generation; // another value after each refresh in any tab
  let due = Infinity; // when to refresh before a request, by `performance.now()`
  let isOver = false;
  let loading, renewing;
  let queue = Promise.resolve();

  async function load() {
    tokens = await storage?.load();
    generation = storage ? tokens?.refresh_token : await shared();
  }

  /** With cookies, the generation is in the Cache API, whose writes are ordered with the locks. */
  async function shared(written) {
    try {
      const cache = await caches.open("relatch");
      if (written) await cache.put(url, new Response(written));
      return await (await cache.match(url))?.text();
    } catch {
      return written ?? generation;
    }
  }

  function hear({ over = false, dueIn }) {
    loading = undefined;
    due = over ? Infinity : performance.now() + dueIn;
    if (over && isOver) return;
    isOver = over;
    session.dispatchEvent(new Event(over ? "loggedout" : "renewed"));
  }

  function tell(news) {
    channel?.postMessage(news);
    hear(news);
  }

  /** Stores new tokens before they are used. Only the time `since` the request counts, no date. */
  async function grant({ expires_in, token_type, ...given }, since, isRepeat) {
    if (storage) await storage.save({ device_token: tokens?.device_token, ...given, isRepeat });
    else generation = await shared(String(Math.random()));
    tell({ dueIn: expires_in * 900 - (performance.now() - since) });
  }

  /** Runs `work` alone of all tabs. If another tab hangs, the grace of the server must do. */
  function locked(work) {
    const locks = globalThis.navigator?.locks;
    if (!locks) return (queue = queue.then(work, work));
    let isHeld = false;
    const held = () => ((isHeld = true), work());
    const failed = (error) => (isHeld ? Promise.reject(error) : work());
    return locks.request(name, { signal: AbortSignal.timeout(LOCK_TIMEOUT) }, held).catch(failed);
  }

  async function exchange(expired) {
    await load();
    if (generation !== expired) return {}; // another tab was faster
    const { refresh_token, wasSent } = tokens ?? {};
    if (storage && !refresh_token) return { response: new Response(null, { status: 401 }) };
    await storage?.save({ ...tokens, wasSent: true });
    const since = performance.now();
    const response = await fetch(url, {
      method: "POST",
      body: refresh_token && new URLSearchParams({ refresh_token }),
      credentials: storage ? "omit" : "include",
      keepalive: true, // the response arrives even if the page is left
      signal: AbortSignal.timeout(TIMEOUT),
    });
    if (!response.ok) return { response };
    await grant(await response.json(), since, wasSent);
    return { isOwn: true };
  }

  /** Replaces the tokens of this generation. Gives the `response` if that failed. */
  async function renew(expired, run) {
    for (let tries = 1; ; tries += 1) {
      const outcome = await run(() => exchange(expired)).catch((error) => ({ error }));
      const { response, error } = outcome;
      if (response?.status === 401) tell({ over: true });
      if (!error && (!response || response.status === 401)) return outcome;
      const after = Number(response?.headers.get("retry-after")) || 0;
      const isFinal = response && response.status !== 429 && response.status < 500;
      if (isFinal || after > PATIENCE || tries >= TRIES) {
        session.dispatchEvent(new CustomEvent("unavailable", { detail: outcome }));
        if (error) throw error;
        return outcome;
      }
      const seconds = after ? after * (1 + Math.random() / 4) : 2 ** tries * (0.1 + Math.random() / 4);
      await new Promise((resume) => setTimeout(resume, 1000 * seconds));
    }
  }

  const renewOnce = (expired) =>
    (renewing ??= renew(expired, locked).finally(() => (renewing = undefined)));

  const inside = (work) => work();

  /** `run` is `inside` if this call has the lock. */
  async function send(input, init, run) {
    const request = new Request(input, init);
    if (new URL(request.url).origin !== url.origin) throw new TypeError("not the session's origin");
    for (let renewed; ; ) {
      await (loading ??= load());
      const expired = generation;
      // The answer after a late repeat must not be lost: get it now, while the network works.
      const isGood = (renewed || performance.now() < due) && !tokens?.isRepeat;
      if (isGood || run) {
        const headers = new Headers(request.headers);
        if (tokens?.access_token) headers.set("authorization", `Bearer ${tokens.access_token}`);
        const credentials = storage ? "omit" : "include";
        const since = performance.now();
        const response = await fetch(new Request(request.clone(), { headers, credentials }));
        const isRefused = response.status === 401;
        const body = isRefused || run ? await response.clone().json().catch(() => null) : null;
        const isGrant = response.ok && body?.expires_in && !body.second_step;
        if (isGrant) await grant(body, since);
        const isWrongPassword = body?.error === "invalid_credentials";
        if (!isRefused || isWrongPassword || renewed?.isOwn) return response;
      }
      renewed = await (run ? renew(expired, run) : renewOnce(expired));
      if (renewed.response) return renewed.response;
    }
  }

  channel?.addEventListener("message", ({ data }) => hear(data));
  channel?.unref?.(); // in Node.js

  return Object.assign(session, {
    /** As the global one. 401: log in again. 429, 5xx or an error: the session lives, try later. */
    fetch: (input, init) => send(input, init),
    /** Runs `work(fetch)` while no tab refreshes: to log in, to change the password. */
    exclusive: (work) => locked(() => work((input, init) => send(input, init, inside))),
    /** Posts to this endpoint of a logout, and drops the tokens if it succeeds. */
    logOut: (input) =>
      locked(async () => {
        const response = await send(input, { method: "POST" }, inside);
        if (!response.ok && response.status !== 401) return response;
        await storage?.save({ device_token: tokens?.device_token });
        tell({ over: true });
        return response;
      }),
    /** Refreshes now, for new claims. Gives `{ response }` if that failed. */
    refresh: () => load().then(() => renewOnce(generation)),
  });
}
