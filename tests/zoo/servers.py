"""Stand-ins for the outside world that speak the real protocols on this machine's loopback."""

from __future__ import annotations

import hashlib
import http.server
import re
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

import trustme

QUOTA_PAGE = (
    b"<html><title>Google Drive - Quota exceeded</title>"
    b'<p class="uc-error-subcaption">Too many users have viewed or downloaded this file '
    b"recently. Please try accessing the file again later.</p></html>"
)
PRIVATE_PAGE = b"<html><title>Google Drive: Sign-in</title>Sign in to continue</html>"
CONFIRM_PAGE = (
    '<html><body><form id="download-form" method="get" '
    'action="https://drive.usercontent.google.com/download">'
    '<input type="hidden" name="id" value="{id}"><input type="hidden" name="confirm" value="t">'
    "</form></body></html>"
)
HTML = {"Content-Type": "text/html; charset=utf-8"}


@dataclass(frozen=True)
class Request:
    """What a client asks."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def place(self) -> str:
        return urlsplit(self.path).path.strip("/")

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}


@dataclass
class Answer:
    """What a server says.

    Attributes:
        stop: bytes of the body after which it says no more: it hangs up, or
        hang: keeps the line open in silence.
        stopped: set at that moment.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    stop: int | None = None
    hang: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)


@dataclass
class Trouble:
    """What goes wrong with one file.

    Attributes:
        status: it is answered with this and ``headers`` instead.
        stop: bytes of each answer after which the connection is cut; or
        hang: the server falls silent.
        times: how often; None for always.
        no_range: the whole file is sent whatever part is asked for.
        struck: set when the last byte before the trouble is on its way.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    stop: int | None = None
    hang: bool = False
    times: int | None = None
    no_range: bool = False
    struck: threading.Event = field(default_factory=threading.Event)

    def strikes(self) -> bool:
        if self.times == 0:
            return False
        self.times = None if self.times is None else self.times - 1
        return True


def file_answer(
    content: bytes, request: Request, headers: dict[str, str], trouble: Trouble | None
) -> Answer:
    """A file or the part that is asked for, as far as its trouble lets it through."""
    headers = {
        "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
        "Accept-Ranges": "bytes",
    } | headers
    part = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    status, start = 200, 0
    if part is not None and not (trouble is not None and trouble.no_range):
        status, start = 206, int(part[1])
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    answer = Answer(status, headers, content[start:])
    if trouble is not None and request.method == "GET" and trouble.strikes():
        answer.stop, answer.hang, answer.stopped = trouble.stop, trouble.hang, trouble.struck
    return answer


class Site(Protocol):
    """What a server shows; ``log`` has a line for each request that came."""

    log: list[str]
    url: str
    closing: threading.Event

    def answer(self, request: Request) -> Answer: ...


class Handler(http.server.BaseHTTPRequestHandler):
    """Says what its server's site answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def do_GET(self) -> None:
        site: Site = self.server.site
        site.log.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        answer = site.answer(Request(self.command, self.path, self.headers, body))
        self.send_response(answer.status)
        length = {"Content-Length": str(len(answer.body))}
        for name, value in (length | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send(answer, site)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _send(self, answer: Answer, site: Site) -> None:
        try:
            self.wfile.write(answer.body[: answer.stop])
        except OSError:
            self.close_connection = True
            return
        if answer.stop is not None or answer.hang:
            answer.stopped.set()
            if answer.hang:
                site.closing.wait()
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


S = TypeVar("S", bound=Site)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    site: Any

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed in the midst of a word: nothing to tell."""


@dataclass
class Hub:
    """A Hugging Face hub: files by ``owner/name/resolve/commit/filename``."""

    files: dict[str, bytes] = field(default_factory=dict)
    trouble: dict[str, Trouble] = field(default_factory=dict)
    elsewhere: bool = False
    log: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: Request) -> Answer:
        self.tokens.append(f"{request.place} {request.headers.get('Authorization', '')}")
        key = request.place.removeprefix("cdn/")
        trouble = self.trouble.get(key)
        if trouble is not None and trouble.status and trouble.strikes():
            return Answer(trouble.status, trouble.headers)
        if key not in self.files:
            return Answer(404, {"X-Error-Code": "EntryNotFound"})
        content = self.files[key]
        headers = {}
        if "/resolve/" in key:
            headers["X-Repo-Commit"] = key.split("/resolve/")[1].split("/")[0]
        if self.elsewhere and not request.place.startswith("cdn/"):
            headers |= {
                "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Linked-Size": str(len(content)),
                # Another origin by name: no token may follow there.
                "Location": self.url.replace("127.0.0.1", "localhost") + f"/cdn/{key}?Signature=s",
            }
            return Answer(302, headers)
        return file_answer(content, request, headers, trouble)


@dataclass
class Drive:
    """Google Drive behind a proxy: files by their identifier, folders by theirs."""

    files: dict[str, bytes] = field(default_factory=dict)
    folders: dict[str, dict[str, str]] = field(default_factory=dict)
    trouble: dict[str, Trouble] = field(default_factory=dict)
    quota: set[str] = field(default_factory=set)
    confirm: bool = False
    log: list[str] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: Request) -> Answer:
        file_id = request.query.get("id", "")
        trouble = self.trouble.get(file_id)
        if trouble is not None and trouble.status and trouble.strikes():
            return Answer(trouble.status, HTML)
        if request.place == "embeddedfolderview":
            return self._folder(file_id)
        if file_id in self.quota:
            return Answer(200, HTML, QUOTA_PAGE)
        if file_id not in self.files:
            return Answer(200, HTML, PRIVATE_PAGE)
        if self.confirm and request.place == "uc":
            return Answer(200, HTML, CONFIRM_PAGE.replace("{id}", file_id).encode())
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": 'attachment; filename="weights.safetensors"',
        }
        return file_answer(self.files[file_id], request, headers, trouble)

    def _folder(self, folder_id: str) -> Answer:
        if folder_id not in self.folders:
            return Answer(404, HTML)
        links = "".join(
            f'<a href="https://drive.google.com/{kind}/{place}">{name}</a>'
            for name, (kind, place) in (
                (
                    name,
                    ("drive/folders", item) if item in self.folders else ("file/d", f"{item}/view"),
                )
                for name, item in self.folders[folder_id].items()
            )
        )
        inside = (
            name for items in self.folders.values() for name in items if items[name] == folder_id
        )
        title = next(inside, "weights")
        return Answer(200, HTML, f"<html><title>{title}</title>{links}</html>".encode())


@contextmanager
def serve(site: S) -> Iterator[S]:
    with Server(("127.0.0.1", 0), Handler) as server, _running(server, site):
        yield site


@contextmanager
def proxy(site: Drive, authority: trustme.CA) -> Iterator[Drive]:
    """A proxy that answers CONNECT to any host by itself, under a throw-away authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("drive.google.com", "drive.usercontent.google.com").configure_cert(context)

    class Tunnel(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.wfile.flush()
            with context.wrap_socket(self.connection, server_side=True) as secured:
                Handler(secured, self.client_address, self.server)  # type: ignore[arg-type]

    with Server(("127.0.0.1", 0), Tunnel) as server, _running(server, site):
        yield site


@contextmanager
def _running(server: Server, site: Site) -> Iterator[None]:
    server.site = site
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        site.closing.set()
        server.shutdown()
        thread.join()
