// Pages of another origin, served by an attacker or any other site.

import { once } from "node:events";
import http from "node:http";
import https from "node:https";

export class Elsewhere {
  #server;
  #pages = new Map();

  /** With a certificate, over TLS: a plain page is of another site than the same host's over TLS. */
  static async open(host, certificate) {
    const elsewhere = new Elsewhere();
    const answer = (request, response) => {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
      response.end(elsewhere.#pages.get(request.url) ?? page("nothing here"));
    };
    elsewhere.#server = certificate
      ? https.createServer({ key: certificate.key, cert: certificate.certificate }, answer)
      : http.createServer(answer);
    elsewhere.#server.listen(0, "127.0.0.1");
    await once(elsewhere.#server, "listening");
    const { port } = elsewhere.#server.address();
    elsewhere.origin = `${certificate ? "https" : "http"}://${host}:${port}`;
    return elsewhere;
  }

  /** The URL of a page with this body. */
  serve(body) {
    const at = `/${this.#pages.size}`;
    this.#pages.set(at, page(body));
    return this.origin + at;
  }

  close() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

const page = (body) =>
  `<!doctype html><html lang="en"><title>Elsewhere</title><link rel="icon" href="data:,">${body}`;

/** A form that submits itself. */
export function form(action, fields) {
  const inputs = Object.entries(fields)
    .map(([name, value]) => `<input name="${name}" value="${value}">`)
    .join("");
  return `<form method="post" action="${action}">${inputs}</form>
    <script>onload = () => document.forms[0].submit()</script>`;
}
