// The world of one test: a site, nginx in front of it for TLS, the browser profiles that use it,
// and pages of other origins. Everything ends with the test.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { browser } from "./chromium.mjs";
import { Device } from "./device.mjs";
import { Elsewhere } from "./elsewhere.mjs";
import { Lossy } from "./lossy.mjs";
import { freePort, Program, reachable } from "./programs.mjs";

/** Over plain HTTP, as in development, or over TLS, as in production. */
export const MODES = {
  development: {
    scheme: "http",
    names: { access: "insecure-access", refresh: "insecure-refresh", device: "insecure-device" },
  },
  TLS: {
    scheme: "https",
    names: { access: "__Host-access", refresh: "__Secure-refresh", device: "__Host-device" },
  },
};

export const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
export const SAFARI =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) " +
  "Version/18.5 Mobile/15E148 Safari/604.1";

export class World {
  #closing = [];
  #devices = [];

  /**
   * `settings` are environment variables of the site. With `isLossy`, `world.lossy` stands before a
   * site without TLS; with `hasApp`, `world.app` is another origin of the same site that it trusts.
   */
  static async open(mode, settings = {}, binary = process.env.SITE_BINARY) {
    const world = new World();
    try {
      await world.#start(mode, settings, binary);
      return world;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  async #start(mode, { isLossy, hasApp, ...settings }, binary) {
    Object.assign(this, MODES[mode]);
    this.secure = this.scheme === "https";
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "relatch-site-"));
    fs.chmodSync(this.folder, 0o755); // nginx's workers are not root
    this.#closing.push(() => fs.rmSync(this.folder, { recursive: true, force: true }));

    if (this.secure) this.certificate = selfSigned(this.folder);
    if (hasApp) {
      this.app = await this.elsewhere("localhost");
      settings.APP_ORIGIN = this.app.origin;
    }
    const port = await freePort();
    const outer = this.secure || isLossy ? await freePort() : port;
    this.url = `${this.scheme}://localhost:${outer}`;
    this.site = new Program(binary, [], {
      ...process.env,
      PORT: String(port),
      PUBLIC_URL: this.url,
      SITE_DATABASE: path.join(this.folder, "site.sqlite"),
      ...settings,
    });
    this.#closing.push(() => this.site.stop());
    await this.site.line(/listening on (\S+)/);
    if (this.secure) await this.#startProxy(port, outer);
    else if (isLossy) {
      this.lossy = await Lossy.open(outer, port);
      this.#closing.push(() => this.lossy.close());
    }
  }

  async #startProxy(port, outer) {
    const { certificate } = this;
    const configuration = path.join(this.folder, "nginx.conf");
    fs.writeFileSync(configuration, nginxConfiguration(this.folder, certificate, port, outer));
    const nginx = new Program("nginx", ["-p", this.folder, "-e", "stderr", "-c", configuration]);
    this.#closing.push(() => nginx.stop());
    await reachable(outer, nginx);
  }

  /** A new, empty browser profile. */
  async device(agent = FIREFOX) {
    const context = await (await browser()).createBrowserContext();
    this.#closing.push(() => context.close());
    const device = await Device.open(this, context, agent);
    this.#devices.push(device);
    return device;
  }

  /** Pages of another origin on this host: `localhost` is the same site, `127.0.0.1` another site. */
  async elsewhere(host) {
    const elsewhere = await Elsewhere.open(host, this.secure ? this.certificate : null);
    this.#closing.push(() => elsewhere.close());
    return elsewhere;
  }

  /** The last password-reset link that the site printed. */
  async link(name) {
    const [, link] = await this.site.line(new RegExp(`^link for ${name}: (\\S+)`, "m"));
    return link;
  }

  /** The link of the last notice of a login on a new device that the site printed. */
  async notice(name) {
    const [, link] = await this.site.line(new RegExp(`^notice for ${name}: .* (\\S+/not-me\\S+)$`, "m"));
    return link;
  }

  /** Fails if a page broke its content policy or threw an error. */
  assertQuiet() {
    const complaints = this.#devices.flatMap((device) => device.complaints);
    assert.deepEqual(complaints, [], "the browser complained");
  }

  async close() {
    for (const close of this.#closing.reverse()) await close();
  }
}

let made;

/** Made once and copied, because making a key is slow. */
function selfSigned(folder) {
  const [key, certificate] = ["key.pem", "certificate.pem"].map((name) => path.join(folder, name));
  if (made === undefined) {
    execFileSync("openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
      ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
    ], { stdio: "pipe" });
    made = { key: fs.readFileSync(key), certificate: fs.readFileSync(certificate) };
  }
  fs.writeFileSync(key, made.key, { mode: 0o600 });
  fs.writeFileSync(certificate, made.certificate);
  return { ...made, paths: { key, certificate } };
}

const nginxConfiguration = (folder, { paths }, port, outer) => `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path ${folder}/body;
    proxy_temp_path ${folder}/proxy;
    fastcgi_temp_path ${folder}/fastcgi;
    uwsgi_temp_path ${folder}/uwsgi;
    scgi_temp_path ${folder}/scgi;
    map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
    server {
        listen 127.0.0.1:${outer} ssl http2;
        ssl_certificate ${paths.certificate};
        ssl_certificate_key ${paths.key};
        location / {
            proxy_pass http://127.0.0.1:${port};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_buffering off;
            proxy_read_timeout 1h;
        }
    }
}
`;
