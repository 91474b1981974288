"""The web server of `dlproj watch`: the page, what it asks for, and the files of runs, all read-only."""

import errno
import hashlib
import ipaddress
import json
import os
import re
import secrets
import socket
import stat
import sys
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote_to_bytes

from dlproj.config.checks import UserError
from dlproj.watch.board import Board

_PACKAGE = Path(__file__).parent
_TEXT = "text/plain; charset=utf-8"
_TYPES = {".csv": "text/csv; charset=utf-8", ".html": "text/html; charset=utf-8", ".json": "application/json"}
_TYPES |= dict.fromkeys((".log", ".md", ".txt", ".yaml"), _TEXT) | {".png": "image/png", ".svg": "image/svg+xml"}
_NO_FRAME = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# Reports have an origin of their own, so that a script in one that was handed in cannot read what is beside it.
_FILE_POLICY = (
    f"sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    f"script-src 'unsafe-inline'; {_NO_FRAME}"
)
_HEADERS = {
    "Cache-Control": "no-cache",  # a browser asks whether what it has is still right
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Answer(NamedTuple):
    """A response: its body, and the headers that are its own."""

    status: HTTPStatus
    body: bytes
    kind: str = _TEXT
    policy: str = f"default-src 'none'; {_NO_FRAME}"
    headers: tuple[tuple[str, str], ...] = ()


def _refusal(status: HTTPStatus, words: str) -> Answer:
    return Answer(status, f"{words}\n".encode())


_NOT_FOUND = _refusal(HTTPStatus.NOT_FOUND, "there is no such page, run or file here")


class Server(ThreadingMixIn, TCPServer):
    """Serves a folder of runs. Where other machines can reach it, it asks for a token."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, root: Path, host: str, port: int) -> None:
        """Raise UserError if the address cannot be used. port: 0 for a free one."""
        self.board = Board(root)
        try:
            self.address_family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            super().__init__((str(address[0]), int(address[1])), Handler)
        except (OSError, UnicodeError) as error:
            raise UserError(_why_not(host, port, error)) from error
        here = str(self.server_address[0])
        self.port = int(self.server_address[1])
        self.token = "" if ipaddress.ip_address(here).is_loopback else secrets.token_urlsafe(24)
        everywhere = ipaddress.ip_address(here).is_unspecified
        name = socket.gethostname() if everywhere else f"[{host}]" if ":" in host else host
        self.hosts = {"localhost", "127.0.0.1", "[::1]", name.lower()}
        self.url = f"http://{name}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has left."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _why_not(host: str, port: int, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: set another with --port, or --port 0 for a free one"
    words = getattr(error, "strerror", None) or str(error)
    return f"cannot serve at {host}, port {port} ({words}): set --host to an address of this machine, or another --port"


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; the base refuses other methods, and does not read what they send."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "dlproj", ""
    timeout = 60  # seconds after which an idle connection is closed

    def do_GET(self) -> None:
        """Answer, without the body to HEAD, and without it if the browser has the same already."""
        answer = self._answer()
        etag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
        if answer.status == HTTPStatus.OK and etag in self.headers.get("If-None-Match", ""):
            answer = answer._replace(status=HTTPStatus.NOT_MODIFIED, body=b"")
        self.send_response(answer.status)
        headers = {"Content-Type": answer.kind, "Content-Security-Policy": answer.policy, "ETag": etag}
        for name, value in (_HEADERS | headers | dict(answer.headers)).items():
            self.send_header(name, value)
        if answer.status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args: Any) -> None:
        """Print no line for each request."""

    def _answer(self) -> Answer:
        path, _, query = self.path.partition("?")
        if not self.server.token:
            return self._page(path) if self._is_for_us() else _refusal(HTTPStatus.FORBIDDEN, "unknown Host")
        cookie = f"dlproj-{self.server.port}={self.server.token}"  # browsers do not tell ports apart
        if any(_same(given, self.server.token) for given in parse_qs(query).get("token", ())):
            headers = (("Location", "/"), ("Set-Cookie", f"{cookie}; HttpOnly; SameSite=Lax; Path=/"))
            return Answer(HTTPStatus.SEE_OTHER, b"", headers=headers)
        if any(_same(given.strip(), cookie) for given in self.headers.get("Cookie", "").split(";")):
            return self._page(path)
        return _refusal(HTTPStatus.FORBIDDEN, "open the address that dlproj watch has printed, with its token")

    def _is_for_us(self) -> bool:
        """False where a page elsewhere has had its own name lead to this machine (DNS rebinding)."""
        host = re.sub(r":\d*$", "", self.headers.get("Host", ""))  # any port: ssh -L may lead here from another one
        return host.lower() in self.server.hosts

    def _page(self, path: str) -> Answer:
        board = self.server.board
        room, _, rest = path.lstrip("/").partition("/")
        match room:
            case "" if path == "/":
                return _front_page()
            case "runs.json" if not rest:
                return _json(board.overview())
            case "history":
                return _json(board.history(rest))
            case "sweep":
                return _json(board.sweep_table(rest))
            case "files":
                return _file(board.root, rest)
        return _NOT_FOUND


def _same(given: str, expected: str) -> bool:
    return compare_digest(given.encode(errors="replace"), expected.encode())


def _json(values: dict[str, Any] | None) -> Answer:
    if values is None:
        return _NOT_FOUND
    return Answer(HTTPStatus.OK, json.dumps(values, allow_nan=False).encode(), "application/json")


@cache
def _front_page() -> Answer:
    look = (_PACKAGE.parent / "reports/report.css").read_text(encoding="utf-8")
    page = (_PACKAGE / "watch.html").read_text(encoding="utf-8").replace("/* report.css */", look)
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; {_NO_FRAME}"
    )
    return Answer(HTTPStatus.OK, page.encode(), _TYPES[".html"], policy)


def _is_shown(parts: Sequence[str]) -> bool:
    """True for a file of a kind that reports are made of, in folders that are not hidden."""
    hidden = any(not part or part.startswith(".") or "\0" in part for part in parts)
    return not hidden and Path(parts[-1]).suffix.lower() in _TYPES


def _file(root: Path, quoted: str) -> Answer:
    """The file at a path as it stands in a URL; only what reports are made of, and nothing outside of root."""
    parts = os.fsdecode(unquote_to_bytes(quoted.encode("latin-1", "replace"))).split("/")
    if not _is_shown(parts):
        return _NOT_FOUND
    try:
        path = root.joinpath(*parts).resolve(strict=True)
        if not path.is_relative_to(root) or not _is_shown(path.relative_to(root).parts):  # where a link leads
            return _NOT_FOUND
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return _NOT_FOUND
            return Answer(HTTPStatus.OK, file.read(), _TYPES[Path(parts[-1]).suffix.lower()], _FILE_POLICY)
    except (OSError, ValueError, RuntimeError):  # missing, deleted meanwhile, or a circle of links
        return _NOT_FOUND
