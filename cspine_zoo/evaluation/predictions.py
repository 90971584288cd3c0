"""Run models over the studies of a layout; each study once, and never again after a stop."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cspine_zoo.ct.read import read_ct
from cspine_zoo.ct.volume import CTVolume
from cspine_zoo.errors import CSpineZooError, StudyRejected, UsageError
from cspine_zoo.evaluation.findings import FindingScore, score_findings, true_fractures
from cspine_zoo.evaluation.records import StudyRecord, read_record, record_path, write_record
from cspine_zoo.evaluation.vertebrae import VertebraScore, score_vertebrae
from cspine_zoo.inference.compare import compare
from cspine_zoo.inference.loading import ModelLike
from cspine_zoo.results import LabelMap, ModelPrediction
from cspine_zoo.rsna.layout import StudyRow
from cspine_zoo.rsna.masks import read_label_map
from cspine_zoo.zoo.locate import find_entry, is_path
from cspine_zoo.zoo.manifest import ManifestEntry
from cspine_zoo.zoo.model import ZooModel

_ARITHMETIC: Final = "masks with settled borders, heat, first stages and heads in float32"
"""How networks are run; another text makes the records of earlier ways void."""

_UNEXPECTED: Final = "unexpected_error"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runner:
    """How models are run.

    Attributes:
        out: directory of the records.
        device: as in ``compare``.
        precision: as in ``compare``.
        segmenter: in place of the one that each classifier's row names.
        localizer: as in ``compare``.
    """

    out: Path
    device: str = "auto"
    precision: str = "auto"
    segmenter: ModelLike | None = None
    localizer: ModelLike | None = None

    def identity(self) -> str:
        """Stands for everything that changes an answer beside the classifier and segmenter."""
        localizer = () if self.localizer is None else _row_and_content(self.localizer)
        return f"{self.precision}, {_ARITHMETIC} {localizer}"


@dataclass(frozen=True)
class Candidate:
    """A classifier to evaluate.

    Attributes:
        name: as it was asked for; the row's name for a loaded model.
        model: what ``compare`` is given.
        entry: its row.
        identity: hash of the row, the segmenter's row and the weights.
    """

    name: str
    model: ModelLike
    entry: ManifestEntry
    identity: str

    @classmethod
    def named(cls, model: ModelLike, segmenter: ModelLike | None = None) -> Candidate:
        """Look a classifier and its segmenter up.

        Raises:
            UsageError: there is no such model, or it is not a classifier.
            WeightsError: a file is not a checkpoint of this package.
        """
        entry, content = _row_and_content(model)
        name = entry.name if isinstance(model, ZooModel) else os.fspath(model)
        if entry.segmenter is None:
            raise UsageError(
                "wrong_task",
                f"Only classifiers are evaluated, and this model is for {entry.task}.",
                file=name,
                hint="List them with: cspine-zoo models --task fracture-classification",
            )
        shared = entry.segmenter if segmenter is None else segmenter
        parts = (entry, content, *_row_and_content(shared))
        return cls(name, model, entry, hashlib.sha256(repr(parts).encode()).hexdigest())


def _row_and_content(model: ModelLike) -> tuple[ManifestEntry, str]:
    """A model's row and, where the row cannot name it, the hash of its weights."""
    if isinstance(model, ZooModel):
        return model.entry, model.weights_sha256
    entry = find_entry(model)
    if not is_path(model):
        return entry, ""
    with Path(model).open("rb") as file:
        return entry, hashlib.file_digest(file, "sha256").hexdigest()


def predict_studies(
    rows: Sequence[StudyRow], candidates: Sequence[Candidate], runner: Runner
) -> dict[str, tuple[StudyRecord, ...]]:
    """Records of every candidate for every study; those that exist already are read back.

    A study that cannot be read or predicted gets a record that says why, and the rest goes on.

    Raises:
        CSpineZooError: something other than a study is wrong, such as missing weights; or no
            study at all could be predicted, for a reason that is not in the studies.
    """
    records: dict[str, list[StudyRecord]] = {candidate.name: [] for candidate in candidates}
    for position, row in enumerate(rows, start=1):
        keys = {c.name: study_key(row, c, runner) for c in candidates}
        paths = {c.name: record_path(runner.out, c.name, row.uid) for c in candidates}
        known = {name: read_record(paths[name], key) for name, key in keys.items()}
        pending = [c for c in candidates if known[c.name] is None]
        if pending:
            _log.info("study %d of %d", position, len(rows))
            for name, record in _predict(row, pending, keys, runner).items():
                write_record(paths[name], record)
                known[name] = record
        for name, found in known.items():
            if found is not None:
                records[name].append(found)
    _stop_if_nothing_works(records.values())
    return {name: tuple(found) for name, found in records.items()}


def _stop_if_nothing_works(records: Iterable[Sequence[StudyRecord]]) -> None:
    """An error of our own in every study is no result of an evaluation."""
    errors = [record.error for found in records for record in found]
    if errors and all(error and error["code"] == _UNEXPECTED for error in errors):
        raise CSpineZooError(_UNEXPECTED, f"No study could be predicted: {errors[0]}")


def _predict(
    row: StudyRow, pending: Sequence[Candidate], keys: dict[str, str], runner: Runner
) -> dict[str, StudyRecord]:
    try:
        return _predict_or_raise(row, pending, keys, runner)
    except StudyRejected as error:
        # By the name that the caller's own table gives it, not by its path on disk.
        _log.warning("%s: [%s] %s", row.uid, error.code, error.reason)
        failure = error.to_dict()["error"]
    except CSpineZooError:
        raise  # weights or usage: every study would fail alike
    except Exception as error:  # noqa: BLE001
        # Hours of work must not end at one study: it is recorded, logged and counted as missing.
        _log.exception("%s: unexpected error", row.uid)
        failure = CSpineZooError(_UNEXPECTED, f"{type(error).__name__}: {error}").to_dict()["error"]
    return {c.name: StudyRecord(row.uid, keys[c.name], error=failure) for c in pending}


def _predict_or_raise(
    row: StudyRow, pending: Sequence[Candidate], keys: dict[str, str], runner: Runner
) -> dict[str, StudyRecord]:
    if not row.images.is_dir():
        raise StudyRejected("no_images", "the study has no folder of images.", file=row.uid)
    ct = read_ct(row.images)
    records = {}
    for group in _by_segmenter(pending):
        comparison = compare(
            ct,
            [candidate.model for candidate in group],
            segmenter=runner.segmenter,
            localizer=runner.localizer,
            device=runner.device,
            precision=runner.precision,
        )
        for candidate, prediction in zip(group, comparison.predictions, strict=True):
            key = keys[candidate.name]
            records[candidate.name] = _judge(row, ct, key, prediction, comparison.label_map)
    return records


def _by_segmenter(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Groups that can share one segmentation of a study."""
    groups: dict[str | None, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.entry.segmenter, []).append(candidate)
    return list(groups.values())


def _judge(
    row: StudyRow, ct: CTVolume, key: str, prediction: ModelPrediction, label_map: LabelMap | None
) -> StudyRecord:
    """Compare a prediction with what is known of the study."""
    notes: list[str] = []
    vertebrae: dict[str, VertebraScore] | None = None
    findings: FindingScore | None = None
    if row.segmentation is not None and label_map is not None:
        centroids = {v.level: v.centroid_mm for v in prediction.vertebrae if v.centroid_mm}
        try:
            truth = read_label_map(row.segmentation, label_map.geometry)
            vertebrae = score_vertebrae(label_map.labels, truth, label_map.geometry, centroids)
        except StudyRejected as error:
            notes.append(str(error))
    try:
        fractures = true_fractures(row, ct.geometry)
        findings = None if fractures is None else score_findings(prediction.findings, fractures)
    except StudyRejected as error:
        notes.append(str(error))
    for note in notes:
        _log.warning("%s: %s", row.uid, note)
    return StudyRecord(row.uid, key, asdict(prediction), vertebrae, findings, None, tuple(notes))


def study_key(row: StudyRow, candidate: Candidate, runner: Runner) -> str:
    """Stands for a prediction: any change of model, precision, files or truth changes it."""
    parts = (candidate.identity, runner.identity(), row.levels, row.boxes)
    digest = hashlib.sha256(repr(parts).encode())
    images = sorted(row.images.iterdir()) if row.images.is_dir() else []
    for path in (*images, row.segmentation, row.fractures):
        if path is not None:
            facts = path.stat()
            digest.update(f"{path.name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()
