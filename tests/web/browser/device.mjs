// A browser profile: what a user does with it, and what the browser stores.

import assert from "node:assert/strict";
import { until } from "./programs.mjs";

const DEADLINE_MS = 10_000;

export class Device {
  /** What the browser had to say against the site's pages. */
  complaints = [];

  static async open(world, context, agent) {
    const device = Object.assign(new Device(), { world, context, agent });
    device.page = await device.tab();
    return device;
  }

  async tab() {
    const page = await this.context.newPage();
    page.setDefaultTimeout(DEADLINE_MS);
    await page.setUserAgent(this.agent);
    const complain = (text) => this.complaints.push(`${page.url()}: ${text}`);
    page.on("pageerror", (error) => complain(error.message));
    page.on("console", (message) => {
      const text = message.text();
      if (/content security policy|refused to|mixed content/i.test(text)) complain(text);
    });
    return page;
  }

  // What a user does.

  /** Goes to a page of the site, and gives the last response. */
  async goto(path, page = this.page) {
    return page.goto(this.world.url + path);
  }

  async signUp(name, password) {
    await this.goto("/signup");
    await this.submit("/signup", { name, password });
    await this.arrivedAt("/devices");
  }

  async logIn(name, password) {
    const response = await this.tryLogIn(name, password);
    await this.arrivedAt("/devices");
    return response;
  }

  async tryLogIn(name, password) {
    await this.goto("/login");
    return this.submit("/login", { name, password });
  }

  /** Fills in the form with this action and sends it by its button; gives the page's response. */
  async submit(action, fields = {}, page = this.page) {
    const form = `form[action="${action}"]`;
    for (const [name, value] of Object.entries(fields)) {
      const fill = (field, value) => (field.value = value);
      await page.$eval(`${form} [name="${name}"]`, fill, value);
    }
    return this.click(`${form} button`, page);
  }

  /** Presses the element with this accessible name. */
  async press(role, name) {
    return this.click(`::-p-aria([name="${name}"][role="${role}"])`);
  }

  async click(selector, page = this.page) {
    await page.bringToFront();
    const leaving = page.waitForNavigation();
    leaving.catch(() => {}); // the click fails first, if there is nothing to click
    const element = await page.waitForSelector(selector);
    await element.click();
    return leaving;
  }

  // What a user sees.

  async arrivedAt(path, page = this.page) {
    const isThere = () => page.url() === this.world.url + path;
    const there = await until(path, isThere).catch(() => false);
    assert.ok(there, `at ${page.url()} instead of ${path}: ${await this.text("body", page)}`);
  }

  async text(selector, page = this.page) {
    return page.$eval(selector, (element) => element.innerText.trim());
  }

  async heading(page = this.page) {
    return this.text("h1", page);
  }

  async alert() {
    return this.text("[role=alert]");
  }

  /** The list of devices: each with its session's id, its text, and whether it is this one. */
  async devices(page = this.page) {
    return page.$$eval("#devices > li", (items) =>
      items.map((item) => ({
        session: item.dataset.session,
        text: item.innerText,
        current: item.getAttribute("aria-current") === "true",
      })),
    );
  }

  /** Waits for the live indicator to be in this state. */
  async live(state, page = this.page) {
    await page.waitForSelector(`#live[data-state="${state}"]`);
    return this.text("#live", page);
  }

  async assertLoggedIn() {
    const response = await this.goto("/devices");
    assert.equal(response.status(), 200);
    await this.arrivedAt("/devices");
    assert.equal(await this.heading(), "Your devices");
  }

  /** The next page says that the session is over, and why. */
  async assertLoggedOut(reason) {
    const response = await this.goto("/devices");
    assert.equal(response.status(), 401);
    assert.equal(await this.heading(), "You were logged out");
    assert.equal(await this.text("#refused #reason"), reason);
  }

  // What the browser stores.

  /** The site's cookies by their names. */
  async allCookies() {
    const cookies = await this.context.cookies();
    return Object.fromEntries(cookies.map((cookie) => [cookie.name, cookie]));
  }

  /** Those of the session. The device's cookie is no part of one: it survives a logout. */
  async cookies() {
    const { [this.world.names.device]: _device, ...cookies } = await this.allCookies();
    return cookies;
  }

  /** The cookie with the access, the refresh or the device token. */
  async cookie(which) {
    return (await this.allCookies())[this.world.names[which]];
  }

  async forget(which) {
    await this.context.deleteCookie(await this.cookie(which));
  }

  /** Waits until the browser itself has dropped the access token. */
  async outliveAccess() {
    await until("the access cookie's end", async () => (await this.cookie("access")) === undefined);
  }
}
