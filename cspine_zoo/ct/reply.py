"""What the reading process answers: JSON beside the voxels, which stay where they were written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NoReturn

import numpy as np

from cspine_zoo.ct.codes import rejected
from cspine_zoo.ct.geometry import Geometry
from cspine_zoo.ct.rescale import HU
from cspine_zoo.ct.volume import CTVolume, Notice, ReadReport, SeriesSummary, SkippedFile
from cspine_zoo.errors import CSpineZooError, StudyRejected, UsageError

_KINDS: Final = ("int16", "float32")


@dataclass(frozen=True)
class Layout:
    """Where voxels lie in a block of memory.

    Attributes:
        kind: of number, ``"int16"`` or ``"float32"``.
        offset: of the first voxel, in bytes.
        shape: voxels along each axis.
        strides: bytes from one voxel to the next along each axis.
    """

    kind: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, voxels: HU, offset: int) -> Layout:
        """Of voxels, the first of which lies ``offset`` bytes into the block."""
        return cls(str(voxels.dtype), offset, voxels.shape, voxels.strides)

    def view(self, memory: memoryview) -> HU:
        """The voxels, not copied.

        Raises:
            ValueError: they would lie outside the memory, or are not of a kind that HU are.
        """
        if self.kind not in _KINDS:
            raise ValueError("HU are int16 or float32")
        return np.ndarray(self.shape, self.kind, memory, self.offset, self.strides)


def write_volume(ct: CTVolume, layout: Layout) -> bytes:
    """The answer of a study that was read."""
    return _encode(
        "volume",
        {
            "layout": asdict(layout),
            "affine": ct.geometry.affine.tolist(),
            "report": asdict(ct.report),
        },
    )


def write_refusal(error: StudyRejected | UsageError) -> bytes:
    """The answer of a study, or a request, that was refused."""
    kind = "rejected" if isinstance(error, StudyRejected) else "usage"
    return _encode(kind, error.to_dict()["error"])


def write_failure(error: Exception, place: str) -> bytes:
    """The answer of a reader with a defect: which error, where; never its message."""
    return _encode("failed", {"error": type(error).__name__, "place": place})


def read_reply(reply: bytes, memory: memoryview, source: str) -> CTVolume:
    """The volume that a reader wrote into ``memory``, or the reason why there is none.

    Args:
        reply: of the reading process.
        memory: that the process wrote to.
        source: what to call the study in a refusal.

    Raises:
        StudyRejected: the study was refused, or reading it failed.
        UsageError: the request was wrong.
        ValueError: the reply is not one of this module's.
    """
    content = json.loads(reply)
    kind, values = content["kind"], content["values"]
    if kind == "volume":
        voxels = Layout(**_tuples(values["layout"])).view(memory)
        i, j, k = voxels.shape
        geometry = Geometry((i, j, k), np.array(values["affine"], np.float64))
        return CTVolume(voxels, geometry, _report(values["report"]))
    if kind in ("rejected", "usage"):
        _refuse(StudyRejected if kind == "rejected" else UsageError, values)
    reason = f"the reader failed with {values['error']} in {values['place']}"
    raise rejected("reader_failed", reason, source)


def _encode(kind: str, values: Mapping[str, Any]) -> bytes:
    return json.dumps({"kind": kind, "values": values}).encode()


def _refuse(kind: type[CSpineZooError], values: Mapping[str, str]) -> NoReturn:
    raise kind(values["code"], values["reason"], file=values["file"], hint=values["hint"])


def _report(values: Mapping[str, Any]) -> ReadReport:
    return ReadReport(
        used=tuple(values["used"]),
        skipped=tuple(SkippedFile(**file) for file in values["skipped"]),
        warnings=tuple(Notice(**notice) for notice in values["warnings"]),
        series=tuple(SeriesSummary(**_tuples(series)) for series in values["series"]),
    )


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
