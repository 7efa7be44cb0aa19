// Logins with a second factor: the example `second_factor`, with codes made as an authenticator app
// makes them, and with Chromium's virtual authenticator.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { inspect } from "./looks.mjs";
import { FIREFOX, SAFARI } from "./world.mjs";

const PASSWORD = "a horse that staples";
const STEP_SECONDS = 30;

export function secondFactor(story) {
  story("asks for a code of the app, and setting it up logs the other device out", async (world) => {
    const [laptop, phone] = await both(world);
    const { app, codes } = await setUpApp(laptop);
    assert.equal(new Set(codes).size, 10);
    await assertIn(laptop, 1);
    await assertOut(phone);

    const tablet = await world.device();
    await enterPassword(tablet);
    await tablet.goto("/account");
    await tablet.arrivedAt("/login");
    await enterPassword(phone);
    await phone.submit("/login/code", { code: app.next() });
    await assertIn(phone, 2);
    await phone.forget("access");
    await assertIn(phone, 2);
    assert.equal(await pendingCookie(phone), undefined, "the pending login is over");
    await assertIn(laptop, 2);
  });

  story("accepts a code once, also from two devices at the same time", async (world) => {
    const laptop = await member(world);
    const { app, enrolled } = await setUpApp(laptop);
    const [phone, tablet, third] = [await world.device(SAFARI), await world.device(), await world.device()];
    for (const device of [phone, tablet, third]) await enterPassword(device);
    const replayed = await third.submit("/login/code", { code: enrolled });
    assert.equal(replayed.status(), 403, "the code that set the app up");
    assert.match(await alert(third), /Wrong code/);

    const code = app.next();
    const send = async (device) => (await device.submit("/login/code", { code })).status();
    const statuses = (await Promise.all([phone, tablet].map(send))).sort();
    // The slower login ends with the other one, or its code is wrong by then.
    const isOne = statuses[0] === 200 && [401, 403].includes(statuses[1]);
    assert.ok(isOne, `one of two with the same code: ${statuses}`);
    await enterPassword(third);
    assert.equal(await send(third), 403, "the same code later");
    await assertIn(laptop, 2);
  });

  story("accepts a recovery code once, typed in any form", async (world) => {
    const laptop = await member(world);
    const { codes } = await setUpApp(laptop);
    const [phone, tablet] = [await world.device(SAFARI), await world.device()];
    await enterPassword(phone);
    await phone.submit("/login/code", { code: ` ${codes[3].toLowerCase().replaceAll("-", "")} ` });
    await assertIn(phone, 2);

    await enterPassword(tablet);
    assert.equal((await tablet.submit("/login/code", { code: codes[3] })).status(), 403);
    await tablet.submit("/login/code", { code: codes[4] });
    await assertIn(tablet, 3);

    await laptop.goto("/account");
    await laptop.submit("/recovery-codes");
    const [fresh] = await shownCodes(laptop);
    const last = await world.device();
    await enterPassword(last);
    assert.equal((await last.submit("/login/code", { code: codes[5] })).status(), 403, "a replaced one");
    await last.submit("/login/code", { code: fresh });
    await assertIn(last, 4);
  });

  story("limits wrong codes, and the owner still gets in on a known device", async (world) => {
    const laptop = await member(world);
    const { app } = await setUpApp(laptop);
    await laptop.submit("/auth/logout");

    const thief = await world.device();
    await enterPassword(thief);
    let tries = 0;
    for (;;) {
      const status = (await thief.submit("/login/code", { code: "00000" })).status();
      if (status === 429) break;
      assert.equal(status, 403);
      tries += 1;
      assert.ok(tries < 60, "no limit");
    }
    assert.match(await alert(thief), /Too many attempts/);
    const code = app.next();
    assert.equal((await thief.submit("/login/code", { code })).status(), 429, "a right one too");

    await enterPassword(laptop);
    await laptop.submit("/login/code", { code });
    await assertIn(laptop, 1);
  });

  story("adds a passkey, and logs in with it", async (world) => {
    const [laptop, phone] = await both(world);
    await authenticator(laptop);
    await addPasskey(laptop, "A key");
    assert.equal((await shownCodes(laptop)).length, 10);
    await assertIn(laptop, 1);
    await assertOut(phone);
    await laptop.goto("/account");
    assert.match(await laptop.text("#passkeys"), /A key/);

    await laptop.submit("/auth/logout");
    await enterPassword(laptop);
    const response = await laptop.submit("/login/passkey");
    await assertIn(laptop, 1);

    // The answer of a passkey works once.
    await laptop.submit("/auth/logout");
    await enterPassword(laptop);
    const [login] = response.request().redirectChain();
    const fill = (form, sent) => {
      for (const [name, value] of new URLSearchParams(sent)) form.elements[name].value = value;
      form.submit();
    };
    const replayed = laptop.page.waitForNavigation();
    await laptop.page.$eval("form[data-passkey]", fill, login.postData());
    assert.equal((await replayed).status(), 403);

    // Another authenticator has no passkey of this user.
    await authenticator(phone);
    await enterPassword(phone);
    await phone.page.click("form[data-passkey] button");
    await phone.page.waitForSelector("form[data-passkey] [role=alert]:not([hidden])");
    await assertOut(phone);
  });

  story("removes each factor, keeps this device and logs the others out", async (world) => {
    const laptop = await member(world);
    await authenticator(laptop);
    const { app, codes } = await setUpApp(laptop);
    await addPasskey(laptop, "A key");
    await laptop.arrivedAt("/account");
    const phone = await world.device(SAFARI);
    const enter = async (code) => {
      await enterPassword(phone);
      await phone.submit("/login/code", { code });
      await assertIn(phone, 2);
    };
    await enter(app.next());
    await laptop.goto("/account");
    await laptop.submit("/totp/remove");
    await assertIn(laptop, 1);
    await assertOut(phone);
    // The passkey is left, and so are the recovery codes.
    await enter(codes[0]);
    await laptop.goto("/account");
    await laptop.submit("/passkey/remove");
    await assertIn(laptop, 1);
    await assertOut(phone);
    await phone.goto("/login");
    await phone.submit("/login", { name: "ada", password: PASSWORD });
    await assertIn(phone, 2);
  });

  story("confirms a sensitive operation by both factors, or by a passkey", async (world) => {
    const laptop = await member(world);
    await authenticator(laptop);
    await laptop.goto("/confirm");
    assert.equal((await laptop.submit("/confirm", { password: "not the password" })).status(), 403);
    await laptop.submit("/confirm", { password: PASSWORD });
    await laptop.arrivedAt("/account");

    const { codes } = await setUpApp(laptop);
    await addPasskey(laptop, "A key");
    const confirm = async (password, code) => {
      await laptop.goto("/confirm");
      return (await laptop.submit("/confirm", { password, code })).status();
    };
    assert.equal(await confirm(PASSWORD, "00000"), 403);
    assert.equal(await confirm("not the password", codes[0]), 403);
    assert.equal(await confirm(PASSWORD, codes[0]), 403, "used up");
    assert.equal(await confirm(PASSWORD, codes[1]), 200);
    await laptop.arrivedAt("/account");
    await laptop.goto("/confirm");
    await laptop.submit("/confirm/passkey");
    await laptop.arrivedAt("/account");
  });

  story("ends a login that waits, when the second factor changes", async (world) => {
    const laptop = await member(world);
    const { codes } = await setUpApp(laptop);
    const thief = await world.device();
    await enterPassword(thief);
    await laptop.goto("/account");
    await authenticator(laptop);
    await addPasskey(laptop, "A key");
    const refused = await thief.submit("/login/code", { code: codes[0] });
    assert.equal(refused.status(), 401);
    assert.match(await thief.text("main"), /Start again/);
    await assertIn(laptop, 1);
  });

  story("refreshes a session by the button of the page that asks first", async (world) => {
    const laptop = await member(world);
    await laptop.forget("access");
    await laptop.page.setExtraHTTPHeaders({ purpose: "prefetch" });
    await laptop.goto("/auth/resume?to=/account");
    await laptop.page.setExtraHTTPHeaders({});
    await laptop.click("button");
    await laptop.arrivedAt("/account");
    await assertIn(laptop, 1);
  });

  story("has pages that are readable and usable", async (world) => {
    const laptop = await member(world);
    await authenticator(laptop);
    await laptop.submit("/totp/new");
    await inspect(laptop.page, "second-factor-app");
    await setUpApp(laptop);
    await inspect(laptop.page, "second-factor-codes");
    await laptop.goto("/account");
    await laptop.submit("/passkey/new");
    await inspect(laptop.page, "second-factor-passkey");
    await addPasskey(laptop, "A key");
    await inspect(laptop.page, "second-factor-account");
    await laptop.goto("/confirm");
    await inspect(laptop.page, "second-factor-confirm");
    await laptop.submit("/auth/logout");
    await enterPassword(laptop);
    await inspect(laptop.page, "second-factor-login");
  });
}

async function member(world) {
  const device = await world.device(FIREFOX);
  await device.goto("/signup");
  await device.submit("/signup", { name: "ada", password: PASSWORD });
  await assertIn(device, 1);
  return device;
}

/** A laptop and a phone of one user, without a second factor. */
async function both(world) {
  const laptop = await member(world);
  const phone = await world.device(SAFARI);
  await phone.goto("/login");
  await phone.submit("/login", { name: "ada", password: PASSWORD });
  await assertIn(phone, 2);
  return [laptop, phone];
}

/** The first step of a user with a second factor. */
async function enterPassword(device) {
  await device.goto("/login");
  const response = await device.submit("/login", { name: "ada", password: PASSWORD });
  assert.equal(response.status(), 200);
  assert.equal(await device.heading(), "Confirm your login");
  assert.notEqual(await pendingCookie(device), undefined);
}

async function pendingCookie(device) {
  return (await device.allCookies())["insecure-second-step"];
}

async function setUpApp(device) {
  await device.goto("/account");
  await device.submit("/totp/new");
  const app = new App(await device.text("#secret"));
  const wrong = await device.submit("/totp/confirm", { code: "00000" });
  assert.equal(wrong.status(), 403);
  const enrolled = app.next();
  await device.submit("/totp/confirm", { code: enrolled });
  return { app, enrolled, codes: await shownCodes(device) };
}

async function shownCodes(device) {
  assert.equal(await device.heading(), "Your recovery codes");
  return device.page.$$eval("#codes code", (codes) => codes.map((code) => code.innerText));
}

async function addPasskey(device, name) {
  await device.goto("/account");
  await device.submit("/passkey/new");
  const response = await device.submit("/passkey/confirm", { name });
  assert.equal(response.status(), 200);
}

async function alert(device) {
  return device.text("[role=alert]:not([hidden])");
}

async function assertIn(device, devices) {
  await device.goto("/account");
  await device.arrivedAt("/account");
  const sessions = await device.page.$$eval("#sessions > li", (items) => items.length);
  assert.equal(sessions, devices, "the devices of the user");
}

/** The session was revoked. */
async function assertOut(device) {
  const response = await device.goto("/account");
  assert.equal(response.status(), 401);
  assert.match(await device.text("main"), /You were logged out/);
}

/** A key with a fingerprint reader, plugged into the first tab of this device. */
async function authenticator(device) {
  const session = await device.page.createCDPSession();
  await session.send("WebAuthn.enable");
  await session.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "usb",
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
}

/** An authenticator app (RFC 6238). */
class App {
  #key;
  #last = 0;

  constructor(base32) {
    const bits = [...base32].map((char) => ALPHABET.indexOf(char).toString(2).padStart(5, "0")).join("");
    this.#key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  }

  /** A code that was not used yet: of this time step, or of the next one, which is accepted too. */
  next() {
    const now = Math.floor(Date.now() / 1000 / STEP_SECONDS);
    this.#last = Math.max(now, this.#last + 1);
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(this.#last));
    const mac = createHmac("sha1", this.#key).update(counter).digest();
    const number = mac.readUInt32BE(mac[19] & 15) & 0x7fff_ffff;
    return String(number % 1_000_000).padStart(6, "0");
  }
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
