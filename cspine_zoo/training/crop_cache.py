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

from cspine_zoo.training.records import (
    Vertebrae,
    VertebraRecord,
    is_empty,
    no_vertebrae,
    shard_path,
    write_shard,
)

LOG: Final = logging.getLogger(__name__)


class RecordSource(Protocol):
    """Where records come from, shard by shard; it can be sent to another process."""

    @property
    def shards(self) -> int:
        """How many there are."""

    @property
    def studies(self) -> int:
        """How many there are, at most."""

    def records(self, number: int) -> list[VertebraRecord]:
        """Of one shard; same number, same records."""


class LazyShards:
    """Shards of a cache that are made when they are first asked for.

    Args:
        cache: directory of the shards.
        source: of the records.
    """

    def __init__(self, cache: Path, source: RecordSource) -> None:
        self.cache, self.source = cache, source
        self._open: dict[int, Vertebrae | None] = {}

    def turn(self, number: int, seed: int) -> Vertebrae:
        """The shard of one turn: each has its turn in random order, then all again.

        A shard without any vertebra gives its turn to the next.

        Args:
            number: of the turn, from 0.
            seed: of the order.

        Raises:
            UsageError: no shard has a vertebra.
        """
        count = self.source.shards
        epoch, place = divmod(number, count)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(count, generator=generator).tolist()
        for shard in (*order[place:], *order[:place]):
            if (vertebrae := self._vertebrae(shard)) is not None:
                return vertebrae
        raise no_vertebrae()

    def _vertebrae(self, number: int) -> Vertebrae | None:
        if number not in self._open:
            self.cache.mkdir(parents=True, exist_ok=True)
            _make_shard(self.cache, self.source, True, number)
            path = shard_path(self.cache, number)
            self._open[number] = None if is_empty(path) else Vertebrae(self.cache, [path])
        return self._open[number]


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
