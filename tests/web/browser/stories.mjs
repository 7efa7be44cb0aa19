// What users do with the site.

import assert from "node:assert/strict";
import { until } from "./programs.mjs";
import { FIREFOX, SAFARI } from "./world.mjs";

const PASSWORD = "a horse that staples";
const OTHER_PASSWORD = "a battery that is correct";
const PROMPT_MS = 5_000;

export function stories(story) {
  story("signs up, logs in on another device, and both list both", async (world) => {
    const laptop = await world.device(FIREFOX);
    await laptop.goto("/");
    assert.match(laptop.page.url(), /\/$/, "the welcome page");
    await laptop.signUp("ada", PASSWORD);
    const [alone, ...none] = await laptop.devices();
    assert.deepEqual(none, []);
    assert.ok(alone.current);
    assert.match(alone.text, /Firefox on Linux/);
    assert.match(alone.text, /This device/);

    const phone = await world.device(SAFARI);
    await phone.logIn("ada", PASSWORD);
    await laptop.goto("/");
    await laptop.arrivedAt("/devices");
    const seen = { laptop: await laptop.devices(), phone: await phone.devices() };
    for (const [device, label] of [["laptop", /Firefox on Linux/], ["phone", /Safari on iPhone/]]) {
      assert.equal(seen[device].length, 2);
      const [current, ...more] = seen[device].filter((session) => session.current);
      assert.deepEqual(more, []);
      assert.match(current.text, label);
      assert.match(current.text, /This device/);
      assert.ok(seen[device].some(({ text, current }) => !current && !/This device/.test(text)));
    }
    const sessions = (devices) => devices.map(({ session }) => session).sort();
    assert.deepEqual(sessions(seen.laptop), sessions(seen.phone));
  });

  story("explains why a sign-up or a login was refused", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);

    const other = await world.device();
    await other.goto("/signup");
    const taken = await other.submit("/signup", { name: " ADA ", password: PASSWORD });
    assert.equal(taken.status(), 409);
    assert.notEqual(await other.alert(), "");
    // The browser itself would not send it.
    await other.page.$eval("form[action='/signup']", (form) => (form.noValidate = true));
    const short = await other.submit("/signup", { name: "eve", password: "1234567" });
    assert.equal(short.status(), 422);
    assert.notEqual(await other.alert(), "");

    for (const [name, password] of [["ada", OTHER_PASSWORD], ["nobody", PASSWORD]]) {
      const refused = await other.tryLogIn(name, password);
      assert.equal(refused.status(), 401);
      assert.match(await other.alert(), /Wrong name or password/);
    }
    assert.deepEqual(await other.cookies(), {});
    await other.logIn("ADA", PASSWORD);
  });

  story("logs one device out from another, which knows at once", async (world, context) => {
    const [laptop, phone] = await both(world);
    await phone.live("alive");
    await phone.page.evaluate(() => (window.neverReloaded = true));
    await laptop.goto("/devices");

    const began = performance.now();
    await laptop.press("button", "Log out Safari on iPhone");
    const text = await phone.live("over");
    const took = Math.round(performance.now() - began);
    context.diagnostic(`seen ${took} ms after the button was pressed`);
    assert.ok(took < PROMPT_MS, `${took} ms`);
    assert.match(text, /Session revoked/);
    assert.ok(await phone.page.evaluate(() => window.neverReloaded));

    assert.equal((await laptop.devices()).length, 1);
    assert.match(await laptop.live("alive"), /Alive/);
    await phone.assertLoggedOut("session_ended");
    await laptop.assertLoggedIn();
  });

  story("logs the others out for the right password alone", async (world) => {
    const [laptop, phone] = await both(world);
    await laptop.goto("/devices");
    const wrong = await laptop.submit("/devices/logout-others", { password: OTHER_PASSWORD });
    assert.equal(wrong.status(), 403);
    assert.notEqual(await laptop.alert(), "");
    await phone.assertLoggedIn();
    assert.equal((await phone.devices()).length, 2);

    await laptop.goto("/devices");
    await laptop.submit("/devices/logout-others", { password: PASSWORD });
    await phone.live("over");
    await phone.assertLoggedOut("revoked_by_version");
    await laptop.assertLoggedIn();
    assert.equal((await laptop.devices()).length, 1);
    await laptop.live("alive");
  });

  story("logs out everywhere, here too", async (world) => {
    const [laptop, phone] = await both(world);
    await phone.live("alive");
    await laptop.goto("/devices");
    await laptop.submit("/devices/logout-everywhere");
    assert.deepEqual(await laptop.cookies(), {});
    await phone.live("over");
    await phone.assertLoggedOut("revoked_by_version");
    await laptop.goto("/devices");
    await laptop.arrivedAt("/login");
  });

  story("changes the password: this device stays, the other is out", async (world) => {
    const [laptop, phone] = await both(world);
    await phone.live("alive");
    await laptop.goto("/password");
    const wrong = await laptop.submit("/password", { present: OTHER_PASSWORD, new: OTHER_PASSWORD });
    assert.equal(wrong.status(), 403);
    assert.notEqual(await laptop.alert(), "");
    await phone.assertLoggedIn();
    await phone.live("alive");

    await laptop.goto("/password");
    await laptop.submit("/password", { present: PASSWORD, new: OTHER_PASSWORD });
    await laptop.arrivedAt("/devices?changed");
    await laptop.assertLoggedIn();
    assert.equal((await laptop.devices()).length, 1);

    await phone.live("over");
    await phone.assertLoggedOut("revoked_by_version");
    assert.equal((await phone.tryLogIn("ada", PASSWORD)).status(), 401);
    await phone.logIn("ada", OTHER_PASSWORD);
  });

  story("resets a forgotten password by a link that works once", async (world) => {
    const [laptop, phone] = await both(world);
    const third = await world.device();
    await third.goto("/forgotten");
    await third.submit("/forgotten", { name: "ada" });
    assert.match(await third.text("main"), /If there is such a user/);
    const link = await world.link("ada");
    assert.ok(link.startsWith(`${world.url}/reset?token=`), link);

    // A mail scanner's requests do not use the link up.
    const scanner = await world.device("Scanner/1.0");
    for (const _ of [1, 2]) assert.equal((await scanner.page.goto(link)).status(), 200);
    await laptop.assertLoggedIn();

    // Two tabs show the form: the first to send it wins.
    const late = await third.tab();
    for (const page of [third.page, late]) assert.equal((await page.goto(link)).status(), 200);
    await third.submit("/reset", { new: OTHER_PASSWORD });
    await third.arrivedAt("/login?reset");
    const again = await third.submit("/reset", { new: "an attacker's own" }, late);
    assert.equal(again.status(), 410);
    assert.match(await third.text("main", late), /no longer works/);
    assert.equal((await third.page.goto(link)).status(), 410);

    for (const device of [laptop, phone]) {
      await device.live("over");
      await device.assertLoggedOut("revoked_by_version");
    }
    assert.equal((await third.tryLogIn("ada", PASSWORD)).status(), 401);
    await third.logIn("ada", OTHER_PASSWORD);
  });

  story("tells of a login on a new device, and ends it by a link", async (world) => {
    const laptop = await world.device(FIREFOX);
    await laptop.signUp("ada", PASSWORD);
    assert.doesNotMatch(world.site.output, /notice for/, "a sign-up needs none");
    const stranger = await world.device(SAFARI);
    await stranger.logIn("ada", PASSWORD);
    const link = await world.notice("ada");
    assert.ok(link.startsWith(`${world.url}/not-me?token=`), link);
    assert.match(world.site.output, /notice for ada: a login on "Safari on iPhone"/);
    // A stranger who logs in again is known, and gains nothing by it.
    await stranger.submit("/logout");
    await stranger.logIn("ada", PASSWORD);
    assert.equal(world.site.output.match(/notice for/g).length, 1);

    // A mail scanner's requests do not use the link up.
    const scanner = await world.device("Scanner/1.0");
    for (const _ of [1, 2]) assert.equal((await scanner.page.goto(link)).status(), 200);
    await laptop.page.goto(link);
    await laptop.submit("/not-me");
    assert.match(await laptop.text("main"), /Set a new one/);
    await stranger.live("over");
    await stranger.assertLoggedOut("session_ended");
    await laptop.assertLoggedIn();
    assert.equal((await laptop.page.goto(link)).status(), 410);

    // The browser of the stranger is a new device again.
    await stranger.logIn("ada", PASSWORD);
    await until("a notice", () => world.site.output.match(/notice for/g).length === 2);
    assert.notEqual(await world.notice("ada"), link);
    const reset = await world.link("ada");
    await laptop.page.goto(reset);
    await laptop.submit("/reset", { new: OTHER_PASSWORD });
    await laptop.arrivedAt("/login?reset");
    assert.equal((await stranger.tryLogIn("ada", PASSWORD)).status(), 401);
  });

  story("answers a forgotten password the same for known and unknown names", async (world) => {
    const device = await world.device();
    const said = async (name) => {
      await device.goto("/forgotten");
      const response = await device.submit("/forgotten", { name });
      return [response.status(), await device.text("main")];
    };
    const nobody = await said("nobody");
    await device.signUp("ada", PASSWORD);
    assert.deepEqual(await said("ada"), nobody);
    await world.link("ada");
    assert.doesNotMatch(world.site.output, /nobody/);
  });

  story("goes on when the access token has expired", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    await device.live("alive");
    const before = await device.cookie("refresh");
    const states = await watchLive(device.page);

    await device.page.waitForResponse(
      (response) => response.url() === `${world.url}/auth/refresh` && response.status() === 200,
    );
    await until("alive again", async () => {
      const seen = await states();
      return seen.length > 1 && seen.at(-1) === "alive";
    });
    assert.doesNotMatch((await states()).join(), /over/);
    assert.notEqual((await device.cookie("refresh")).value, before.value, "it was rotated");

    // Without scripts: a page that stays open until the browser drops the cookie.
    await device.page.setJavaScriptEnabled(false);
    await device.goto("/password");
    await device.outliveAccess();
    const response = await device.goto("/devices");
    assert.equal(response.status(), 200);
    const passed = response.request().redirectChain().map((request) => new URL(request.url()).pathname);
    assert.deepEqual(passed, ["/devices", "/auth/resume"]);
    assert.equal((await device.devices()).length, 1);
  }, SHORT);

  story("keeps two tabs logged in that resume at once", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    const other = await device.tab();
    await device.goto("/devices", other);
    const tabs = [device.page, other];
    await Promise.all(tabs.map((page) => device.live("alive", page)));

    // The scripts of both pages, when their common token expires.
    await Promise.all(
      tabs.map(async (page) => {
        const states = await watchLive(page);
        await until("alive again", async () => {
          const seen = await states();
          return seen.length > 1 && seen.at(-1) === "alive";
        });
        assert.doesNotMatch((await states()).join(), /over/);
      }),
    );

    // Two pages without scripts.
    await Promise.all(tabs.map((page) => device.goto("/password", page)));
    await device.outliveAccess();
    for (const response of await Promise.all(tabs.map((page) => device.goto("/devices", page)))) {
      assert.equal(response.status(), 200);
    }
    for (const page of tabs) assert.equal((await device.devices(page)).length, 1);
    await device.assertLoggedIn();
  }, SHORT);

  story("resumes where there is no access token any more", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    await device.forget("access");
    await device.goto("/password");
    await device.arrivedAt("/password");
    assert.ok(await device.cookie("access"));

    await device.forget("refresh");
    await device.assertLoggedIn();
    await device.forget("access");
    await device.goto("/devices");
    await device.arrivedAt("/login");
    assert.deepEqual(await device.cookies(), {});
  });

  story("arrives logged in by a link from another site", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    const other = await world.elsewhere("127.0.0.1");
    const arrive = async () => {
      await device.page.goto(other.serve(`<a href="${world.url}/devices">a link</a>`));
      await device.click("a");
      await device.page.waitForSelector("#devices");
      await device.arrivedAt("/devices");
    };
    await arrive();
    // This needs the refresh token, which no other site makes the browser use.
    await device.forget("access");
    const before = (await device.cookie("refresh")).value;
    await device.page.goto(other.serve(`<a href="${world.url}/devices">a link</a>`));
    await device.click("a");
    await device.page.waitForSelector("form[method=post] button");
    assert.equal((await device.cookie("refresh")).value, before);
    await device.click("button");
    await device.page.waitForSelector("#devices");
    await device.arrivedAt("/devices");
    assert.ok(await device.cookie("access"));
  });

  story("shows the present state on a page restored by the back button", async (world) => {
    const [laptop, phone] = await both(world);
    const other = (await world.elsewhere("127.0.0.1")).serve("");
    await phone.live("alive");
    await phone.page.goto(other);
    await phone.page.goBack();
    await phone.live("alive");
    await phone.page.goto(other);
    await laptop.goto("/devices");
    await laptop.press("button", "Log out Safari on iPhone");
    await phone.page.goBack();
    assert.doesNotMatch(await phone.text("body"), /Alive/);
    await until("the end of the session", async () =>
      /Session revoked|You were logged out/.test(await phone.text("body")),
    );
  });

  story("deletes the account right after a login", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    await deleteAccount(device);
    await device.arrivedAt("/");
    assert.equal((await device.tryLogIn("ada", PASSWORD)).status(), 401);
    await device.signUp("ada", OTHER_PASSWORD);
  });

  story("logs out: the cookies are gone, and their tokens are dead", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    const kept = Object.values(await device.cookies());
    assert.equal(kept.length, 2);
    await device.goto("/devices");
    await device.submit("/logout");
    assert.deepEqual(await device.cookies(), {});
    assert.ok(await device.cookie("device"), "the device stays known");
    await device.goto("/devices");
    await device.arrivedAt("/login");

    await device.context.setCookie(...kept);
    await device.assertLoggedOut("session_ended");
    await device.goto("/auth/resume");
    await device.arrivedAt("/login");
    assert.deepEqual(await device.cookies(), {});
  });
}

/** Seconds that an access token lives, where a story outlives it. */
const SHORT = { ACCESS_SECONDS: "2" };

/** A laptop and a phone of Ada's, both at the list. */
async function both(world) {
  const laptop = await world.device(FIREFOX);
  await laptop.signUp("ada", PASSWORD);
  const phone = await world.device(SAFARI);
  await phone.logIn("ada", PASSWORD);
  return [laptop, phone];
}

async function deleteAccount(device) {
  await device.goto("/account/delete");
  await device.submit("/account/delete");
}

/** The states that the live indicator goes through from now on, the present one first. */
async function watchLive(page) {
  await page.evaluate(() => {
    const live = document.querySelector("#live");
    window.liveStates = [live.dataset.state];
    new MutationObserver(() => window.liveStates.push(live.dataset.state)).observe(live, {
      attributeFilter: ["data-state"],
    });
  });
  return () => page.evaluate(() => window.liveStates);
}
