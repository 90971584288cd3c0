"""Where verified weight files are kept, and which copies are already here."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cspine_zoo.resources import weights_dir
from cspine_zoo.zoo.files import BundledSource, WeightFile

CACHE_VARIABLE: Final = "CSPINE_ZOO_CACHE"
SHARED_VARIABLE: Final = "CSPINE_ZOO_SHARED_CACHE"
OFFLINE_VARIABLES: Final = ("CSPINE_ZOO_OFFLINE", "HF_HUB_OFFLINE")


@dataclass(frozen=True)
class Shelf:
    """The places on this machine where weights may lie, and whether the network may be asked.

    Attributes:
        cache: directory of downloaded files; made when the first one arrives.
        bundled: directory of the files that came with the package.
        offline: no request is made.
        shared: directories like ``cache`` that are only read, such as a cluster's.
    """

    cache: Path
    bundled: Path
    offline: bool
    shared: tuple[Path, ...] = ()

    @classmethod
    def open(
        cls, cache_dir: str | os.PathLike[str] | None = None, offline: bool | None = None
    ) -> Shelf:
        """The package's own places.

        Args:
            cache_dir: without it, ``CSPINE_ZOO_CACHE``, else the user's cache directory.
            offline: without it, ``CSPINE_ZOO_OFFLINE`` or ``HF_HUB_OFFLINE``.
        """
        cache = default_cache() if cache_dir is None else Path(cache_dir).expanduser()
        offline = offline_asked() if offline is None else offline
        return cls(cache, weights_dir(), offline, shared_caches())

    def address(self, name: str, file: WeightFile) -> Path:
        """Where a downloaded file is kept: by model and content, so that no two can be mixed."""
        return self.cache / name / file.sha256 / file.filename

    def bundled_copies(self, file: WeightFile) -> list[Path]:
        """Where the package should carry the file."""
        return [
            self.bundled / source.filename
            for source in file.sources
            if isinstance(source, BundledSource)
        ]

    def cached_copies(self, name: str, file: WeightFile) -> list[Path]:
        """Where the cache may hold it: at its address, or put there by hand or ``download``."""
        place = self.address(name, file).relative_to(self.cache)
        return [
            cache / path for cache in (self.cache, *self.shared) for path in (place, file.filename)
        ]


def is_here(path: Path, file: WeightFile) -> bool:
    """Whether a file of the right size is there; its content is checked when it is loaded."""
    try:
        return path.stat().st_size == file.size_bytes
    except OSError:
        return False


def default_cache() -> Path:
    """``CSPINE_ZOO_CACHE``, else ``cspine_zoo`` in the user's cache directory.

    A user without a home, as containers run under any number, has one among temporary files.

    References:
        XDG Base Directory Specification 0.8, ``XDG_CACHE_HOME`` (a relative path is ignored).
    """
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own).expanduser()
    user = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if user.is_absolute():
        return user / "cspine_zoo"
    try:
        return Path.home() / ".cache" / "cspine_zoo"
    except RuntimeError:
        return Path(tempfile.gettempdir(), f"cspine_zoo-{os.getuid()}")


def shared_caches() -> tuple[Path, ...]:
    """The directories of ``CSPINE_ZOO_SHARED_CACHE``, separated as in ``PATH``."""
    listed = os.environ.get(SHARED_VARIABLE, "").split(os.pathsep)
    return tuple(Path(directory).expanduser() for directory in listed if directory)


def offline_asked() -> bool:
    """Whether the environment asks for no requests."""
    values = (os.environ.get(name, "").strip().lower() for name in OFFLINE_VARIABLES)
    return any(value in {"1", "true", "yes", "on"} for value in values)
