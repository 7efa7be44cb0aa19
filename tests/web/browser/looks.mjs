// Appearance and accessibility: for each page, light and dark, on a phone and on a desktop, a picture
// and the rules of axe; and use by the keyboard alone.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { axePath } from "./chromium.mjs";
import { until } from "./programs.mjs";
import { FIREFOX, SAFARI } from "./world.mjs";

const PASSWORD = "a horse that staples";

const WIDTHS = { phone: 360, desktop: 1280 };

/** The minimum size of targets: of links (WCAG 2.2, 2.5.8), and of controls. */
const TARGETS_PX = { "nav a": 24, "button, input:not([type=hidden]), .button": 40 };

export function looks(story) {
  story("is readable, usable and sound in each page", async (world) => {
    const stranger = await world.device();
    const member = await world.device(FIREFOX);
    await member.signUp("ada", PASSWORD);
    const phone = await world.device(SAFARI);
    await phone.logIn("ada", PASSWORD);
    await stranger.goto("/forgotten");
    await stranger.submit("/forgotten", { name: "ada" });
    const link = (await world.link("ada")).slice(world.url.length);
    const notice = (await world.notice("ada")).slice(world.url.length);

    const titles = new Map();
    const look = async (device, name) => {
      const title = await device.page.title();
      titles.set(name, title);
      await inspect(device.page, name);
    };
    for (const [device, name, at] of [
      [stranger, "welcome", "/"],
      [stranger, "signup", "/signup"],
      [stranger, "login", "/login"],
      [stranger, "forgotten", "/forgotten"],
      [stranger, "reset", link],
      [stranger, "not-me", notice],
      [stranger, "reset-dead", "/reset?token=x"],
      [stranger, "nowhere", "/nowhere"],
      [member, "devices", "/devices"],
      [member, "password", "/password"],
    ]) {
      await device.goto(at);
      if (name === "devices") await device.live("alive");
      await look(device, name);
    }
    await stranger.tryLogIn("ada", "not the password");
    await look(stranger, "login-refused");

    await member.goto("/devices");
    await member.press("button", "Log out Safari on iPhone");
    await phone.live("over");
    await look(phone, "devices-revoked");
    await phone.goto("/devices");
    await look(phone, "logged-out");

    const pages = ["welcome", "signup", "login", "forgotten", "reset", "not-me", "devices", "password", "logged-out"];
    const different = new Set(pages.map((name) => titles.get(name)));
    assert.equal(different.size, pages.length, "titles that differ");
  });

  story("is used by the keyboard alone on a small screen", async (world) => {
    const device = await world.device();
    await device.signUp("ada", PASSWORD);
    const phone = await world.device(SAFARI);
    await phone.logIn("ada", PASSWORD);
    const { page } = device;
    await page.setViewport({ width: WIDTHS.phone, height: 640 });
    await device.goto("/devices");
    await page.bringToFront();

    const all = await page.$$eval(FOCUSABLE, (elements) =>
      elements
        .filter((element) => element.type !== "hidden")
        .map((element, at) => (element.dataset.at = String(at))),
    );
    const reached = [];
    for (;;) {
      await page.keyboard.press("Tab");
      const focus = await page.evaluate(focused);
      if (focus === null || reached.includes(focus.at)) break;
      reached.push(focus.at);
      assert.ok(focus.isMarked, `${focus.html} shows that it has the focus`);
      const isInSight = async () => (await page.evaluate(focused)).isInSight;
      await until(`${focus.html} in sight`, isInSight, 2_000);
    }
    assert.deepEqual(reached, all, "in the order of the page");

    // The skip link leads to the main content.
    await device.goto("/devices");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => location.hash !== "");
    assert.equal(await page.evaluate(() => document.querySelector(":target").tagName), "MAIN");

    // The same keys log a device out.
    const button = await page.waitForSelector(`::-p-aria([name="Log out Safari on iPhone"])`);
    await button.focus();
    await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
    assert.equal((await device.devices()).length, 1);
    await phone.live("over");
  });

  story("works without scripts", async (world) => {
    const device = await world.device();
    await device.page.setJavaScriptEnabled(false);
    await device.goto("/signup");
    await device.page.type("form[action='/signup'] [name=name]", "ada");
    await device.page.type("form[action='/signup'] [name=password]", PASSWORD);
    await device.click("form[action='/signup'] button");
    assert.equal(new URL(device.page.url()).pathname, "/devices");
    assert.equal((await device.devices()).length, 1);
    await device.click("form[action='/logout'] button");
    assert.deepEqual(await device.cookies(), {});
  });
}

const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex='0']";

const axe = fs.readFileSync(axePath, "utf8");

/** In each scheme, at each width: a picture, the fit, the size of targets, and axe's rules. */
export async function inspect(page, name) {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([
      { name: "prefers-color-scheme", value: scheme },
      { name: "prefers-reduced-motion", value: "reduce" },
    ]);
    for (const [device, width] of Object.entries(WIDTHS)) {
      const where = `${name}, ${scheme}, ${device}`;
      await page.setViewport({ width, height: 800 });
      const file = path.join(process.env.SITE_PICTURES, `${name}-${device}-${scheme}.png`);
      await page.screenshot({ path: file, fullPage: true });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `${where}: ${wide} px wide`);
      assert.deepEqual(await page.evaluate(smallTargets, TARGETS_PX), [], where);
    }
    if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
    assert.deepEqual(await page.evaluate(violations), [], `${name}, ${scheme}`);
  }
}

/** In the page: the targets that are too small. */
function smallTargets(targets) {
  const small = [];
  for (const [selector, least] of Object.entries(targets)) {
    for (const element of document.querySelectorAll(selector)) {
      const { width, height } = element.getBoundingClientRect();
      if (width < least || height < least) small.push(`${element.outerHTML} ${width} × ${height}`);
    }
  }
  return small;
}

/** In the page: the violations that axe finds. */
async function violations() {
  const options = { resultTypes: ["violations"], rules: { "target-size": { enabled: true } } };
  const { violations } = await window.axe.run(document, options);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

/** In the page: the element that has the focus. */
function focused() {
  const element = document.activeElement;
  if (element === null || element === document.body) return null;
  const style = getComputedStyle(element);
  const { top, bottom, left, right } = element.getBoundingClientRect();
  return {
    at: element.dataset.at,
    html: element.outerHTML,
    isMarked: (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2) || style.boxShadow !== "none",
    isInSight: top >= 0 && left >= 0 && bottom <= innerHeight + 1 && right <= innerWidth,
  };
}
