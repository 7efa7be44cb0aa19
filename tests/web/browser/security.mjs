// Attacks in a browser: by scripts in the pages, and by pages of other origins.

import assert from "node:assert/strict";
import { form } from "./elsewhere.mjs";
import { until, within } from "./programs.mjs";
import { FIREFOX, SAFARI } from "./world.mjs";

const PASSWORD = "a horse that staples";
const OTHER_PASSWORD = "a battery that is correct";

const ACCESS_SECONDS = 300;
const SESSION_SECONDS = 14 * 24 * 60 * 60;
const DEVICE_SECONDS = 365 * 24 * 60 * 60;

const HEADERS = {
  "content-security-policy":
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
};

export function security(story, mode) {
  /** A test that runs in one mode only, because the modes do not differ in it. */
  const once = mode === "TLS" ? story : () => {};

  story("keeps its tokens in cookies with every protection", async (world) => {
    const device = await world.device();
    const expected = {
      [world.names.access]: { sameSite: "Lax", path: "/", seconds: ACCESS_SECONDS },
      [world.names.refresh]: { sameSite: "Strict", path: "/auth", seconds: SESSION_SECONDS },
      [world.names.device]: { sameSite: "Strict", path: "/", seconds: DEVICE_SECONDS },
    };
    const check = async () => {
      const cookies = await device.allCookies();
      assert.deepEqual(Object.keys(cookies).sort(), Object.keys(expected).sort());
      for (const [name, { sameSite, path, seconds }] of Object.entries(expected)) {
        const cookie = cookies[name];
        assert.equal(cookie.httpOnly, true, name);
        assert.equal(cookie.secure, world.secure, name);
        assert.equal(cookie.sameSite, sameSite, name);
        assert.equal(cookie.path, path, name);
        assert.equal(cookie.domain, "localhost", `${name}: of this host alone, without a dot`);
        const left = cookie.expires - Date.now() / 1000;
        assert.ok(left > seconds - 60 && left <= seconds, `${name}: ${left} s left`);
      }
      return cookies;
    };
    await device.signUp("ada", PASSWORD);
    const first = await check();
    await device.forget("access");
    await device.assertLoggedIn();
    const resumed = await check();
    assert.notEqual(resumed[world.names.refresh].value, first[world.names.refresh].value);
  });

  story("lets no script reach a token", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    await world.device(SAFARI).then((phone) => phone.logIn("ada", PASSWORD));
    await device.assertLoggedIn();
    const secrets = new Set();
    const collect = async () => {
      for (const { value } of Object.values(await device.cookies())) {
        secrets.add(value).add(value.split(".")[2]);
      }
      secrets.add((await device.cookie("device")).value);
    };
    await collect();

    const readable = await device.page.evaluate(async () => {
      const seen = { here: document.documentElement.outerHTML, "document.cookie": document.cookie };
      for (const name of ["localStorage", "sessionStorage"]) seen[name] = JSON.stringify(window[name]);
      const databases = await indexedDB.databases();
      seen.indexedDB = databases.map(({ name }) => name).join();
      seen.requests = performance.getEntries().map(({ name }) => name).join("\n");
      const links = [...document.links].map(({ href }) => href);
      const more = ["/style.css", "/live.js", "/auth/sessions", "/api/me", "/auth/check", "/nowhere"];
      for (const link of new Set([...links, ...more])) {
        if (new URL(link, location).origin !== location.origin) continue;
        const response = await fetch(link);
        seen[link] = [...response.headers].join("\n") + (await response.text());
      }
      const events = (await fetch("/events")).body.getReader();
      seen.events = new TextDecoder().decode((await events.read()).value);
      await events.cancel();
      const refreshed = await fetch("/auth/refresh", { method: "POST" });
      seen.refreshed = [...refreshed.headers].join("\n") + (await refreshed.text());
      return seen;
    });
    await collect();

    assert.equal(secrets.size, 9, "two tokens, their successors, and the device token");
    assert.equal(readable["document.cookie"], "");
    assert.equal(readable.localStorage, "{}");
    assert.equal(readable.sessionStorage, "{}");
    assert.equal(readable.indexedDB, "");
    assert.match(readable.here, /sid/, "the page shows the token's claims");
    assert.match(readable["/api/me"], /"ada"/);
    assert.match(readable.events, /alive/);
    assert.match(readable.refreshed, /expires_in/);
    for (const [where, text] of Object.entries(readable)) {
      for (const secret of secrets) assert.ok(!text.includes(secret), `in ${where}`);
    }
  });

  once("shows no refused token either", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    const { value } = await device.cookie("access");
    const phone = await world.device(SAFARI);
    await phone.logIn("ada", PASSWORD);
    await phone.submit("/devices/logout-everywhere");
    await device.assertLoggedOut("revoked_by_version");
    const source = await device.page.content();
    assert.match(source, /sid/);
    assert.ok(!source.includes(value) && !source.includes(value.split(".")[2]));
  });

  once("sends a strict policy with every answer", async (world) => {
    const device = await world.device();
    const paths = ["/", "/signup", "/login", "/forgotten", "/reset?token=x", "/not-me?token=x", "/nowhere", "/style.css"];
    const inside = ["/devices", "/password", "/live.js", "/api/me", "/auth/sessions"];
    const check = async (paths) => {
      for (const path of paths) {
        const response = await device.goto(path);
        const headers = response.headers();
        for (const [name, value] of Object.entries(HEADERS)) {
          assert.equal(headers[name], value, `${path}: ${name}`);
        }
        const isPage = /^text\/html/.test(headers["content-type"]);
        if (isPage) assert.match(headers["cache-control"], /no-store/, path);
      }
    };
    await check([...paths, ...inside]);
    await device.signUp("ada", PASSWORD);
    await check(inside);
  });

  once("runs no script that was injected into a page", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    const owned = await device.page.evaluate(async () => {
      const inline = document.createElement("script");
      inline.textContent = "window.ownedBy = 'an inline script'";
      document.body.append(inline);
      const foreign = document.createElement("script");
      foreign.src = "data:text/javascript,window.ownedBy='a foreign script'";
      const failed = new Promise((resolve) => (foreign.onerror = foreign.onload = resolve));
      document.body.append(foreign);
      await failed;
      const image = document.createElement("div");
      document.body.append(image);
      image.innerHTML = "<img src='/nowhere' onerror='window.ownedBy = `a handler`'>";
      await new Promise((resolve) => image.firstChild.addEventListener("error", resolve));
      return window.ownedBy;
    });
    assert.equal(owned, undefined);
    assert.ok(device.complaints.length >= 3, "the browser said so");
    device.complaints.length = 0;
  });

  once("escapes the names of users and devices", async (world) => {
    const name = "<img src=/ onerror=alert(1)><b>&amp;";
    const agents = [
      `<script>document.title='owned'</script>`,
      `"><svg/onload=document.title='owned'>`,
      `'-alert(1)-'&lt;i&gt;`,
    ];
    for (const [at, agent] of agents.entries()) {
      const device = await world.device(agent);
      if (at === 0) await device.signUp(name, PASSWORD);
      else await device.logIn(name, PASSWORD);
    }
    const device = await world.device();
    await device.logIn(name, PASSWORD);
    const text = await device.text("body");
    for (const agent of agents) assert.ok(text.includes(agent), `${agent} as it is, in ${text}`);
    assert.equal((await device.page.$$("main img, [onerror], [onload]")).length, 0);
    const scripts = await device.page.$$eval("script", (all) => all.map((script) => script.src));
    assert.deepEqual(scripts, [`${world.url}/live.js`]);

    await device.press("button", `Log out ${agents[0]}`);
    assert.equal((await device.devices()).length, agents.length);

    // The input that a refused form shows again.
    const other = await world.device();
    const breakOut = `"><img src=/ onerror=alert(1)>`;
    await other.tryLogIn(breakOut, PASSWORD);
    assert.equal((await other.page.$$("main img")).length, 0);
    await other.goto(`/reset?token=${encodeURIComponent(breakOut)}`);
    assert.equal((await other.page.$$("main img")).length, 0);
  });

  once("resumes only to its own pages", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    const other = await world.elsewhere("127.0.0.1");
    const host = new URL(other.origin).host;
    const outside = [
      other.origin,
      `//${host}/`,
      `/\\${host}/`,
      `\\\\${host}/`,
      `/\t/${host}/`,
      `/\n/${host}/`,
      `javascript:alert(1)`,
      `/devices\r\nset-cookie: a=b`,
      "",
    ];
    for (const to of outside) {
      await device.goto(`/auth/resume?to=${encodeURIComponent(to)}`);
      assert.equal(new URL(device.page.url()).origin, world.url, JSON.stringify(to));
    }
    // The page for a visitor from another site shows nothing else either.
    for (const to of outside.slice(1, 3)) {
      const link = `${world.url}/auth/resume?to=${encodeURIComponent(to)}`;
      await device.forget("access");
      await device.page.goto(other.serve(`<a href="${link}">a link</a>`));
      await device.click("a");
      await device.click("form[method=post] button");
      await device.page.waitForSelector("#devices");
      await device.arrivedAt("/devices");
    }
    assert.equal((await device.cookies()).a, undefined);
  });

  story("cannot be framed", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    for (const host of ["127.0.0.1", "localhost"]) {
      const other = await world.elsewhere(host);
      await device.page.goto(other.serve(`<iframe src="${world.url}/devices"></iframe>`));
      const frame = await (await device.page.$("iframe")).contentFrame();
      assert.match(frame.url(), /^chrome-error:/, host);
    }
    assert.equal(device.complaints.length, 2);
    device.complaints.length = 0;
  });

  // Requests from another site come without `SameSite` cookies; requests from another origin of the
  // same site come with all cookies, and the server must refuse them.
  for (const [where, host, sent] of [
    ["another site", "127.0.0.1", false],
    ["another origin of the same site", "localhost", true],
  ]) {
    story(`refuses the forms of ${where}`, async (world) => {
      const { laptop, unharmed, phone } = await target(world);
      const mallory = await world.device();
      await mallory.signUp("mallory", OTHER_PASSWORD);
      const other = await world.elsewhere(host);
      const cookiesSent = await watchCookies(laptop.page, world.url);
      const forms = [
        ["/devices/logout-everywhere", {}],
        ["/devices/logout", { session: phone }],
        ["/devices/logout-others", { password: PASSWORD }],
        ["/logout", {}],
        ["/password", { present: PASSWORD, new: OTHER_PASSWORD }],
        ["/account/delete", {}],
        ["/confirm", { password: PASSWORD, then: "/devices" }],
        ["/login", { name: "mallory", password: OTHER_PASSWORD }],
        ["/signup", { name: "eve", password: OTHER_PASSWORD }],
        ["/forgotten", { name: "ada" }],
        ["/auth/login", { username: "mallory", password: OTHER_PASSWORD }],
        ["/auth/logout", {}],
        ["/auth/refresh", {}],
      ];
      const before = owners(await laptop.cookies());
      const posted = await watchPosts(laptop.page);
      for (const [i, [action, fields]] of forms.entries()) {
        await laptop.page.goto(other.serve(form(world.url + action, fields)));
        const status = (await posted(i + 1))[i];
        // Without a cookie the request is anonymous, and its page first asks for the session.
        const isNobodys = !sent && [303, 401].includes(status);
        assert.ok(status === 403 || isNobodys, `${action}: ${status}`);
        if (status === 303) await laptop.page.waitForSelector("#devices");
        assert.deepEqual(owners(await laptop.cookies()), before, action);
      }
      assert.equal(cookiesSent().includes(world.names.access), sent);
      assert.equal(cookiesSent().includes(world.names.refresh), sent);
      await unharmed();
      assert.equal((await mallory.tryLogIn("eve", OTHER_PASSWORD)).status(), 401);
      assert.doesNotMatch(world.site.output, /link for/);
    });

    story(`refuses the scripts of ${where}`, async (world) => {
      const { laptop, unharmed } = await target(world);
      const other = await world.elsewhere(host);
      const before = owners(await laptop.cookies());
      await laptop.page.goto(other.serve(""));
      const cookiesSent = await watchCookies(laptop.page, world.url);
      const posted = await watchPosts(laptop.page);

      const posts = ["/auth/logout", "/auth/refresh", "/devices/logout-everywhere", "/logout"];
      const outcomes = await laptop.page.evaluate(fetchAll, world.url, posts);
      for (const { path, mode, read } of outcomes) assert.equal(read, null, `${path}, ${mode}`);
      // 307: a redirect that the browser refuses to follow.
      const refusals = sent ? [307, 403] : [303, 307, 401, 403];
      // Each is sent in both modes.
      const statuses = await posted(2 * posts.length);
      assert.ok(statuses.every((status) => refusals.includes(status)), `${statuses}`);
      assert.equal(cookiesSent().includes(world.names.access), sent);
      assert.deepEqual(owners(await laptop.cookies()), before);
      await unharmed();
    });

    story(`refuses the WebSockets of ${where}`, async (world) => {
      const { laptop, unharmed } = await target(world);
      const socket = `${world.url.replace("http", "ws")}/ws`;
      await laptop.goto("/devices");
      assert.deepEqual(await laptop.page.evaluate(talk, socket), ["open", "hello"]);

      const other = await world.elsewhere(host);
      await laptop.page.goto(other.serve(""));
      const cdp = await laptop.page.createCDPSession();
      await cdp.send("Network.enable");
      const answers = [];
      cdp.on("Network.webSocketFrameError", ({ errorMessage }) => answers.push(errorMessage));
      assert.deepEqual(await laptop.page.evaluate(talk, socket), ["closed 1006"]);
      // This also shows whether the cookies were sent.
      assert.match(answers[0], sent ? /code: 403/ : /HTTP Authentication/);
      await unharmed();
    });
  }

  once("closes the WebSocket of a session that ended", async (world) => {
    const { laptop, phone } = await target(world);
    await laptop.page.goto(`${world.url}/devices`);
    const other = await world.device(SAFARI);
    await other.logIn("ada", PASSWORD);
    const closed = other.page.evaluate(
      (url) =>
        new Promise((resolve) => {
          const socket = new WebSocket(url);
          socket.onopen = () => (window.opened = true);
          socket.onclose = ({ code, reason }) => resolve({ code, reason });
        }),
      `${world.url.replace("http", "ws")}/ws`,
    );
    await other.page.waitForFunction(() => window.opened);
    const [{ session }] = (await other.devices()).filter(({ current }) => current);
    assert.notEqual(session, phone);
    await laptop.goto("/devices");
    await laptop.click(`[data-session="${session}"] button`);
    const { code, reason } = await within(5_000, "the close", closed);
    assert.deepEqual([code, reason], [3000, "revoked"]);
  });
}

/** Ada's laptop and the session of her phone, and the check that neither came to harm. */
async function target(world) {
  const laptop = await world.device(FIREFOX);
  await laptop.signUp("ada", PASSWORD);
  const phone = await world.device(SAFARI);
  await phone.logIn("ada", PASSWORD);
  const [{ session }] = (await phone.devices()).filter(({ current }) => current);
  const unharmed = async () => {
    for (const device of [laptop, phone]) {
      await device.assertLoggedIn();
      const me = await device.page.evaluate(() => fetch("/api/me").then((answer) => answer.json()));
      assert.equal(me.name, "ada");
    }
    const sessions = (await laptop.devices()).map(({ session }) => session);
    assert.ok(sessions.includes(session));
    const third = await world.device();
    await third.logIn("ada", PASSWORD);
  };
  return { laptop, unharmed, phone: session };
}

/** From now on, the names of the cookies that the browser sends for pages of another origin. */
async function watchCookies(page, own) {
  const cdp = await page.createCDPSession();
  await cdp.send("Network.enable");
  const names = new Set();
  cdp.on("Network.requestWillBeSentExtraInfo", ({ associatedCookies, headers }) => {
    const origin = headers.Origin ?? headers.origin ?? own;
    if (origin === own) return;
    for (const { cookie, blockedReasons } of associatedCookies) {
      if (blockedReasons.length === 0) names.add(cookie.name);
    }
  });
  return () => [...names];
}

/**
 * From now on, the status of each POST: the first that is no redirect of the POST itself (307), unless
 * the browser refuses to follow that. The network reports it: puppeteer may show a redirect with the
 * status of the page that it leads to.
 */
async function watchPosts(page) {
  const cdp = await page.createCDPSession();
  await cdp.send("Network.enable");
  const posts = new Map();
  const statuses = new Map();
  cdp.on("Network.requestWillBeSent", ({ requestId, request }) => {
    const post = posts.get(requestId);
    if (post) post.requests += 1;
    else if (request.method === "POST") posts.set(requestId, { requests: 1, isOver: false });
  });
  cdp.on("Network.responseReceivedExtraInfo", ({ requestId, statusCode }) => {
    statuses.set(requestId, [...(statuses.get(requestId) ?? []), statusCode]);
  });
  for (const end of ["Network.loadingFinished", "Network.loadingFailed"]) {
    cdp.on(end, ({ requestId }) => {
      if (posts.has(requestId)) posts.get(requestId).isOver = true;
    });
  }
  return (count) =>
    until(`the responses to ${count} POSTs`, () => {
      const answered = [...posts].map(([id, { requests, isOver }]) => {
        const all = statuses.get(id) ?? [];
        return isOver && all.length >= requests && (all.find((status) => status !== 307) ?? 307);
      });
      return answered.length >= count && answered.every(Boolean) && answered;
    });
}

/** The user and the session of the tokens in the cookies. */
const owners = (cookies) =>
  Object.entries(cookies).map(([name, { value }]) => {
    const { sub, sid } = JSON.parse(Buffer.from(value.split(".")[1], "base64url"));
    return { name, sub, sid };
  });

/** In the page: what its script can read of the responses to requests with cookies. */
async function fetchAll(site, posts) {
  const outcomes = [];
  const reads = ["/api/me", "/auth/sessions", "/devices"].map((path) => ({ path, method: "GET" }));
  for (const { path, method } of [...reads, ...posts.map((path) => ({ path, method: "POST" }))]) {
    for (const mode of ["cors", "no-cors"]) {
      const response = await fetch(site + path, { method, mode, credentials: "include" }).catch(() => null);
      const text = await response?.text();
      outcomes.push({ path, mode, read: text ? text : null });
    }
  }
  return outcomes;
}

/** In the page: the outcome of opening a WebSocket and sending a message on it. */
function talk(url) {
  return new Promise((resolve) => {
    const seen = [];
    const socket = new WebSocket(url);
    socket.onopen = () => {
      seen.push("open");
      socket.send("hello");
    };
    socket.onmessage = ({ data }) => {
      resolve([...seen, data]);
      socket.close();
    };
    socket.onclose = ({ code }) => resolve([...seen, `closed ${code}`]);
  });
}
