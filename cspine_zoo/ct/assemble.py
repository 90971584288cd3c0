"""From the files of a study to one ``CTVolume``: all that touches foreign bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from cspine_zoo.ct.codes import RULINGS, Problem, rejected
from cspine_zoo.ct.dicom import DicomFile, parse
from cspine_zoo.ct.fill import fill
from cspine_zoo.ct.grid import NOTABLE_JITTER, ROUNDING_MM, Grid
from cspine_zoo.ct.intake import Item, Unread
from cspine_zoo.ct.nifti import read_nifti
from cspine_zoo.ct.series import Series, choose, find_series
from cspine_zoo.ct.volume import CTVolume, Notice, ReadReport, SeriesSummary, SkippedFile
from cspine_zoo.ct.voxels import OwnMemory, Voxels
from cspine_zoo.errors import UsageError


def assemble(
    items: Iterable[Item | Unread],
    series: str | int | None,
    source: str,
    voxels: Voxels | None = None,
) -> CTVolume:
    """Sort the files, choose a series, decode it into one volume.

    Args:
        items: the files of the study.
        series: as for ``read_ct``.
        source: what to call the study in a refusal.
        voxels: where they go; None for this process's own memory.

    Raises:
        StudyRejected: the study cannot be read rightly.
        UsageError: ``series`` names none of the study's series.
    """
    voxels = voxels or OwnMemory()
    try:
        study = _sort_out(items)
        if study.dicom:
            return _read_dicom(study, series, source, voxels)
        return _read_single_volume(study, series, voxels)
    except Problem as problem:
        raise rejected(problem.code, problem.reason, source) from None
    except MemoryError:
        raise rejected("too_large", "the study needs more memory than there is", source) from None


@dataclass
class _Study:
    """The files of a study by what they turned out to be."""

    dicom: list[DicomFile] = field(default_factory=list)
    volumes: list[Item] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def skip(self, name: str, problem: Problem) -> None:
        self.skipped.append(SkippedFile(name, problem.code, problem.reason))


def _sort_out(items: Iterable[Item | Unread]) -> _Study:
    study = _Study()
    for item in items:
        if isinstance(item, Unread):
            study.skip(item.name, item.problem)
        elif item.kind == "dicom":
            try:
                study.dicom.append(parse(item.name, item.data))
            except Problem as problem:
                study.skip(item.name, problem)
        elif item.kind in ("nifti", "gzip"):
            study.volumes.append(item)
        else:
            study.kinds[item.kind] += 1
            archive = item.kind.endswith("archive")
            code = "not_a_zip" if archive else "not_dicom"
            study.skip(item.name, Problem(code, f"{item.kind}, neither DICOM nor NIfTI nor zip"))
    return study


def _read_dicom(study: _Study, wanted: str | int | None, source: str, voxels: Voxels) -> CTVolume:
    found, skipped = find_series(study.dicom)
    best = choose(found, wanted, source)
    chosen = found[best]
    summaries = tuple(one.summary(n, best) for n, one in enumerate(found))
    skipped = [*study.skipped, *skipped, *_set_aside(found, chosen, study.volumes)]
    frames, grid = list(chosen.frames), chosen.grid
    traits = frozenset().union(*(file.traits for file in chosen.files))
    names = tuple(dict.fromkeys(file.file for file in chosen.files))
    # From here on only the chosen series' encoded pixels stay in memory.
    study.dicom.clear()
    study.volumes.clear()
    del found, chosen
    if grid is None:
        raise Problem("bad_geometry", "the series has no geometry")
    filled = fill(frames, grid, voxels)
    canvas, gaps = filled.canvas.bridge(filled.present)
    hu, geometry = canvas.ras()
    failed = {file.file for file in filled.lost}
    report = ReadReport(
        used=tuple(name for name in names if name not in failed),
        skipped=(*skipped, *filled.lost),
        warnings=tuple(_notices(grid, traits, gaps, [*skipped, *filled.lost])),
        series=summaries,
    )
    return CTVolume(hu, geometry, report)


def _set_aside(found: list[Series], chosen: Series, volumes: list[Item]) -> list[SkippedFile]:
    """Every file of the series that were not chosen."""
    other = Problem("other_series", "belongs to a series that was not chosen")
    aside = []
    for one in found:
        for file in one.files if one is not chosen else ():
            problem = file.problem or one.problem or other
            aside.append(SkippedFile(file.file, problem.code, problem.reason))
    beside = [
        SkippedFile(item.name, "nifti_beside_dicom", "a DICOM series is read") for item in volumes
    ]
    return aside + beside


def _notices(
    grid: Grid, traits: frozenset[str], gaps: list[tuple[int, int]], skipped: list[SkippedFile]
) -> Iterable[Notice]:
    for a, b in gaps:
        place = (grid.affine @ [0, 0, (a + b) / 2, 1])[2]
        yield Notice(
            "gap_filled",
            f"{b - a - 1} missing slice(s) at {place:.1f} mm superior were interpolated",
        )
    if grid.jitter > max(NOTABLE_JITTER, ROUNDING_MM / grid.step_mm):
        yield Notice(
            "spacing_jitter",
            f"slices lie up to {grid.jitter * grid.step_mm:.2f} mm from a regular grid",
        )
    if grid.tilted:
        yield Notice(
            "tilt_corrected",
            f"slices were shifted to undo a tilt of {grid.tilt_degrees:.1f} degrees",
        )
    if "lossy" in traits:
        yield Notice("lossy", "the images went through lossy compression")
    if "monochrome1" in traits:
        yield Notice("monochrome1", "MONOCHROME1: display is inverted, HU are not")
    if "derived" in traits:
        yield Notice("derived", "the series was derived from other images")
    broken = [file for file in skipped if RULINGS[file.code].outcome == "rejected"]
    broken = [file for file in broken if file.code != "not_ct"]
    if broken:
        yield Notice("files_rejected", f"{len(broken)} files could not be read and were left out")


def _read_single_volume(study: _Study, wanted: str | int | None, voxels: Voxels) -> CTVolume:
    """NIfTI, if that is all there is; else the refusal that says what there is."""
    if not study.volumes:
        raise _nothing_usable(study)
    if len(study.volumes) > 1:
        raise Problem("several_volumes", f"{len(study.volumes)} NIfTI files; which one is meant?")
    if wanted not in (None, 0, "0"):
        raise UsageError("unknown_series", "a NIfTI file holds one series, number 0")
    (item,) = study.volumes
    study.volumes.clear()
    canvas, notices = read_nifti(item.data, item.kind == "gzip", voxels)
    hu, geometry = canvas.ras()
    summary = SeriesSummary(
        0, "CT", 1, hu.shape, geometry.spacing_mm, True, "chosen: the only volume"
    )
    report = ReadReport(
        used=(item.name,),
        skipped=tuple(study.skipped),
        warnings=tuple(notices),
        series=(summary,),
    )
    return CTVolume(hu, geometry, report)


def _nothing_usable(study: _Study) -> Problem:
    """Why there is not one file to read."""
    codes = Counter(file.code for file in study.skipped if RULINGS[file.code].outcome == "rejected")
    if codes:
        code = codes.most_common(1)[0][0]
        return Problem(code, next(f.reason for f in study.skipped if f.code == code))
    if not study.skipped:
        return Problem("no_dicom", "it is empty")
    kinds = study.kinds + Counter(
        f"file that is {RULINGS[file.code].meaning}"
        for file in study.skipped
        if file.code != "not_dicom"
    )
    shown = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common(5))
    return Problem("no_dicom", f"no DICOM and no NIfTI in it, but {shown}")
