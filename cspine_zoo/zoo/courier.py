"""The process that talks to servers, ``python -m cspine_zoo.zoo.courier``.

huggingface_hub retries in silence for longer than anybody waits and has no deadline; a process
of its own can be ended at any moment, whatever its libraries are doing. It takes one job as JSON
from stdin, tells on stdout what happens, and ends; when its parent dies, it dies too.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO, Final

from cspine_zoo.errors import CSpineZooError
from cspine_zoo.fields import build
from cspine_zoo.zoo.causes import cause_of, scrubbed
from cspine_zoo.zoo.sources import Delivery, Listing, Report, deliver, list_folder
from cspine_zoo.zoo.upload import Upload, upload

TASKS: Final[dict[str, tuple[type[Any], Callable[[Any, Report], Any]]]] = {
    "deliver": (Delivery, deliver),
    "list": (Listing, list_folder),
    "upload": (Upload, upload),
}


class _Notes(logging.Handler):
    """What the hub's library warns of, such as the errors that it retries."""

    def __init__(self, tell: Callable[..., None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(note=scrubbed(record.getMessage().split("\n")[0]))


def main() -> None:
    """Carry out one job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    answers = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # libraries write there what they please, tokens included
        os.dup2(silence, stream)
    warnings.simplefilter("ignore")
    speaking = threading.Lock()

    def tell(**word: object) -> None:
        with speaking:
            answers.write(json.dumps(word).encode() + b"\n")
            answers.flush()

    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_die_with_parent, args=(sys.stdin.buffer,), daemon=True).start()
    logging.getLogger("huggingface_hub").addHandler(_Notes(tell))
    try:
        tell(done=_serve(request, lambda received: tell(received=received)))
    except CSpineZooError as error:
        tell(failed=error.code, reason=error.reason)
    except Exception as error:  # noqa: BLE001 - the parent tells it to the caller
        code, reason = cause_of(error)
        tell(failed=code, reason=reason)


def _serve(request: dict[str, Any], report: Report) -> Any:
    shape, work = TASKS[request["task"]]
    return work(build(shape, request["job"], "the job"), report)


def _die_with_parent(stdin: BinaryIO) -> None:
    stdin.read()  # the parent says nothing more; the pipe closes when it ends
    os._exit(1)


if __name__ == "__main__":
    main()
