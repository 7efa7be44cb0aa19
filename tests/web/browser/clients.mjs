// Pages and workers that keep their session by the module for clients: several tabs, lost answers,
// other origins, wrong clocks.

import assert from "node:assert/strict";
import { until } from "./programs.mjs";

const PASSWORD = "a horse that staples";

const REFRESH = "POST /auth/refresh";
const DAY_MS = 24 * 60 * 60 * 1000;

export function clients(story, mode) {
  /** A test that needs the lossy proxy, which is in front of a site without TLS only. */
  const lossy = (name, tell) => {
    if (mode === "development") story(name, tell, { isLossy: true });
  };

  lossy("refreshes once for all tabs", async (world) => {
    const { device, tabs } = await withTabs(world, 4);
    for (let round = 1; round <= 3; round += 1) {
      await device.forget("access");
      const names = await Promise.all(tabs.map(nameOf));
      assert.deepEqual(names, tabs.map(() => "ada"));
      assert.equal(world.lossy.count(REFRESH), round);
    }
    for (const page of tabs) assert.deepEqual(await eventsOf(page), ["renewed", "renewed", "renewed"]);
    await device.assertLoggedIn();
    assert.deepEqual(await securityEvents(device), []);
  });

  story("tells all tabs of a logout and of a login", async (world) => {
    const { device, tabs } = await withTabs(world, 2);
    const [one, other] = tabs;
    assert.equal(await one.evaluate(async () => (await session.logOut("/auth/logout")).status), 204);
    await until("the logout", async () => (await eventsOf(other)).includes("loggedout"));
    assert.equal(await statusOf(other), 401);
    assert.equal(await logIn(one, "a password that is wrong"), 401);
    assert.equal(await logIn(one, PASSWORD), 200);
    await until("the login", async () => (await eventsOf(other)).at(-1) === "renewed");
    assert.equal(await nameOf(other), "ada");
    await device.assertLoggedIn();
  });

  lossy("goes on when the answer to a refresh is lost", async (world) => {
    const { device, tabs } = await withTabs(world, 2);
    await device.forget("access");
    const answered = world.lossy.lose(REFRESH);
    const names = Promise.all(tabs.map(nameOf));
    await answered;
    world.lossy.cut();
    assert.deepEqual(await names, ["ada", "ada"]);
    assert.equal(world.lossy.count(REFRESH), 2);
    for (const page of tabs) assert.deepEqual(await eventsOf(page), ["renewed"]);
    await device.assertLoggedIn();
    assert.deepEqual(await securityEvents(device), ["grace_hit"]);
  });

  lossy("goes on when the connection breaks in the middle of a refresh", async (world) => {
    const { device, tabs } = await withTabs(world, 1);
    await device.forget("access");
    const answered = world.lossy.lose(REFRESH);
    const name = nameOf(tabs[0]);
    await answered;
    world.lossy.cut(3);
    assert.equal(await name, "ada");
    assert.deepEqual(await eventsOf(tabs[0]), ["renewed"]);
    await device.assertLoggedIn();
    assert.deepEqual(await securityEvents(device), ["grace_hit"]);
  });

  lossy("goes on in a service worker whose connection breaks in the middle of a refresh", async (world) => {
    world.lossy.script(
      "/worker.js",
      `import { createSession } from "/relatch.js";
       const session = createSession({ refreshUrl: "/auth/refresh" });
       addEventListener("activate", (event) => event.waitUntil(clients.claim()));
       addEventListener("fetch", (event) => {
         if (event.request.url.includes("/api/")) event.respondWith(session.fetch(event.request));
       });`,
    );
    const { device, tabs } = await withTabs(world, 2);
    await tabs[0].evaluate(async () => {
      const isControlled = new Promise((resolve) => {
        navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true });
      });
      await navigator.serviceWorker.register("/worker.js", { type: "module" });
      await isControlled;
    });
    // A tab without the module: its requests go through the worker.
    const plain = () => tabs[0].evaluate(async () => (await (await fetch("/api/me")).json()).name);
    assert.equal(await plain(), "ada");
    await device.forget("access");
    const answered = world.lossy.lose(REFRESH);
    const name = plain();
    await answered;
    world.lossy.cut(3);
    assert.equal(await name, "ada");

    // The worker and a page with the module share the lock.
    await device.forget("access");
    const before = world.lossy.count(REFRESH);
    assert.deepEqual(await Promise.all([plain(), nameOf(tabs[1])]), ["ada", "ada"]);
    assert.equal(world.lossy.count(REFRESH), before + 1);
    await device.assertLoggedIn();
    assert.deepEqual(await securityEvents(device), ["grace_hit"]);
  });

  lossy("stays logged in while the server cannot be reached", async (world) => {
    const { device, tabs } = await withTabs(world, 1);
    const [page] = tabs;
    await device.forget("access");
    world.lossy.blocked.add(REFRESH);
    const outcome = await page.evaluate(() =>
      session.fetch("/api/me").then(
        ({ status }) => status,
        (error) => error.name,
      ),
    );
    assert.equal(outcome, "TypeError");
    assert.deepEqual(await eventsOf(page), ["unavailable"]);
    world.lossy.blocked.clear();
    assert.equal(await nameOf(page), "ada");
    assert.deepEqual(await eventsOf(page), ["unavailable", "renewed"]);
  });

  for (const [where, days] of [["forward", 1], ["back", -1]]) {
    lossy(`does not mind a clock that is set ${where} by a day`, async (world) => {
      const device = await world.device();
      await device.page.evaluateOnNewDocument(() => {
        const RealDate = Date;
        globalThis.clockIsOffBy = 0;
        globalThis.Date = class extends RealDate {
          constructor(...given) {
            super(...(given.length ? given : [Date.now()]));
          }
          static now() {
            return RealDate.now() + clockIsOffBy;
          }
        };
      });
      await device.signUp("ada", PASSWORD);
      await device.goto("/password");
      await start(device.page);
      const set = (milliseconds) => ((clockIsOffBy = milliseconds), Date.now());
      for (let round = 1; round <= 2; round += 1) {
        await device.forget("access");
        assert.equal(await nameOf(device.page), "ada");
        const off = await device.page.evaluate(set, round * days * DAY_MS);
        assert.ok(Math.abs(off - Date.now()) > 0.9 * DAY_MS, "the page's clock is wrong");
        for (const _ of [1, 2, 3]) assert.equal(await nameOf(device.page), "ada");
        assert.equal(world.lossy.count(REFRESH), round);
      }
      assert.deepEqual(await eventsOf(device.page), ["renewed", "renewed"]);
    });
  }

  story("serves an application of another origin that it trusts", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    await device.submit("/logout");
    const { page } = device;
    await page.goto(world.app.serve(""));
    await start(page, world.url);

    assert.equal(await logIn(page, "a password that is wrong"), 401);
    assert.equal(await logIn(page, PASSWORD), 200);
    assert.equal(await nameOf(page), "ada");
    const before = await device.cookie("refresh");
    await device.forget("access");
    assert.equal(await nameOf(page), "ada");
    assert.notEqual((await device.cookie("refresh")).value, before.value);
    assert.deepEqual(await eventsOf(page), ["renewed", "renewed"]);
    await device.assertLoggedIn();

    // Another origin has the same cookies, if it is of the same site, and no permission.
    for (const host of ["localhost", "127.0.0.1"]) {
      const other = await world.elsewhere(host);
      await page.goto(other.serve(""));
      await assert.rejects(start(page, world.url), host);
      const outcomes = await page.evaluate(async (site) => {
        const outcomes = [];
        const json = { "content-type": "application/json" };
        for (const init of [{}, { method: "POST" }, { method: "POST", body: "{}", headers: json }]) {
          for (const path of ["/auth/login", "/auth/refresh", "/auth/logout", "/api/me"]) {
            const sent = fetch(site + path, { ...init, credentials: "include" });
            outcomes.push(await sent.then(({ status }) => status, (error) => error.name));
          }
        }
        return outcomes;
      }, world.url);
      assert.deepEqual(new Set(outcomes), new Set(["TypeError"]), host);
    }
    await device.assertLoggedIn();
  }, { hasApp: true });
}

/** Ada's device, with so many tabs that use the module. */
async function withTabs(world, count) {
  const device = await world.device();
  await device.signUp("ada", PASSWORD);
  const tabs = [device.page];
  while (tabs.length < count) tabs.push(await device.tab());
  // A page that does not use the module by itself.
  for (const page of tabs) {
    await device.goto("/password", page);
    await start(page);
  }
  return { device, tabs };
}

/** In the page: a session of this site, and a list of its events. */
async function start(page, site = "") {
  await page.evaluate(async (site) => {
    const { createSession } = await import(`${site}/relatch.js`);
    globalThis.site = site;
    globalThis.session = createSession({ refreshUrl: `${site}/auth/refresh` });
    globalThis.events = [];
    for (const name of ["renewed", "loggedout", "unavailable"]) {
      session.addEventListener(name, () => events.push(name));
    }
    await session.fetch(`${site}/auth/check`); // knows the present tokens
    events.length = 0;
  }, site);
}

const eventsOf = (page) => page.evaluate(() => events);

const statusOf = (page) => page.evaluate(async () => (await session.fetch(`${site}/api/me`)).status);

const nameOf = (page) =>
  page.evaluate(async () => (await (await session.fetch(`${site}/api/me`)).json()).name);

const logIn = (page, password) =>
  page.evaluate(async (password) => {
    const body = JSON.stringify({ username: "ada", password });
    const init = { method: "POST", body, headers: { "content-type": "application/json" } };
    return (await session.exclusive((fetch) => fetch(`${site}/auth/login`, init))).status;
  }, password);

/** The kinds of the security events that the page of devices shows. */
const securityEvents = (device) =>
  device.page.$$eval("#events [data-event]", (items) => items.map((item) => item.dataset.event));
