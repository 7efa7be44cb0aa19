// A proxy that loses answers, as a tunnel does: the server has acted, and the browser does not know.

import { once } from "node:events";
import http from "node:http";

export class Lossy {
  #server;
  #losses = [];
  #files = new Map();
  #refusals = 0;
  /** Requests that never reach the site. */
  blocked = new Set();
  /** With a path, all answers of it that would set cookies are lost, and counted. */
  noCookiesOf;
  lostCookies = 0;
  /** The requests that came, as "POST /auth/refresh". */
  seen = [];
  /** How many of them are over. */
  answered = 0;

  /** Listens on one port of this machine, and passes requests on to another. */
  static async open(port, to) {
    const lossy = new Lossy();
    lossy.#server = http.createServer((request, response) => lossy.#pass(request, response, to));
    lossy.#server.on("connection", (socket) => {
      if (lossy.#refusals === 0) return;
      lossy.#refusals -= 1;
      socket.destroy();
    });
    lossy.#server.listen(port, "127.0.0.1");
    await once(lossy.#server, "listening");
    return lossy;
  }

  /** Serves this script itself, at a path that the site does not have. */
  script(path, text) {
    this.#files.set(path, text);
  }

  count(what) {
    return this.seen.filter((seen) => seen === what).length;
  }

  /**
   * Keeps back the answer to the next request of this kind, and gives a promise of the moment at which the
   * server has answered. The test then calls `cut`.
   */
  lose(what) {
    return new Promise((answered) => this.#losses.push({ what, answered }));
  }

  /** Cuts all connections, and then so many new ones. */
  cut(more = 0) {
    this.#refusals = more;
    this.#server.closeAllConnections();
  }

  #pass(request, response, port) {
    const what = `${request.method} ${request.url}`;
    this.seen.push(what);
    response.on("close", () => (this.answered += 1));
    const file = this.#files.get(request.url);
    if (file !== undefined) {
      response.writeHead(200, { "content-type": "text/javascript", "cache-control": "no-store" });
      return response.end(file);
    }
    if (this.blocked.has(what)) return request.socket.destroy();
    const at = this.#losses.findIndex((loss) => loss.what === what);
    const [loss] = at < 0 ? [] : this.#losses.splice(at, 1);
    const { method, url: path, headers } = request;
    const passed = http.request({ host: "127.0.0.1", port, method, path, headers }, (answer) => {
      if (loss) {
        answer.resume();
        answer.on("end", loss.answered);
        return;
      }
      if (answer.headers["set-cookie"] && path.split("?")[0] === this.noCookiesOf) {
        this.lostCookies += 1;
        return request.socket.destroy();
      }
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    passed.on("error", () => request.socket.destroy());
    response.on("close", () => passed.destroy());
    request.pipe(passed);
  }

  close() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
