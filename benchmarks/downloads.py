"""How long each trouble of a server takes to be named, or got over.

``python -m benchmarks.downloads [hub] [Drive] [address]`` prints seconds from the call to the
answer, those of them after the courier had started, and the outcome, with the default patience.
The servers are those of the tests, on this machine; the libraries are unmodified.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trustme

from cspine_zoo.errors import DownloadError
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.files import DriveSource, HuggingFaceSource, Source, UrlSource
from cspine_zoo.zoo.manifest import read_manifest
from tests.zoo.conftest import COMMIT
from tests.zoo.fetcher import errand
from tests.zoo.servers import Drive, Hub, proxy, serve
from tests.zoo.test_troubles import AT_URL, IMPOSTORS, ON_DRIVE, ON_HUB

SIZE = 900_000


@dataclass(frozen=True)
class Case:
    """A file that a server has, or should have, in trouble."""

    name: str
    content: bytes
    source: Source


def cases(hub: Hub, drive: Drive) -> Iterator[Case]:
    """All troubles of the tests."""
    for name, (trouble, _) in ON_HUB.items():
        place = name.replace(" ", "-")
        content = hub.files[f"o/n/resolve/{COMMIT}/{place}"] = os.urandom(SIZE)
        if trouble is not None:
            hub.trouble[f"o/n/resolve/{COMMIT}/{place}"] = trouble
        yield Case(f"hub, {name}", content, HuggingFaceSource("huggingface", "o/n", COMMIT, place))
    for name, (trouble, _) in ON_DRIVE.items():
        place = f"1AbCdEfGh-{name.replace(' ', '-')}"
        content = drive.files[place] = os.urandom(SIZE)
        if trouble is not None:
            drive.trouble[place] = trouble
        yield Case(f"Drive, {name}", content, DriveSource("gdrive", place))
    drive.quota.add("1QuOtA0000")
    yield Case("Drive, quota", os.urandom(8), DriveSource("gdrive", "1QuOtA0000"))
    yield Case("Drive, private", os.urandom(8), DriveSource("gdrive", "1PrIvAtE00"))
    for name, (trouble, _) in AT_URL.items():
        place = name.replace(" ", "-")
        content = hub.files[place] = os.urandom(SIZE)
        if trouble is not None:
            hub.trouble[place] = trouble
        yield Case(f"address, {name}", content, UrlSource("url", f"{hub.url}/{place}"))
    for name, (content, _) in IMPOSTORS.items():
        hub.files[name] = content
        yield Case(f"address, {name}", os.urandom(8), UrlSource("url", f"{hub.url}/{name}"))
    yield Case("address, nobody there", os.urandom(8), UrlSource("url", "http://127.0.0.1:9/a"))


class Starts(logging.Handler):
    """How long the last courier took to start."""

    seconds = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Take the figure out of the log."""
        if isinstance(record.args, tuple) and isinstance(record.args[0], float):
            self.seconds = record.args[0]


def main() -> None:
    """Print a line for each trouble."""
    starts = Starts()
    log = logging.getLogger("cspine_zoo.zoo.transfer")
    log.setLevel(logging.DEBUG)
    log.addHandler(starts)
    authority = trustme.CA()
    with (
        tempfile.TemporaryDirectory() as directory,
        serve(Hub()) as hub,
        proxy(Drive(), authority) as drive,
    ):
        bundle = Path(directory) / "authority.pem"
        authority.cert_pem.write_to_path(str(bundle))
        authorities = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        os.environ |= dict.fromkeys(authorities, str(bundle))
        os.environ |= {"HF_ENDPOINT": hub.url, "HF_HOME": directory, "HTTPS_PROXY": drive.url}
        drive.confirm = True
        shelf = Shelf(Path(directory) / "cache", Path(directory) / "bundled", offline=False)
        for case in cases(hub, drive):
            if not case.name.startswith(tuple(sys.argv[1:]) or ""):
                continue
            task = errand(read_manifest().rows[0], case.content, (case.source,), shelf)
            start = time.monotonic()
            try:
                task.run()
                outcome = "arrived"
            except DownloadError as error:
                outcome = error.attempts[-1].split(": ", 1)[1]
            total = time.monotonic() - start
            waited = total - starts.seconds
            print(f"{case.name:26} {total:5.1f} s {waited:5.1f} s  {outcome[:110]}", flush=True)


if __name__ == "__main__":
    main()
