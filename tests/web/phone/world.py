"""The phone, its network and its time."""

import json
import threading
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode

# At most so many glitches one after another: the client's four tries are then within the grace.
GLITCHES = 2
REFRESH = "/auth/refresh"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Killed(Exception):
    """The system ended the app."""


class Proxy:
    """Passes requests on to the server, or loses them, or their answers."""

    def __init__(self, server):
        proxy = self
        self.next = lambda path: "pass"

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fate = proxy.next(self.path)
                if fate == "before":
                    return self.cut()
                if fate == "unavailable":
                    return self.reply(503, [("Retry-After", "1")], b"{}")
                answer = request(server, self.command, self.path, body, dict(self.headers))
                if fate == "after":
                    return self.cut()
                self.reply(*answer)

            do_GET = do_POST = answer

            def cut(self):
                self.close_connection = True
                self.connection.close()

            def reply(self, status, headers, body):
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() in ("content-type", "retry-after"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

            def finish(self):
                try:
                    super().finish()
                except OSError:
                    pass  # it was cut

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def request(port, method, path, body=None, headers=()):
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


class Store:
    """The phone's secure storage. Each write is made whole, or not at all."""

    def __init__(self, die):
        self.tokens, self.die = {}, die

    def load(self):
        return dict(self.tokens)

    def save(self, tokens):
        self.die()
        self.tokens = dict(tokens)
        self.die()


class World:
    def __init__(self, server, chance):
        self.server, self.chance = server, chance
        self.proxy = Proxy(server)
        self.proxy.next = self.fate
        self.store = Store(self.die)
        self.now = 0.0
        self.moved = 0
        self.outage_ends, self.outage_after_refresh = 0.0, None
        self.steps_to_death = None
        self.glitches = 0
        # Nothing but glitches until a call of the app has succeeded.
        self.is_calm = False
        self.was_out = False
        self.first = {}
        self.first = self.events()

    # ---- The plan of the test

    @property
    def is_out(self):
        return self.now < self.outage_ends

    def begin_outage(self, seconds, is_in_a_refresh):
        """From now on no request gets through; or from the next refresh on, whose answer is lost."""
        self.is_calm = False
        if is_in_a_refresh:
            self.outage_after_refresh = seconds
        else:
            self.outage_ends = self.now + seconds

    def kill_soon(self):
        self.is_calm = False
        self.steps_to_death = self.chance.randrange(8)

    def calm_down(self):
        if not self.is_out and self.outage_after_refresh is None:
            self.is_calm, self.steps_to_death = True, None

    @property
    def may_fail(self):
        return self.is_out or self.was_out

    # ---- What the phone sees

    def fate(self, path):
        if self.is_out:
            return "before"
        if path == REFRESH and self.outage_after_refresh is not None:
            self.outage_ends, self.outage_after_refresh = self.now + self.outage_after_refresh, None
            return "after"
        fate = self.chance.choice(["pass"] * 8 + ["before", "after", "unavailable"])
        if fate == "pass" or self.glitches == GLITCHES:
            self.glitches = 0
            return "pass"
        self.glitches += 1
        return fate

    def send(self, method, path, form, access_token):
        """Requests of the app itself are repeated by its user: only those of the session fail alone."""
        headers = dict(FORM)
        if access_token:
            headers["Authorization"] = f"Bearer {access_token}"
        body = urlencode(form) if form else None
        while True:
            self.die()
            self.was_out = self.is_out
            try:
                status, headers_, text = request(self.proxy.port, method, path, body, headers)
            except (OSError, HTTPException) as error:
                self.die()
                if path == REFRESH or self.was_out:
                    raise OSError(str(error)) from error
                continue
            self.die()
            if status == 503 and path != REFRESH:
                continue
            is_json = text[:1] == b"{"
            names = {name.title(): value for name, value in headers_}
            return status, names, json.loads(text) if is_json else text.decode()

    def wait(self, seconds):
        self.now += seconds
        by = int(self.now) - self.moved
        self.moved += by
        request(self.server, "POST", "/test/forward", f"seconds={by}", FORM)

    def die(self):
        """Ends the app here, if this is the moment."""
        if self.steps_to_death is None:
            return
        self.steps_to_death -= 1
        if self.steps_to_death < 0:
            self.steps_to_death = None
            raise Killed

    # ---- What the server says

    def events(self):
        """The security events since this world began."""
        now = json.loads(request(self.server, "GET", "/test/events")[2])
        return {kind: count - self.first.get(kind, 0) for kind, count in now.items()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proxy.close()
