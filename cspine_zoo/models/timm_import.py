"""timm, also beside a torch that torchvision's binary was not built for."""

import re
from types import ModuleType
from typing import Any, Final

import torch

_REGISTERED: Final = re.compile(r"[A-Za-z0-9_.-]+")
_LIBRARIES: list[torch.library.Library] = []


def import_timm() -> ModuleType:
    """Import timm.

    timm imports torchvision. The torchvision of the package index is built for CUDA; beside a
    CPU-only torch its binary does not load, and the import stops at "operator torchvision::nms
    does not exist". Nothing here uses that operator: declaring it is enough.

    Raises:
        RuntimeError: torchvision fails for any other reason.
    """
    try:
        import timm
    except RuntimeError as error:
        if "torchvision::nms" not in str(error) or _LIBRARIES:
            raise
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(library)  # declarations live as long as their library
        import timm
    return timm


def create_backbone(name: str, **arguments: Any) -> Any:
    """Build an architecture of timm's own registry, without weights.

    timm also takes ``hf-hub:...`` and ``local-dir:...``: a row inside a stranger's weights file
    could then send requests and open folders.

    Raises:
        ValueError: the name has other characters than the registry's names.
    """
    if not _REGISTERED.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a name of timm's registry")
    return import_timm().create_model(name, pretrained=False, **arguments)
