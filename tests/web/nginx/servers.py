"""The servers, as context managers that start and stop them."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

# Seconds that a server may take to start.
TIMEOUT = 60


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Seen(NamedTuple):
    """A request that reached the application."""

    method: str
    path: str
    headers: Message
    body: bytes

    def user_ids(self) -> list[str]:
        """The values of all headers that an application may read as `X-User-Id`."""
        names = [name.lower().replace("_", "-") for name in self.headers.keys()]
        values = zip(names, self.headers.values())
        return [value for name, value in values if name == "x-user-id"]


class InThread:
    """A server in a thread of this process."""

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()


class Application(InThread):
    """Answers 200 to all but `/broken`, and records the requests."""

    def __init__(self) -> None:
        seen: list[Seen] = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                seen.append(Seen(self.command, self.path, self.headers, body))
                self.send_response(500 if self.path == "/broken" else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_DELETE = do_OPTIONS = answer

            def log_message(self, *_) -> None:
                pass

        super().__init__(0, Handler)
        self.seen = seen
        self.last: Seen | None = None

    def take(self) -> list[Seen]:
        """The requests since the last call."""
        taken = self.seen[:]
        self.seen.clear()
        self.last = taken[-1] if taken else None
        return taken


class LoginStub(InThread):
    """Gives the same answer to all requests, in place of the login server."""

    def __init__(self, port: int, status: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_) -> None:
                pass

        super().__init__(port, Handler)


class Program:
    """A server in its own process, which logs into a file."""

    def __init__(
        self, folder: Path, port: int, command: list[str], variables: dict[str, str]
    ) -> None:
        self.log = folder / f"{Path(command[0]).name}.log"
        self.port, self.command, self.variables = port, command, variables
        self.process: subprocess.Popen | None = None

    def __enter__(self):
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env=os.environ | self.variables
            )
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def wait(self) -> None:
        """Waits until it accepts connections."""
        until = time.monotonic() + TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    log = self.log.read_text(encoding="utf-8", errors="replace")
                    sys.exit(f"{self.command[0]} does not start:\n{log}")
                time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __exit__(self, *_) -> None:
        self.stop()


class Login(Program):
    """The example site, whose users log in at `url`."""

    def __init__(self, program: Path, folder: Path, port: int, url: str, secret: str) -> None:
        variables = {
            "PORT": str(port),
            "PUBLIC_URL": url,
            "SITE_DATABASE": str(folder / "site.sqlite"),
            "INTROSPECTION_SECRET": secret,
        }
        super().__init__(folder, port, [str(program)], variables)


class Nginx(Program):
    """nginx, with these locations in front of the application, and those of the site."""

    def __init__(
        self, folder: Path, port: int, login_port: int, application_port: int, locations: str
    ) -> None:
        certificate(folder)
        configuration = folder / "nginx.conf"
        configuration.write_text(
            f"""
            daemon off;
            worker_processes 1;
            pid {folder}/nginx.pid;
            error_log stderr;
            events {{}}
            http {{
                access_log off;
                client_body_temp_path {folder}/bodies;
                proxy_temp_path {folder}/answers;
                fastcgi_temp_path {folder}/fastcgi;
                scgi_temp_path {folder}/scgi;
                uwsgi_temp_path {folder}/uwsgi;
                upstream login {{ server 127.0.0.1:{login_port}; }}
                upstream application {{ server 127.0.0.1:{application_port}; }}
                server {{
                    listen 127.0.0.1:{port} ssl;
                    ssl_certificate {folder}/certificate.pem;
                    ssl_certificate_key {folder}/key.pem;
                    {locations}
                    location ~ ^/(auth/|api/|signup$) {{
                        proxy_pass http://login;
                        proxy_set_header Host $http_host;
                        proxy_set_header X-Forwarded-For $remote_addr;
                    }}
                    location /bare/ {{
                        auth_request /auth/check;
                        proxy_pass http://application;
                    }}
                }}
            }}
            """,
            encoding="utf-8",
        )
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        # `-e`: until nginx has read the configuration, it would use the system's log.
        command = [str(nginx), "-p", str(folder), "-e", "stderr", "-c", str(configuration)]
        super().__init__(folder, port, command, {})


def certificate(folder: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
