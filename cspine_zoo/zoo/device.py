"""Names of devices, as users give them."""

from __future__ import annotations

import torch

from cspine_zoo.errors import UsageError


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """The device of a name; ``"auto"`` is CUDA, then MPS, then CPU.

    Raises:
        UsageError: there is no such device, here or at all.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        hint = "Known: auto, cpu, cuda, cuda:N, mps."
        raise UsageError("unknown_device", f"There is no device {name!r}.", hint=hint) from error
    if not _is_available(device):
        hint = "Use auto or cpu."
        raise UsageError("device_unavailable", f"Torch has no {device} here.", hint=hint)
    return device


def _is_available(device: torch.device) -> bool:
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available()
    return device.type == "cpu"
