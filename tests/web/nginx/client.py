"""A plain HTTP client."""

import base64
import http.client
import ssl
from email.message import Message
from http.cookies import SimpleCookie
from typing import Iterable, NamedTuple
from urllib.parse import quote, urlencode


class Tokens(NamedTuple):
    access: str
    refresh: str


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes

    def tokens(self) -> Tokens:
        """The tokens in the cookies."""
        cookies = SimpleCookie()
        for header in self.headers.get_all("Set-Cookie", []):
            cookies.load(header)
        try:
            access, refresh = cookies["__Host-access"], cookies["__Secure-refresh"]
        except KeyError:
            raise SystemExit(f"no tokens in an answer of {self.status}: {self.body!r}") from None
        return Tokens(access.value, refresh.value)


class Client:
    """Calls a server on this machine, without checking its certificate."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE

    def form(self, path: str, form: dict[str, str], headers: dict[str, str]) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", path, kind | headers, urlencode(form).encode())

    def request(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Answer:
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=30, context=self.tls
        )
        try:
            connection.putrequest(method, path)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


def basic(id: str, secret: str) -> dict[str, str]:
    """HTTP Basic, both parts form-encoded (RFC 6749 §2.3.1)."""
    pair = f"{quote(id, safe='')}:{quote(secret, safe='')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
