"""The worker's process, ``python worker.py DESCRIPTOR``: calls come in, results go out.

It holds the models, and of a study nothing once its call is over. It ends with its server.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from queue import SimpleQueue
from typing import Any, Final

from jobs import Cancelled, failure_of
from memory import give_back
from shared import unpack

NICENESS: Final = 2
"""Pages are served before networks are run."""


class Desk:
    """Where calls arrive, are done one after another, and answered."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._calls: SimpleQueue[tuple[bytes, list[int]]] = SimpleQueue()
        self._stop = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def serve(self) -> None:
        """Do what comes, for as long as the server lives."""
        while True:
            data, files = self._calls.get()
            self._tell(("taken", None))
            answer = self._answer(data, files)
            del data, files
            self._tell(answer)
            del answer
            _let_go()

    def _listen(self) -> None:
        while True:
            try:
                kind, count = self._connection.recv()
                if kind == "cancel":
                    self._stop.set()
                    continue
                data = self._connection.recv_bytes()
                files = [recv_handle(self._connection) for _ in range(count)]
            except (EOFError, OSError):
                os._exit(0)  # the server is gone, whatever is being worked on
            self._stop.clear()
            self._calls.put((data, files))

    def _answer(self, data: bytes, files: list[int]) -> tuple[str, Any]:
        try:
            try:
                call = unpack(data, files)
            finally:
                for file in files:
                    os.close(file)
            return "done", call.work(self._report, *call.args)
        except Cancelled:
            return "cancelled", None
        except Exception as error:  # noqa: BLE001 - told to the page; the next call is served
            return "failed", failure_of(error)

    def _report(self, stage: str, fraction: float) -> None:
        if self._stop.is_set():
            raise Cancelled
        self._tell(("progress", (stage, fraction)))

    def _tell(self, message: tuple[str, Any]) -> None:
        try:
            self._connection.send(message)
        except OSError:
            os._exit(0)


def _let_go() -> None:
    """Give back what the last study needed; models stay."""
    give_back()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def main() -> None:
    """Serve the process at the other end of the descriptor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, and that ends this
    faulthandler.enable()  # after a crash the log says where, with no value of any variable
    os.nice(NICENESS)
    desk = Desk(Connection(int(sys.argv[1])))
    import torch  # noqa: F401 - takes seconds, so before the first call and not in it

    desk.serve()


if __name__ == "__main__":
    main()
