// The one browser of all stories; each story has its own profiles.

import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.SITE_MODULES, "package.json"));
const puppeteer = require("puppeteer-core");

let launched;

export function browser() {
  launched ??= puppeteer.launch({
    executablePath: process.env.SITE_CHROMIUM,
    acceptInsecureCerts: true,
    protocolTimeout: 15_000,
    args: [
      "--no-sandbox", // the tests may run as root
      "--disable-dev-shm-usage",
      "--force-color-profile=srgb",
      // No pages of the browser itself beside each window: no test types into its address bar.
      "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,SpareRendererForSitePerProcess",
    ],
  });
  return launched;
}

export async function closeBrowser() {
  await (await launched)?.close();
}

/** The source of axe: evaluated, for the pages' policy lets no script in. */
export const axePath = require.resolve("axe-core/axe.min.js");
