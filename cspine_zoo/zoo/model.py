"""A network together with its manifest row."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cspine_zoo.preprocess.spec import Preprocess
from cspine_zoo.zoo.manifest import ManifestEntry


class ZooModel(nn.Module):
    """An architecture with its weights, and with the row that says how to use them.

    It comes in eval mode and without gradients; calling it calls the network.

    Attributes:
        entry: the manifest row.
        network: the architecture itself.
        weights_sha256: of the file that was loaded, or ``"random"`` for untrained weights.
    """

    def __init__(self, network: nn.Module, entry: ManifestEntry, weights_sha256: str) -> None:
        super().__init__()
        self.network = network
        self.entry = entry
        self.weights_sha256 = weights_sha256
        self.eval()
        self.requires_grad_(False)

    @property
    def preprocess(self) -> Preprocess:
        """How CT becomes this network's input."""
        return self.entry.preprocess

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def forward(self, *inputs: torch.Tensor) -> Any:
        """What the network returns for these inputs."""
        return self.network(*inputs)
