"""The weights manifest: one typed row a checkpoint, validated without torch."""

from __future__ import annotations

import difflib
import json
import math
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal, get_args

from cspine_zoo.errors import ManifestError, UsageError
from cspine_zoo.fields import build, parse_json, unbuild
from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.resources import manifest_path
from cspine_zoo.zoo.files import WeightFile

Task = Literal["vertebra-segmentation", "fracture-classification", "fracture-localization"]
TASKS: Final[tuple[str, ...]] = get_args(Task)

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True)
class Architecture:
    """A name of the registry in ``cspine_zoo.models`` and what to build it with."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Calibration:
    """How logits became probabilities: ``sigmoid(logit / temperature)``."""

    method: str
    temperature: float
    fitted_on: str

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be positive, not {self.temperature}")


@dataclass(frozen=True)
class OperatingPoint:
    """Calibrated probabilities from which on a patient or a vertebra counts as fractured."""

    patient: float
    vertebra: float
    chosen_on: str

    def __post_init__(self) -> None:
        if not (0 <= self.patient <= 1 and 0 <= self.vertebra <= 1):
            raise ValueError(f"thresholds must lie in 0 to 1, not {self.patient}, {self.vertebra}")


@dataclass(frozen=True)
class Licence:
    """Terms of each part, as SPDX identifiers or in words."""

    code: str
    weights: str
    data: str


@dataclass(frozen=True)
class Metric:
    """A measured figure with its interval and the command that made it."""

    dataset: str
    name: str
    value: float
    ci95: tuple[float, float] | None
    command: str

    def __post_init__(self) -> None:
        if not self.command.strip():
            raise ValueError(f"{self.name} has no command; a metric needs the one that made it")


@dataclass(frozen=True)
class Golden:
    """What the checkpoint must answer to a seeded input (see ``zoo.golden``)."""

    input_seed: int
    output: tuple[float, ...]
    tolerance: float


@dataclass(frozen=True)
class ManifestEntry:
    """One row: a checkpoint with everything that is needed to use and to judge it.

    Raises:
        ValueError: a value contradicts another or is not possible.
    """

    name: str
    task: Task
    architecture: Architecture
    parameters: int
    preprocess: Preprocess
    labels: tuple[str, ...]
    segmenter: str | None
    calibration: Calibration | None
    operating_point: OperatingPoint | None
    files: tuple[WeightFile, ...]
    licence: Licence
    training_data: str
    metrics: tuple[Metric, ...]
    golden: Golden | None
    intended_use: str
    limitations: tuple[str, ...]
    citation: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name must be lower-case letters, digits, '-' and '.': {self.name!r}")
        if self.parameters <= 0:
            raise ValueError(f"parameters must be positive, not {self.parameters}")
        if not self.limitations:
            raise ValueError("limitations must name at least one")
        used = (self.segmenter, self.calibration, self.operating_point)
        if self.task == "fracture-classification" and None in used:
            raise ValueError("a classifier needs segmenter, calibration and operating_point")
        if self.task == "vertebra-segmentation" and used != (None, None, None):
            raise ValueError("a segmenter has no segmenter, calibration or operating_point")

    @classmethod
    def from_dict(cls, content: Any, where: str = "") -> ManifestEntry:
        """From a row's JSON object.

        Raises:
            ManifestError: the object is not a row; the reason names the row and the key.
        """
        named = content.get("name") if isinstance(content, dict) else None
        return build(cls, content, f"row {named!r}" if named else where or "the row")

    def to_dict(self) -> dict[str, Any]:
        """The row's JSON object, which ``from_dict`` reads back."""
        return unbuild(self)

    def with_files(self, *files: WeightFile) -> ManifestEntry:
        """The same row with other files."""
        return replace(self, files=files)


@dataclass(frozen=True)
class Manifest:
    """All rows, in the order of the file.

    Raises:
        ManifestError: two rows share a name or a file name, or one needs a row that is missing.
    """

    rows: tuple[ManifestEntry, ...]

    def __post_init__(self) -> None:
        _check_unique("name", (row.name for row in self.rows))
        _check_unique("file name", (file.filename for row in self.rows for file in row.files))
        segmenters = {row.name for row in self.rows if row.task == "vertebra-segmentation"}
        for row in self.rows:
            if row.segmenter is not None and row.segmenter not in segmenters:
                raise ManifestError(
                    "wrong_value",
                    f"row {row.name!r}.segmenter: there is no segmenter {row.segmenter!r}.",
                )

    def __iter__(self) -> Iterator[ManifestEntry]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> ManifestEntry:
        """The row of ``name``.

        Raises:
            UsageError: there is none; close matches are named.
        """
        for row in self.rows:
            if row.name == name:
                return row
        known = [row.name for row in self.rows]
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"Known: {', '.join(known) or 'none'}."
        if close:
            hint = f"Did you mean {' or '.join(close)}?"
        raise UsageError("unknown_model", f"There is no model {name!r}.", file=name, hint=hint)

    def with_row(self, row: ManifestEntry) -> Manifest:
        """These rows with one put in the place of its namesake, or last."""
        rows = {known.name: known for known in self.rows}
        return Manifest(tuple((rows | {row.name: row}).values()))

    def match(self, pattern: str = "*", task: str | None = None) -> tuple[ManifestEntry, ...]:
        """Rows whose name fits a shell pattern, of one task or of all.

        Raises:
            UsageError: there is no such task.
        """
        if task is not None and task not in TASKS:
            hint = f"Known: {', '.join(TASKS)}."
            raise UsageError("unknown_task", f"There is no task {task!r}.", hint=hint)
        return tuple(
            row for row in self.rows if fnmatchcase(row.name, pattern) and task in (None, row.task)
        )


def read_manifest(path: Path | None = None) -> Manifest:
    """Read and validate a manifest.

    Args:
        path: the JSON file; without it, the package's own.

    Raises:
        ManifestError: it cannot be read, or a row is not what the schema asks for.
    """
    path = manifest_path() if path is None else path
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError("no_manifest", f"{error}.", file=str(path)) from error
    content = parse_json(text, path.name)
    if not isinstance(content, list):
        raise ManifestError("wrong_type", f"{path.name} must be a list of rows.", file=str(path))
    return Manifest(
        tuple(ManifestEntry.from_dict(row, f"row {index}") for index, row in enumerate(content))
    )


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write all rows as JSON that ``read_manifest`` reads back, whole or not at all.

    Raises:
        ManifestError: the file cannot be written.
    """
    rows = [row.to_dict() for row in manifest]
    text = json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as directory:
            draft = Path(directory) / path.name
            draft.write_text(text, encoding="utf-8")
            draft.replace(path)
    except OSError as error:
        raise ManifestError("file_unwritable", f"{error.strerror}.", file=str(path)) from error


def _check_unique(what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ManifestError("wrong_value", f"Two rows share the {what} {value!r}.")
        seen.add(value)
