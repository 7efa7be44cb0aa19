// All tests, in each mode of the site. `tests/web/browser/run` runs this file.

import { after, describe, it } from "node:test";
import { closeBrowser } from "./chromium.mjs";
import { clients } from "./clients.mjs";
import { evil } from "./evil.mjs";
import { looks } from "./looks.mjs";
import { security } from "./security.mjs";
import { stories } from "./stories.mjs";
import { MODES, World } from "./world.mjs";

after(closeBrowser);

describe("the site", { concurrency: 2 }, () => {
  for (const mode of Object.keys(MODES)) {
    const story = told(mode);
    describe(`stories in ${mode}`, { concurrency: 2 }, () => stories(story));
    describe(`security in ${mode}`, { concurrency: 2 }, () => security(story, mode));
    describe(`clients in ${mode}`, { concurrency: 2 }, () => clients(story, mode));
    describe(`evil pages in ${mode}`, { concurrency: 2 }, () => evil(story, mode));
    // The same in each mode.
    if (mode === "development") describe("looks", { concurrency: 2 }, () => looks(story));
  }
});

/** A test in its own world, with these settings of the site. */
function told(mode) {
  return (name, tell, settings) =>
    it(name, { timeout: 60_000 }, async (context) => {
      const world = await World.open(mode, settings);
      try {
        await tell(world, context);
        world.assertQuiet();
      } catch (error) {
        context.diagnostic(`the site's errors: ${world.site.errors.slice(-2_000)}`);
        throw error;
      } finally {
        await world.close();
      }
    });
}
