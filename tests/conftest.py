"""What holds for every test: no network beyond this machine, and a processor for each worker."""

import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the processors: threads of one would wait, spinning, for those of the other.
    # Torch reads it when it is loaded, and processes that tests start inherit it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _is_local(host: Any) -> bool:
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(host: Any) -> None:
    raise OSError(f"tests may not reach {host!r}: only this machine's loopback address")


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Refuse name look-ups and connections to anywhere but loopback."""
    patch = pytest.MonkeyPatch()
    look_up, connect, connect_ex = (
        socket.getaddrinfo,
        socket.socket.connect,
        socket.socket.connect_ex,
    )

    def local_look_up(host: Any, *args: Any, **options: Any) -> Any:
        if not _is_local(host):
            _refuse(host)
        return look_up(host, *args, **options)

    def check(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
            _refuse(address[0])

    def local_connect(self: socket.socket, address: Any) -> None:
        check(self, address)
        connect(self, address)

    def local_connect_ex(self: socket.socket, address: Any) -> int:
        check(self, address)
        return connect_ex(self, address)

    patch.setattr(socket, "getaddrinfo", local_look_up)
    patch.setattr(socket.socket, "connect", local_connect)
    patch.setattr(socket.socket, "connect_ex", local_connect_ex)
    yield
    patch.undo()


ONE_THREAD = {"models", "training", "synthetic"}
"""Packages whose networks and grids are too small for more."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.path.parent.name not in ONE_THREAD:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
