"""The session of an app on a phone."""

import random
import threading
import time


class LoggedOut(Exception):
    """The user must log in again."""


class Unavailable(Exception):
    """There is no answer. The session lives: try again later."""


class Session:
    """One for the whole app.

    `send(method, path, form, access_token)` makes a request with a timeout of 7 seconds. It returns the
    status, the headers and the parsed body, or raises OSError. `store` has `load()` and `save(tokens)`,
    which returns when the tokens are safe: they are in the Keychain or the Keystore.
    """

    def __init__(self, send, store, wait=time.sleep):
        self.send, self.store, self.wait = send, store, wait
        self.lock = threading.Lock()  # one refresh at a time
        self.tokens = store.load()

    def log_in(self, path, form):
        """Sends a password, or the code of a second step: the status and the body."""
        status, _, body = self.send("POST", path, form, None)
        if status == 200 and "refresh_token" in body:  # else the second step follows
            with self.lock:
                self.keep(body)
        return status, body

    def call(self, method, path, form=None):
        """A request as the user: the status and the body."""
        if self.tokens.get("is_repeat"):
            self.refresh(self.tokens)
        tokens = self.tokens
        status, _, body = self.send(method, path, form, tokens.get("access_token"))
        if status == 401:
            self.refresh(tokens)
            status, _, body = self.send(method, path, form, self.tokens["access_token"])
        return status, body

    def refresh(self, used):
        with self.lock:
            if self.tokens.get("refresh_token") == used.get("refresh_token"):
                self.exchange()
            # The answer after a late repeat must not be lost: get it now, while the network works.
            while self.tokens.get("is_repeat"):
                self.exchange()

    def exchange(self):
        token = self.tokens.get("refresh_token")
        if token is None:
            raise LoggedOut
        is_repeat = self.tokens.get("was_sent", False)
        self.keep(self.tokens | {"was_sent": True})
        for pause in (0.5, 1, 2, None):
            after = 0
            try:
                form = {"refresh_token": token}
                status, headers, grant = self.send("POST", "/auth/refresh", form, None)
            except OSError:
                pass  # the server may have acted: the same token again
            else:
                if status == 200:
                    return self.keep(grant | {"is_repeat": is_repeat})
                if status == 401:
                    raise LoggedOut
                after = int(headers.get("Retry-After", 0))
                if (status < 500 and status != 429) or after > 30:
                    break
            is_repeat = True
            if pause is not None:
                self.wait(max(after, pause) * random.uniform(1, 1.25))
        raise Unavailable

    def keep(self, tokens):
        """Stores the tokens before anything uses them."""
        self.store.save(tokens)
        self.tokens = tokens
