"""Weights onto this machine before a command's own work begins, with a bar while they come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cspine_zoo.cli.console import Console

if TYPE_CHECKING:
    from cspine_zoo.zoo.watch import Arrived, Watch


def watch(console: Console) -> Watch:
    """A watch that shows on stderr how far each file is."""
    from cspine_zoo.zoo.watch import Watch

    def show(arrived: Arrived) -> None:
        megabytes = f"{arrived.size / 1e6:.1f} MB from {arrived.source}"
        console.progress(f"{arrived.name}: {megabytes}", arrived.received / arrived.size)

    return Watch(show)


def with_segmenters(classifiers: Iterable[str], segmenter: str | None = None) -> list[str]:
    """Classifiers and the segmenters that run before them: ``segmenter``, or those of their rows.

    Raises:
        UsageError: there is no such model.
        WeightsError: a file is not a checkpoint of this package.
    """
    from cspine_zoo.zoo.locate import find_entry

    listed = list(classifiers)
    named = [find_entry(name).segmenter for name in listed] if segmenter is None else [segmenter]
    return [*listed, *filter(None, named)]


def fetch_models(models: Iterable[str], console: Console) -> None:
    """Fetch what a command needs and this machine lacks, so that its work does not stop for it.

    Nothing is asked for where a file of the right name and size is here: its content is checked
    when it is loaded. Torch is not needed.

    Args:
        models: names, or paths, which are here.
        console: shows the bar.

    Raises:
        UsageError: there is no such model.
        WeightsError: a row has no weights; says how to get some.
        DownloadError: no source delivered the weights; lists what each one did.
    """
    from cspine_zoo.zoo.cache import Shelf
    from cspine_zoo.zoo.catalog import availability
    from cspine_zoo.zoo.fetch import fetch_weights
    from cspine_zoo.zoo.locate import find_entry, is_path

    shelf = Shelf.open()
    for name in dict.fromkeys(models):
        if is_path(name):
            continue
        entry = find_entry(name)
        if availability(entry, shelf) not in ("bundled", "cached"):
            fetch_weights(entry, shelf, watch(console))
            console.end_progress()
