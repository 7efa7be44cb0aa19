#!/usr/bin/env python3
"""Puts nginx in front of an application without tokens; the example site checks each request.

The configuration of nginx is the one in the documentation of `relatch::axum::endpoints::check`. Then
introspects and revokes tokens, as a resource server without Rust does.

The site, the application and nginx listen on free ports of 127.0.0.1, nginx over TLS with a new
certificate. All of them are stopped in any case. Needs nginx and openssl.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path

# Before the imports, which would leave their bytecode among the sources.
sys.dont_write_bytecode = True

from client import Answer, Client, Tokens, basic
from servers import Application, Login, LoginStub, Nginx, free_port

ROOT = Path(__file__).resolve().parents[3]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
SECRET = "the gateway's own secret, 32 bytes+"
PASSWORD = "correct horse battery"

# The headers of a browser's request from a page of the same origin, and of another one.
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
CROSS_SITE = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}


def main() -> int:
    # As on Ctrl-C, so that all servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    for program in ("nginx", "openssl"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            sys.exit(f"{program} is missing")
    build = ["cargo", "build", "--locked", "--quiet"]
    build += ["--package", "relatch-examples", "--example", "site"]
    subprocess.run(build, check=True, cwd=ROOT)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relatch-nginx-")))
        # nginx's workers are another user, if this one is root.
        folder.chmod(0o711)
        checks = Checks(stack, folder)
        checks.without_token()
        checks.by_header()
        checks.by_cookie()
        checks.headers_of_the_proxy()
        checks.preflight()
        checks.after_logout()
        checks.introspection()
        checks.revocation()
        checks.without_login_server()
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


class Checks:
    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.passed = self.failed = 0
        port, login_port = free_port(), free_port()
        self.url = f"https://localhost:{port}"
        self.application = stack.enter_context(Application())
        self.login_port = login_port
        self.login = stack.enter_context(
            Login(TARGET / "debug" / "examples" / "site", folder, login_port, self.url, SECRET)
        )
        sources = sorted((ROOT / "src" / "axum").rglob("*.rs"))
        documentation = "".join(path.read_text(encoding="utf-8") for path in sources)
        stack.enter_context(
            Nginx(folder, port, login_port, self.application.port, documented(documentation))
        )
        self.client = Client(port)
        self.alice, self.bob = self.signed_up("alice"), self.signed_up("bob")
        self.alice_id, self.bob_id = self.id_of(self.alice), self.id_of(self.bob)

    def without_token(self) -> None:
        answer = self.get("/orders")
        self.refused("without a token", answer, 401)
        self.holds("… with the challenge", answer.headers.get("WWW-Authenticate") == "Bearer")
        self.refused("with a malformed token", self.get("/orders", bearer("x.y.z")), 401)
        forged = self.alice.access[:-4] + "AAAA"
        self.refused("with a forged token", self.get("/orders", bearer(forged)), 401)
        self.refused("with a refresh token", self.get("/orders", bearer(self.alice.refresh)), 401)
        self.refused("the check from outside", self.get("/auth/check", self.by(self.alice)), 404)

    def by_header(self) -> None:
        for name, tokens, user_id in (
            ("alice", self.alice, self.alice_id),
            ("bob", self.bob, self.bob_id),
        ):
            answer = self.get("/orders?page=2", bearer(tokens.access))
            self.let_through(f"{name}, by header", answer, user_id)
        self.holds("… with path and query", self.application.last.path == "/orders?page=2")
        post = self.client.request("POST", "/orders", bearer(self.alice.access), b"a=1")
        self.let_through("a POST by header, without an origin", post, self.alice_id)
        self.holds("… with its body", self.application.last.body == b"a=1")

    def by_cookie(self) -> None:
        self.let_through("a GET by cookie", self.get("/", self.by(self.alice)), self.alice_id)
        link = self.by(self.alice) | {"Sec-Fetch-Site": "cross-site"}
        self.let_through("a link on another site", self.get("/", link), self.alice_id)
        self.let_through("a POST of the same origin", self.post(SAME_ORIGIN), self.alice_id)
        self.holds("… with its body", self.application.last.body == b"a=1")
        self.let_through("… of an older browser", self.post({"Origin": self.url}), self.alice_id)
        self.refused("a POST of another site", self.post(CROSS_SITE), 403)
        self.refused("… of an older browser", self.post({"Origin": "https://evil.example"}), 403)
        other_port = {"Origin": "https://localhost:1"}
        self.refused("… of another port's", self.post(other_port), 403)
        self.refused("a POST without a proof of origin", self.post({}), 403)
        delete = self.client.request("DELETE", "/", self.by(self.alice) | CROSS_SITE)
        self.refused("a DELETE of another site", delete, 403)
        opening = self.by(self.alice) | {"Connection": "Upgrade", "Upgrade": "websocket"}
        self.refused("a WebSocket of another site", self.get("/", opening | CROSS_SITE), 403)
        self.let_through("… of the same origin", self.get("/", opening | SAME_ORIGIN), self.alice_id)

    def headers_of_the_proxy(self) -> None:
        for name in ("X-User-Id", "x-user-id", "X_User_Id"):
            headers = bearer(self.alice.access) | {name: self.bob_id}
            self.let_through(f"a client's own {name}", self.get("/", headers), self.alice_id)
        twice = [*bearer(self.alice.access).items(), *[("X-User-Id", self.bob_id)] * 2]
        self.let_through("… twice", self.get("/", twice), self.alice_id)
        self.refused("… without a token", self.get("/", {"X-User-Id": self.bob_id}), 401)
        forwarded = bearer(self.alice.access) | {"X-Forwarded-For": "10.0.0.7"}
        self.let_through("a client's own X-Forwarded-For", self.get("/", forwarded), self.alice_id)
        addresses = self.application.last.headers.get_all("X-Forwarded-For")
        self.holds("… is not the application's", addresses == ["127.0.0.1"])
        for name in ("X-Original-Method", "X-Forwarded-Method"):
            self.refused(f"a client's own {name}", self.post(CROSS_SITE | {name: "GET"}), 403)

    def preflight(self) -> None:
        asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
        forged = {"X-User-Id": self.bob_id, "Cookie": "a=b", "Authorization": "Bearer x"}
        answer = self.client.request("OPTIONS", "/orders?page=2", asked | forged)
        seen = self.application.take()
        last = self.application.last
        self.holds("a preflight", answer.status == 200 and len(seen) == 1)
        self.holds("… as it was sent", (last.method, last.path) == ("OPTIONS", "/orders?page=2"))
        self.holds("… with its origin", last.headers.get_all("Origin") == [asked["Origin"]])
        names = ("Cookie", "Authorization", "X-User-Id")
        found = [name for name in names if last.headers.get(name) is not None]
        self.holds("… without credentials", found == [] and last.user_ids() == [], str(found))
        self.refused("a POST that asks like one", self.post(CROSS_SITE | asked), 403)
        self.refused("a GET that asks like one", self.get("/", asked), 401)
        for method in ("X-OPTIONS", "options"):
            answer = self.client.request(method, "/orders", asked)
            self.holds(f"{method} is none", self.application.take() == [], str(answer.status))

    def after_logout(self) -> None:
        leaving, staying = self.logged_in("alice"), self.logged_in("alice")
        self.let_through("before the logout", self.get("/", self.by(leaving)), self.alice_id)
        answer = self.client.request("POST", "/auth/logout", self.by(leaving) | SAME_ORIGIN)
        self.holds("the logout", answer.status == 204)
        self.refused("after it, by cookie", self.get("/", self.by(leaving)), 401)
        self.refused("after it, by header", self.get("/", bearer(leaving.access)), 401)
        self.let_through("… another device", self.get("/", self.by(staying)), self.alice_id)

    def introspection(self) -> None:
        active = self.introspected(self.bob.access)
        self.holds("an access token is active", active["active"] is True)
        self.holds("… of this user and issuer", active["sub"] == self.bob_id and active["iss"] == self.url)
        self.holds("… with its times", active["iat"] < active["exp"] <= active["iat"] + 300)
        self.holds("… with its type and session", active["token_type"] == "Bearer" and "sid" in active)
        inactive = {"active": False}
        self.holds("a refresh token is not", self.introspected(self.bob.refresh) == inactive)
        self.holds("a malformed token is not", self.introspected("x.y.z") == inactive)
        plain = b64encode(f"gateway:{SECRET}".encode()).decode()
        answer = self.introspect(self.bob.access, {"Authorization": f"Basic {plain}"})
        self.holds("a caller that encodes nothing, as `curl -u`", answer.status == 200)
        for name, headers in {
            "an introspection without credentials": {},
            "… with a wrong secret": basic("gateway", SECRET[::-1]),
            "… by an unknown caller": basic("other", SECRET),
            "… by a user": bearer(self.bob.access),
        }.items():
            answer = self.introspect(self.bob.access, headers)
            challenged = answer.headers.get("WWW-Authenticate", "").startswith("Basic")
            self.holds(name, answer.status == 401 and challenged and b"active" not in answer.body)

    def revocation(self) -> None:
        for name in ("access", "refresh"):
            tokens = self.logged_in("bob")
            self.holds("active before", self.introspected(tokens.access)["active"] is True)
            self.holds(f"revoked by the {name} token", self.revoke(getattr(tokens, name)) == 200)
            self.holds("inactive after", self.introspected(tokens.access) == {"active": False})
            self.refused("… at the proxy", self.get("/", bearer(tokens.access)), 401)
        other = self.introspected(self.bob.access)
        self.holds("another session is active", other["active"] is True)
        self.holds("a malformed token counts as revoked", self.revoke("x.y.z") == 200)

    def without_login_server(self) -> None:
        # Without `error_page` nginx turns all but 2xx, 401 and 403 into 500.
        twice = self.by(self.alice) | bearer(self.bob.access)
        self.refused("a request that cannot be checked", self.get("/", twice), 503)
        self.refused("… without an error page", self.get("/bare/", twice), 500)
        answer = self.get("/broken", self.by(self.alice))
        seen = self.application.take()
        self.holds("the application's own 500", answer.status == 500 and len(seen) == 1)
        self.login.stop()
        self.unavailable("the login server is down")
        with LoginStub(self.login_port, 503):
            self.unavailable("the login server's database is down")

    def unavailable(self, name: str) -> None:
        answer = self.get("/", self.by(self.alice))
        self.refused(name, answer, 503)
        self.holds("… with Retry-After", answer.headers.get("Retry-After") == "2")
        self.refused("… without an error page", self.get("/bare/", self.by(self.alice)), 500)

    def signed_up(self, name: str) -> Tokens:
        answer = self.client.form("/signup", {"name": name, "password": PASSWORD}, SAME_ORIGIN)
        return answer.tokens()

    def logged_in(self, name: str) -> Tokens:
        form = {"username": name, "password": PASSWORD}
        return self.client.form("/auth/login", form, SAME_ORIGIN).tokens()

    def id_of(self, tokens: Tokens) -> str:
        return json.loads(self.get("/api/me", bearer(tokens.access)).body)["user"]

    def introspect(self, token: str, headers: dict[str, str]) -> Answer:
        return self.client.form("/auth/introspect", {"token": token}, headers)

    def introspected(self, token: str) -> dict[str, object]:
        return json.loads(self.introspect(token, basic("gateway", SECRET)).body)

    def revoke(self, token: str) -> int:
        return self.client.form("/auth/revoke", {"token": token}, {}).status

    def by(self, tokens: Tokens) -> dict[str, str]:
        return {"Cookie": f"theme=dark; __Host-access={tokens.access}"}

    def get(self, path: str, headers: object = ()) -> Answer:
        return self.client.request("GET", path, headers)

    def post(self, headers: dict[str, str]) -> Answer:
        return self.client.request("POST", "/orders", self.by(self.alice) | headers, b"a=1")

    def let_through(self, name: str, answer: Answer, user_id: str) -> None:
        """The application received the request once, as this user's."""
        ids = [request.user_ids() for request in self.application.take()]
        is_right = answer.status == 200 and ids == [[user_id]]
        self.holds(f"{name}: 200", is_right, f"{answer.status}, {ids}")

    def refused(self, name: str, answer: Answer, status: int) -> None:
        """The application did not receive the request."""
        seen = len(self.application.take())
        is_right = answer.status == status and seen == 0
        self.holds(f"{name}: {status}", is_right, f"{answer.status}, seen {seen} times")

    def holds(self, name: str, holds: bool, found: str = "") -> None:
        if holds:
            self.passed += 1
            print(f"ok     {name}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED {name}: {found}", flush=True)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def documented(source: str) -> str:
    """The configuration of nginx in the documentation."""
    begin, end = "/// ```nginx\n", "/// ```\n"
    if source.count(begin) != 1:
        sys.exit("src/axum must document exactly one configuration of nginx")
    lines = source.split(begin)[1].split(end)[0].splitlines()
    return "\n".join(line.removeprefix("///").removeprefix(" ") for line in lines)


if __name__ == "__main__":
    sys.exit(main())
