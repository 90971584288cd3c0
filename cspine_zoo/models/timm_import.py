"""timm, also beside a torch that torchvision's binary was not built for."""

from types import ModuleType

import torch

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
