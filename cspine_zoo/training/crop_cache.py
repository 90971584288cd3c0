"""Shards of crops, made once, so that an epoch neither renders nor reads a CT."""

from __future__ import annotations

import logging
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final, Protocol

import torch
from filelock import FileLock, Timeout

from cspine_zoo.training.records import Vertebrae, VertebraRecord, shard_path, write_shard

LOG: Final = logging.getLogger(__name__)


class RecordSource(Protocol):
    """Where records come from, shard by shard; it can be sent to another process."""

    @property
    def shards(self) -> int:
        """How many there are."""

    def records(self, number: int) -> list[VertebraRecord]:
        """Of one shard; same number, same records."""


def make_shards(cache: Path, source: RecordSource, workers: int = 1) -> Vertebrae:
    """Make the shards that are not there yet, and open them all.

    Processes that fill one cache, such as those of torchrun, share the work: each takes the
    shards that no other has in hand, then waits for those that others have.

    Args:
        cache: directory of the shards.
        source: of the records.
        workers: processes of this call.

    Raises:
        UsageError: no vertebra came out.
    """
    cache.mkdir(parents=True, exist_ok=True)
    for wait in (False, True):
        missing = [n for n in range(source.shards) if not shard_path(cache, n).exists()]
        job = partial(_make_shard, cache, source, wait)
        if workers <= 1:
            for number in missing:
                job(number)
                LOG.info("shard %d of %d", number + 1, source.shards)
            continue
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for number in pool.map(job, missing):
                LOG.info("shard %d of %d", number + 1, source.shards)
    return Vertebrae(cache)


def _make_shard(cache: Path, source: RecordSource, wait: bool, number: int) -> int:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    path = shard_path(cache, number)
    try:
        with FileLock(cache / f".{path.name}.lock", timeout=-1 if wait else 0):
            if not path.exists():
                write_shard(path, source.records(number))
    except Timeout:
        LOG.debug("shard %d is in other hands", number)
    finally:
        torch.set_num_threads(threads)
    return number
