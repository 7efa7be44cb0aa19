// The module for clients without a browser: what it does with each answer, in which order.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";

const source = readFileSync(new URL("../../../src/axum/client/relatch.js", import.meta.url));
const { createSession } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

const HERE = "https://app.example";
const REFRESH = `${HERE}/auth/refresh`;
const ME = `${HERE}/api/me`;

/** A server that knows one access token and one refresh token at a time. */
class Server {
  number = 1;
  /** What happens to the next refreshes instead of their answer. */
  faults = [];
  /** What happened in order, with the storage's part of it. */
  log = [];
  /** The last pauses of the client, in seconds. */
  pauses = [];

  answer = async (input, init) => {
    const request = new Request(input, init);
    const path = new URL(request.url).pathname;
    this.log.push(path);
    if (path !== "/auth/logout") this.device = request.headers.get("x-device-token");
    if (this.outage) throw new TypeError("the network is down");
    const body = await request.text();
    if (path === "/auth/login") {
      if (!body.includes("right")) return error(401, "invalid_credentials");
      if (!body.includes("two steps")) return this.grant();
      return Response.json({ second_step: true, expires_in: 300, second_step_token: "p" });
    }
    if (path === "/auth/refresh") {
      const fault = this.faults.shift();
      if (fault instanceof Response) return fault;
      if (fault === "before") throw new TypeError("the network is down");
      const given = Number(new URLSearchParams(body).get("refresh_token")?.slice(1));
      const isRepeat = given === this.number - 1 && fault !== "strict";
      if (given !== this.number && !isRepeat) return error(401, "invalid_token");
      const response = isRepeat ? this.tokens() : this.grant();
      if (fault === "after") throw new TypeError("the network is down");
      return response;
    }
    const isValid = request.headers.get("authorization") === `Bearer a${this.number}`;
    if (isValid && path === "/auth/logout") return new Response(null, { status: 204 });
    return isValid ? new Response(body || "it works") : error(401, "invalid_token");
  };

  grant() {
    this.number += 1;
    return this.tokens();
  }

  tokens() {
    const { number } = this;
    return Response.json({
      access_token: `a${number}`,
      refresh_token: `r${number}`,
      token_type: "Bearer",
      expires_in: 900,
    });
  }

  refreshes() {
    return this.log.filter((path) => path === "/auth/refresh").length;
  }

  /** A storage that begins with the tokens of the present. */
  storage(tokens = { access_token: "a1", refresh_token: "r1" }) {
    const storage = {
      tokens,
      load: async () => structuredClone(storage.tokens),
      save: async (tokens) => {
        if (!tokens.wasSent) this.log.push(`save ${tokens.refresh_token}`);
        storage.tokens = structuredClone(tokens);
      },
    };
    return storage;
  }
}

const error = (status, error, headers) => Response.json({ error }, { status, headers });

/** The events of a session, by their names. */
function heard(session) {
  const names = [];
  for (const name of ["renewed", "loggedout", "unavailable"]) {
    session.addEventListener(name, () => names.push(name));
  }
  return names;
}

describe("the module without a browser", () => {
  const { fetch, setTimeout, BroadcastChannel } = globalThis;
  let server;
  let storage;
  let session;
  let events;

  const open = () => {
    session = createSession({ refreshUrl: REFRESH, storage });
    events = heard(session);
  };

  beforeEach(() => {
    server = new Server();
    globalThis.fetch = server.answer;
    // Each test plays one process; nothing else hears it.
    globalThis.BroadcastChannel = undefined;
    globalThis.setTimeout = (resume, ms) => {
      server.pauses.push(ms / 1000);
      return setTimeout(resume, 0);
    };
    storage = server.storage();
    open();
  });

  afterEach(() => Object.assign(globalThis, { fetch, setTimeout, BroadcastChannel }));

  it("sends the access token to the session's own origin alone", async () => {
    assert.equal(await (await session.fetch(ME)).text(), "it works");
    for (const other of ["https://other.example/api/me", "http://app.example/api/me"]) {
      await assert.rejects(session.fetch(other), TypeError);
    }
    assert.deepEqual(server.log, ["/api/me"]);
  });

  it("refreshes once for many requests, and repeats each with its body", async () => {
    server.grant();
    server.number = 2;
    storage.tokens = { access_token: "old", refresh_token: "r2" };
    open();
    const bodies = ["one", "two", "three"];
    const send = async (body) => (await session.fetch(ME, { method: "POST", body })).text();
    assert.deepEqual(await Promise.all(bodies.map(send)), bodies);
    assert.equal(server.refreshes(), 1);
    assert.deepEqual(events, ["renewed"]);
  });

  it("stores new tokens before it uses them", async () => {
    storage.tokens.access_token = "old";
    await session.fetch(ME);
    assert.deepEqual(server.log, ["/api/me", "/auth/refresh", "save r2", "/api/me"]);
    const { access_token, refresh_token, ...more } = storage.tokens;
    assert.deepEqual([access_token, refresh_token], ["a2", "r2"]);
    assert.deepEqual(Object.values(more).filter(Boolean), []);
  });

  it("uses no token that it could not store", async () => {
    storage.tokens.access_token = "old";
    const { save } = storage;
    storage.save = async (tokens) => {
      if (tokens.refresh_token !== "r1") throw new Error("the disk is full");
      return save(tokens);
    };
    await assert.rejects(session.fetch(ME), /the disk is full/);
    assert.equal(storage.tokens.refresh_token, "r1");
    assert.deepEqual(events, ["unavailable"]);
    storage.save = save;
    assert.equal((await session.fetch(ME)).status, 200);
  });

  for (const when of ["before", "after"]) {
    it(`survives a connection that breaks ${when} the server acted`, async () => {
      storage.tokens.access_token = "old";
      server.faults = [when];
      assert.equal((await session.fetch(ME)).status, 200);
      assert.ok(server.pauses[0] < 1, "the repeat is within the grace");
      assert.deepEqual(events.filter((name) => name !== "renewed"), []);
      assert.equal(storage.tokens.wasSent, undefined);
    });
  }

  it("goes on after a restart with a token whose answer was lost", async () => {
    storage.tokens.access_token = "old";
    server.faults = ["after", "before", "before", "before"];
    await assert.rejects(session.fetch(ME), /the network is down/);
    assert.equal(storage.tokens.refresh_token, "r1");
    open();
    server.log = [];
    assert.equal((await session.fetch(ME)).status, 200);
    // The first exchange may have been a late repeat. The second one makes that good.
    assert.deepEqual(server.log.filter((entry) => !entry.startsWith("/api")), [
      "/auth/refresh",
      "save r2",
      "/auth/refresh",
      "save r3",
    ]);
  });

  it("makes the second exchange even if it was closed after the first", async () => {
    storage.tokens.isRepeat = true;
    open();
    assert.equal((await session.fetch(ME)).status, 200);
    assert.deepEqual(server.log, ["/auth/refresh", "save r2", "/api/me"]);
    server.log = [];
    assert.equal((await session.fetch(ME)).status, 200);
    assert.deepEqual(server.log, ["/api/me"]);
  });

  it("keeps the tokens when the server is unavailable, and tries again when it says so", async () => {
    storage.tokens.access_token = "old";
    const busy = () => error(503, "temporarily_unavailable", { "retry-after": "2" });
    server.faults = [busy(), error(500, "server_error"), error(429, "x", { "retry-after": "7" })];
    assert.equal((await session.fetch(ME)).status, 200);
    const [first, second, third] = server.pauses;
    assert.ok(first >= 2 && first <= 2.5, `${first}`);
    assert.ok(second < 2, `${second}`);
    assert.ok(third >= 7 && third <= 9, `${third}`);

    storage.tokens.access_token = "old";
    open();
    server.faults = Array.from({ length: 9 }, busy);
    const response = await session.fetch(ME);
    assert.equal(response.status, 503);
    assert.equal(response.headers.get("retry-after"), "2");
    assert.deepEqual(events, ["unavailable"]);
    assert.equal(server.faults.length, 5, "four tries");
    server.faults = [];
    assert.equal((await session.fetch(ME)).status, 200);
  });

  it("does not wait for an hour", async () => {
    storage.tokens.access_token = "old";
    server.faults = [error(503, "temporarily_unavailable", { "retry-after": "3600" })];
    assert.equal((await session.fetch(ME)).status, 503);
    assert.deepEqual(server.pauses, []);
  });

  it("takes an error of its own for no logout, and does not repeat it", async () => {
    storage.tokens.access_token = "old";
    server.faults = [error(403, "cross_site_request")];
    assert.equal((await session.fetch(ME)).status, 403);
    assert.deepEqual(events, ["unavailable"]);
    assert.equal(server.refreshes(), 1);
  });

  it("is logged out by 401 alone, says so once, and logs in again", async () => {
    storage.tokens = { access_token: "old", refresh_token: "r0" };
    server.number = 9;
    for (const _ of [1, 2]) assert.equal((await session.fetch(ME)).status, 401);
    assert.deepEqual(events, ["loggedout"]);

    const logIn = (password) =>
      session.exclusive((fetch) => fetch(`${HERE}/auth/login`, { method: "POST", body: password }));
    const before = server.refreshes();
    assert.equal((await logIn("wrong")).status, 401);
    assert.equal(server.refreshes(), before, "a wrong password is no reason to refresh");
    assert.equal((await logIn("right")).status, 200);
    assert.equal((await session.fetch(ME)).status, 200);
    assert.equal(server.refreshes(), before);
    assert.deepEqual(events, ["loggedout", "renewed"]);
  });

  it("takes the answer to the first of two steps for no tokens", async () => {
    const logIn = (body) =>
      session.exclusive((fetch) => fetch(`${HERE}/auth/login`, { method: "POST", body }));
    const answer = await (await logIn("right, two steps")).json();
    assert.equal(answer.second_step_token, "p");
    assert.deepEqual(storage.tokens, { access_token: "a1", refresh_token: "r1" });
    assert.deepEqual(events, []);
    assert.equal((await session.fetch(ME)).status, 200);
  });

  it("forgets all but the device at a logout, and then has nothing to refresh", async () => {
    storage.tokens = { access_token: "a1", refresh_token: "r1", device_token: "d" };
    server.outage = true;
    await assert.rejects(session.logOut(`${HERE}/auth/logout`), TypeError);
    assert.equal(storage.tokens.refresh_token, "r1", "it is not logged out");
    server.outage = false;
    assert.equal((await session.logOut(`${HERE}/auth/logout`)).status, 204);
    assert.deepEqual(storage.tokens, { device_token: "d" });
    assert.equal((await session.fetch(ME)).status, 401);
    assert.equal(server.refreshes(), 0);
    assert.deepEqual(events, ["loggedout"]);
    assert.equal(server.device, null, "no other request shows the device");

    const login = { method: "POST", body: "right" };
    await session.exclusive((fetch) => fetch(`${HERE}/auth/login`, login));
    assert.equal(server.device, "d", "the device is known at the next login");
    assert.equal(storage.tokens.device_token, "d");
  });

  it("refreshes before the access token expires, by its own clock", async () => {
    const { now } = performance;
    try {
      await session.refresh();
      server.log = [];
      performance.now = () => now.call(performance) + 700_000;
      await session.fetch(ME);
      assert.equal(server.refreshes(), 0);
      performance.now = () => now.call(performance) + 850_000;
      server.log = [];
      await session.fetch(ME);
      assert.deepEqual(server.log, ["/auth/refresh", "save r3", "/api/me"]);
    } finally {
      performance.now = now;
    }
  });

  it("runs exclusive work and refreshes one after another", async () => {
    storage.tokens.access_token = "old";
    let release;
    const isFree = new Promise((resolve) => (release = resolve));
    const work = session.exclusive(() => isFree);
    const response = session.fetch(ME);
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resume) => setTimeout(resume, 0));
    assert.equal(server.refreshes(), 0);
    release();
    await work;
    assert.equal((await response).status, 200);
  });
});
