// Pages of an attacker that want to end a visitor's session: they make the browser use its refresh token up,
// and see to it that the answer is lost.

import assert from "node:assert/strict";
import { until } from "./programs.mjs";

const PASSWORD = "a horse that staples";

const RESUME = "/auth/resume?to=/password"; // that page opens no stream

/** How a page of another origin makes the browser send a GET. */
const WAYS = {
  image: (url) => `<img src="${url}">`,
  frame: (url) => `<iframe src="${url}"></iframe>`,
  script: (url) => `<script src="${url}"></script>`,
  prefetch: (url) => `<link rel="prefetch" href="${url}">`,
  fetch: (url) => `<script>fetch("${url}", { mode: "no-cors", credentials: "include" })</script>`,
  form: (url) => `<form action="${url}" target="f"><input name="to" value="/password"></form>
    <iframe name="f"></iframe><script>document.forms[0].submit()</script>`,
  navigation: (url) => `<script>location = "${url}"</script>`,
};

export function evil(story, mode) {
  if (mode !== "development") return; // the lossy proxy is in front of a site without TLS only
  for (const [where, host] of [
    ["another site", "127.0.0.1"],
    ["another origin of the same site", "localhost"],
  ]) {
    for (const [when, isExpired] of [["while the access token lives", false], ["after it", true]]) {
      story(`keeps the session that a page of ${where} wants to resume ${when}`, async (world) => {
        const { device, tab, unharmed } = await victim(world, isExpired);
        const other = await world.elsewhere(host);
        for (const [way, body] of Object.entries(WAYS)) {
          const before = world.lossy.seen.length;
          const page = await tab();
          await page.goto(other.serve(body(world.url + RESUME)));
          const sent = () => world.lossy.seen.slice(before).some((seen) => seen.includes("/auth/resume"));
          await until(`the request by ${way}`, sent);
          await until("the answers", () => world.lossy.answered === world.lossy.seen.length);
          await page.close();
        }
        // The same in a window of its own, which the page leads away.
        const page = await tab();
        await page.goto(other.serve(""));
        const before = world.lossy.seen.length;
        await page.evaluate((url) => void (globalThis.opened = open(url)), world.url + RESUME);
        const sent = () => world.lossy.seen.slice(before).some((seen) => seen.includes("/auth/resume"));
        await until("the request of the window", sent);
        await until("its page", () => world.lossy.answered === world.lossy.seen.length);
        await page.evaluate(() => void (opened.location = "about:blank"));
        await page.close();
        assert.equal(world.lossy.lostCookies, 0, "the refresh token was used");
        device.complaints.length = 0; // the frames
        await unharmed();
      }, { isLossy: true });
    }
  }
}

/** Ada's device, whose answers with new cookies are lost from now on; and the check that it goes on. */
async function victim(world, isExpired) {
  const device = await world.device();
  await device.signUp("ada", PASSWORD);
  await device.goto("/password"); // nothing of its own that refreshes
  if (isExpired) await device.forget("access");
  world.lossy.noCookiesOf = "/auth/resume";
  const unharmed = async () => {
    world.lossy.noCookiesOf = undefined;
    const status = () => fetch("/auth/refresh", { method: "POST" }).then(({ status }) => status);
    assert.equal(await device.page.evaluate(status), 200);
    await device.assertLoggedIn();
    const events = await device.page.$$eval("[data-event]", (items) => items.map((item) => item.dataset.event));
    assert.deepEqual(events, [], "the refresh token was the present one");
  };
  return { device, tab: () => device.tab(), unharmed };
}
