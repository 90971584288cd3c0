"""Stand-ins for the outside world that speak the real protocols on this machine's loopback."""

from __future__ import annotations

import hashlib
import http.server
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme

QUOTA_PAGE = (
    b"<html><title>Google Drive - Quota exceeded</title>"
    b'<p class="uc-error-subcaption">Too many users have viewed or downloaded this file '
    b"recently. Please try accessing the file again later.</p></html>"
)
PRIVATE_PAGE = b"<html><title>Google Drive: Sign-in</title>Sign in to continue</html>"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with what its server's ``answer`` returns: status, headers, body."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def do_GET(self) -> None:
        self.server.site.log.append(f"{self.command} {self.path}")
        status, headers, body = self.server.site.answer(self.path)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    site: Any


@dataclass
class Hub:
    """A Hugging Face hub: files by ``owner/name/resolve/commit/filename``."""

    files: dict[str, bytes] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        key = urlsplit(path).path.strip("/")
        if key in self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        if key not in self.files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        content = self.files[key]
        commit = key.split("/resolve/")[1].split("/")[0]
        etag = hashlib.sha256(content).hexdigest()
        return 200, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}, content


@dataclass
class Drive:
    """Google Drive behind a proxy: files by their identifier."""

    files: dict[str, bytes] = field(default_factory=dict)
    quota: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        file_id = parse_qs(urlsplit(path).query).get("id", [""])[0]
        html = {"Content-Type": "text/html; charset=utf-8"}
        if file_id in self.quota:
            return 200, html, QUOTA_PAGE
        if file_id not in self.files:
            return 200, html, PRIVATE_PAGE
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": 'attachment; filename="weights.safetensors"',
        }
        return 200, headers, self.files[file_id]


@contextmanager
def serve(site: Hub) -> Iterator[Hub]:
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
                Handler(secured, self.client_address, self.server)

    with Server(("127.0.0.1", 0), Tunnel) as server, _running(server, site):
        yield site


@contextmanager
def _running(server: Server, site: Any) -> Iterator[None]:
    server.site = site
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
