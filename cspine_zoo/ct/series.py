"""From parsed files to series, and from series to the one that is read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cspine_zoo.ct.codes import Problem, rejected
from cspine_zoo.ct.dicom import DicomFile
from cspine_zoo.ct.frames import Frame
from cspine_zoo.ct.geometry import closest_axes
from cspine_zoo.ct.grid import Grid, build_grid, normal_of
from cspine_zoo.ct.volume import SeriesSummary, SkippedFile
from cspine_zoo.errors import UsageError

NECK_MM: Final = 100.0
"""C1 to C7 is 100 to 130 mm long; among shorter scans the longest wins, else the thinnest."""

SAME_DIRECTION: Final = 1e-3
"""Largest difference of direction cosines within one volume: 0.06 degrees."""


@dataclass(frozen=True, eq=False)
class Series:
    """Files of one DICOM series, or of one consistent part of it.

    ``grid`` is set if they make a volume; else ``problem`` says why they do not.
    """

    files: tuple[DicomFile, ...]
    grid: Grid | None = None
    problem: Problem | None = None

    @property
    def uid(self) -> str:
        """Series Instance UID."""
        return self.files[0].series_uid

    @property
    def frames(self) -> tuple[Frame, ...]:
        """All slices, in the order of the files."""
        return tuple(frame for file in self.files for frame in file.frames)

    @property
    def derived(self) -> bool:
        """Whether the images were computed from other images (reformats)."""
        return any("derived" in file.traits for file in self.files)

    def rank(self) -> tuple[float, ...]:
        """Order of preference, highest first; see ``reason``."""
        if self.grid is None:
            return (-1.0,)
        extent = self.grid.shape[2] * self.grid.step_mm
        return (
            float(not self.derived),
            float(all("original" in file.traits for file in self.files)),
            float(self.axial),
            min(extent, NECK_MM),
            -round(self.grid.step_mm, 1),
            float(any("bone" in file.traits for file in self.files)),
            extent,
        )

    @property
    def axial(self) -> bool:
        """Whether the slices lie across the patient rather than along."""
        return bool(abs(normal_of(self.files[0].frames[0])[2]) > np.sqrt(0.5))

    def reason(self) -> str:
        """What speaks for or against the series, in words."""
        if self.problem is not None:
            return self.problem.reason
        if self.grid is None:
            return ""
        kind = "derived" if self.derived else "original"
        plane = "axial" if self.axial else "not axial"
        extent = self.grid.shape[2] * self.grid.step_mm
        return f"{kind}, {plane}, {self.grid.step_mm:.2f} mm steps over {extent:.0f} mm"

    def summary(self, index: int, chosen: int) -> SeriesSummary:
        """The row of this series, in RAS order."""
        shape, spacing = None, None
        if self.grid is not None:
            axes = [world for world, _ in closest_axes(self.grid.affine)]
            lengths = np.linalg.norm(self.grid.affine[:3, :3], axis=0)
            shape = tuple(self.grid.shape[axes.index(world)] for world in range(3))
            spacing = tuple(float(lengths[axes.index(world)]) for world in range(3))
        reason = self.reason()
        if index == chosen:
            reason = f"chosen: {reason}"
        elif self.grid is not None:
            reason = f"not chosen: {reason}"
        modality = self.files[0].modality or "unknown"
        count = len(self.files)
        return SeriesSummary(index, modality, count, shape, spacing, index == chosen, reason)


def find_series(files: Iterable[DicomFile]) -> tuple[list[Series], list[SkippedFile]]:
    """Group files into series, in an order that does not depend on the order of the files.

    Returns:
        Series, and the files that are no part of any: copies, and broken files of usable series.
    """
    by_uid: dict[str, list[DicomFile]] = defaultdict(list)
    # Sorted by what is inside, so that the order of the files leaves no trace.
    for file in sorted(files, key=_content):
        by_uid[file.series_uid].append(file)
    found: list[Series] = []
    skipped: list[SkippedFile] = []
    for members in by_uid.values():
        for own in _by_patient(members):
            parts, aside = _parts(own)
            found += parts
            skipped += aside
    found.sort(
        key=lambda s: (s.files[0].series_number, s.uid, -len(s.frames), *_content(s.files[0]))
    )
    return found, skipped


def _content(file: DicomFile) -> tuple[object, ...]:
    """Key of an order that the files' names have no part in."""
    place = (*file.frames[0].position[::-1], *file.frames[0].orientation) if file.frames else ()
    return file.acquisition.zfill(12), place, file.instance, file.patient, file.study


def _by_patient(files: Sequence[DicomFile]) -> list[list[DicomFile]]:
    """Split one series by patient and study; a tag that some files lack says nothing."""
    groups: dict[tuple[str, str], list[DicomFile]] = defaultdict(list)
    only_patient = _only(file.patient for file in files)
    only_study = _only(file.study for file in files)
    for file in files:
        groups[file.patient or only_patient, file.study or only_study].append(file)
    return list(groups.values())


def _only(values: Iterable[str]) -> str:
    """The one value among them that is not empty; empty if there are none or several."""
    known = set(values) - {""}
    return known.pop() if len(known) == 1 else ""


def _parts(files: Sequence[DicomFile]) -> tuple[list[Series], list[SkippedFile]]:
    """The volumes in the files of one series, and its files that are no part of any."""
    usable, copies = _without_copies([file for file in files if file.frames])
    skipped = [SkippedFile(f.file, "duplicate", "the same image is there twice") for f in copies]
    broken = [(file, file.problem) for file in files if file.problem is not None]
    if broken and not usable:
        code, _ = Counter(problem.code for _, problem in broken).most_common(1)[0]
        problem = next(problem for _, problem in broken if problem.code == code)
        return [Series(tuple(file for file, _ in broken), problem=problem)], skipped
    skipped += [SkippedFile(f.file, problem.code, problem.reason) for f, problem in broken]
    return [series for cluster in _alike(usable) for series in _volumes(cluster)], skipped


def _without_copies(files: Sequence[DicomFile]) -> tuple[list[DicomFile], list[DicomFile]]:
    """Files, and those among them that repeat another one's slices."""
    seen: dict[object, list[DicomFile]] = defaultdict(list)
    copies = []
    for file in sorted(files, key=_fidelity):
        first = file.frames[0]
        twins = seen[first.position, first.orientation, len(file.frames)]
        if any(_same(file, twin) or _same_recoded(file, twin) for twin in twins):
            copies.append(file)
        else:
            twins.append(file)
    kept = {id(file) for file in files} - {id(copy) for copy in copies}
    return [file for file in files if id(file) in kept], copies


def _fidelity(file: DicomFile) -> tuple[bool, bool, str]:
    """Key that puts first, among copies, the one to keep: lossless, and sure to be decoded."""
    syntax = file.frames[0].format.syntax
    return "lossy" in file.traits, bool(syntax.decoders), syntax.uid


def _same(one: DicomFile, other: DicomFile) -> bool:
    """Bit by bit the same slices, whatever their identifiers."""
    return all(
        (a.position, a.pixel_spacing_mm, a.rescale, a.format)
        == (b.position, b.pixel_spacing_mm, b.rescale, b.format)
        and b"".join(a.pixels) == b"".join(b.pixels)
        for a, b in zip(one.frames, other.frames, strict=True)
    )


def _same_recoded(one: DicomFile, other: DicomFile) -> bool:
    """One image in two transfer syntaxes: an archive gave it out once plain, once compressed.

    Identifiers alone are no proof: who removes a patient's name may give one to several images.
    """
    a, b = one.frames[0], other.frames[0]
    return (
        bool(one.instance)
        and one.instance == other.instance
        and a.format.syntax != b.format.syntax
        and _fits(a, b)
        and one.acquisition == other.acquisition
        and one.traits ^ other.traits <= {"lossy"}
    )


def _alike(files: Sequence[DicomFile]) -> list[list[DicomFile]]:
    """Split where size, pixel spacing or orientation differ."""
    clusters: list[list[DicomFile]] = []
    for file in files:
        for cluster in clusters:
            if _fits(file.frames[0], cluster[0].frames[0]):
                cluster.append(file)
                break
        else:
            clusters.append([file])
    return clusters


def _fits(one: Frame, other: Frame) -> bool:
    if (one.format.rows, one.format.columns) != (other.format.rows, other.format.columns):
        return False
    if (one.pixel_spacing_mm, one.orientation) == (other.pixel_spacing_mm, other.orientation):
        return True  # as nearly all do
    spacing = zip(one.pixel_spacing_mm, other.pixel_spacing_mm, strict=True)
    directions = zip(one.orientation, other.orientation, strict=True)
    return all(abs(a - b) <= 1e-4 * b for a, b in spacing) and all(
        abs(a - b) <= SAME_DIRECTION for a, b in directions
    )


def _volumes(files: Sequence[DicomFile]) -> list[Series]:
    """One series, or several where only that makes volumes: by acquisition, or by what was made.

    Acquisition Number alone does not split: some scanners count every rotation of one scan.
    """
    whole = _volume(files)
    if whole.grid is not None:
        return [whole]
    ways: tuple[Callable[[DicomFile], Hashable], ...] = (
        lambda file: file.acquisition,
        lambda file: file.traits,  # a reformat, or another kernel, under the same UID
        lambda file: (file.acquisition, file.traits),
    )
    for way in ways:
        groups: dict[Hashable, list[DicomFile]] = defaultdict(list)
        for file in files:
            groups[way(file)].append(file)
        parts = [_volume(group) for group in groups.values()]
        if len(parts) > 1 and any(part.grid is not None for part in parts):
            return parts
    return [whole]


def _volume(files: Sequence[DicomFile]) -> Series:
    ordered = tuple(sorted(files, key=lambda file: (file.frames[0].position[::-1], file.instance)))
    frames = [frame for file in ordered for frame in file.frames]
    if not all(_fits(frame, frames[0]) for frame in frames):
        problem = Problem("unsupported_pixels", "frames of one file lie in different planes")
        return Series(ordered, problem=problem)
    try:
        return Series(ordered, grid=build_grid(frames))
    except Problem as problem:
        return Series(ordered, problem=problem)


def choose(series: Sequence[Series], wanted: str | int | None, source: str) -> int:
    """Index of the series to read.

    Args:
        series: as ``find_series`` ordered them.
        wanted: index or Series Instance UID; None for the best.
        source: name of the study, for messages.

    Raises:
        UsageError: there is no such series.
        StudyRejected: the series, or every one, cannot be read, or the study is ambiguous.
    """
    if wanted is not None:
        candidates = _asked_for(series, wanted)
    else:
        candidates = list(range(len(series)))
        _check_one_patient(series, source)
    best = max(candidates, key=lambda n: (series[n].rank(), len(series[n].files), -n))
    problem = series[best].problem
    if problem is not None:
        best = _most_telling(series, candidates)
        problem = series[best].problem or problem
        file = series[best].files[0].file if len(series[best].files) == 1 else source
        raise rejected(problem.code, problem.reason, file)
    return best


def _asked_for(series: Sequence[Series], wanted: str | int) -> list[int]:
    index = int(wanted) if isinstance(wanted, int) or wanted.isdecimal() else None
    if index is not None and 0 <= index < len(series):
        return [index]
    candidates = [n for n, one in enumerate(series) if one.uid and one.uid == wanted]
    if not candidates:
        raise UsageError(
            "unknown_series",
            f"the study has no such series; it has {len(series)}, numbered from 0",
            hint="`cspine-zoo inspect` lists them.",
        )
    return candidates


def _check_one_patient(series: Sequence[Series], source: str) -> None:
    images = [one for one in series if one.frames]
    listed = "; ".join(f"series {n}: {one.reason()}" for n, one in enumerate(series) if one.frames)
    patients = {one.files[0].patient for one in images} - {""}
    if len(patients) > 1:
        raise rejected("several_patients", f"{len(patients)} patients are there ({listed})", source)
    studies = {one.files[0].study for one in images} - {""}
    if len(studies) > 1:
        raise rejected("several_studies", f"{len(studies)} studies are there ({listed})", source)


_ASIDE = ("not_image", "localizer", "secondary_capture", "projection", "dicomdir")


def _most_telling(series: Sequence[Series], candidates: Sequence[int]) -> int:
    """The unusable series whose reason helps most: broken CT, other modalities, the rest."""

    def weight(n: int) -> tuple[int, int]:
        problem = series[n].problem
        code = problem.code if problem else ""
        return (0 if code in _ASIDE else 1 if code == "not_ct" else 2, len(series[n].files))

    return max(candidates, key=weight)
