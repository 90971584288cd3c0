"""Weights to begin from: those of a model that is there already."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from cspine_zoo.errors import UsageError
from cspine_zoo.training.recipes import LocalizerPreset, Preset, SharedEncoderPreset
from cspine_zoo.training.slice_encoder import ENCODER_ARGUMENTS
from cspine_zoo.zoo.load import load_model

_BACKBONE_ARGUMENTS: Final = ("backbone", "in_channels")
"""What a localizer must have in common with a classifier whose encoder it begins from."""

_ENCODER: Final = "encoder."


@dataclass(frozen=True, eq=False)
class Start:
    """A model whose weights a run begins from.

    Attributes:
        name: of its row.
        sha256: of its weights.
        weights: its state dict.
        whole: the run has the same network; else only the slice encoder is the same.
    """

    name: str
    sha256: str
    weights: dict[str, Tensor]
    whole: bool = True

    @property
    def text(self) -> str:
        """For the model card."""
        origin = self.name if self.whole else f"the slice encoder of {self.name}"
        return f"Started from {origin} (sha256 {self.sha256[:12]})."

    def encoder(self) -> dict[str, Tensor]:
        """Weights of a classifier's slice encoder."""
        return {
            name.removeprefix(_ENCODER): tensor
            for name, tensor in self.weights.items()
            if name.startswith(_ENCODER)
        }

    def encoder_digest(self) -> bytes:
        """The same for models that share an encoder, as the rows of the zoo do."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.encoder().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.digest()


def read_start(model: str | os.PathLike[str], preset: Preset) -> Start:
    """The weights of a model of the same architecture, or with the same slice encoder.

    Args:
        model: name of a row, or path of a ``.safetensors`` file.
        preset: that is to begin from it.

    Raises:
        UsageError: there is no such model, or its network is another one.
        WeightsError: its weights cannot be had.
    """
    loaded = load_model(model, "cpu")
    architecture = loaded.entry.architecture
    arguments = dict(architecture.arguments)
    whole = (architecture.name, arguments) == (preset.architecture, preset.arguments)
    state = {name: tensor.float() for name, tensor in loaded.network.state_dict().items()}
    has_encoder = any(name.startswith(_ENCODER) for name in state)
    if not whole and not (has_encoder and _same_encoder(arguments, preset)):
        raise UsageError(
            "other_architecture",
            f"{preset.name} is another network than {loaded.entry.name}.",
            hint="Start from a model of the same architecture and arguments.",
        )
    return Start(loaded.entry.name, loaded.weights_sha256, state, whole)


def _same_encoder(arguments: Mapping[str, object], preset: Preset) -> bool:
    """Whether a row's encoder could begin as that of another network."""
    if isinstance(preset, SharedEncoderPreset):
        shared: tuple[str, ...] = ENCODER_ARGUMENTS
    elif isinstance(preset, LocalizerPreset):
        shared = _BACKBONE_ARGUMENTS
    else:
        return False
    return all(arguments.get(key) == preset.arguments[key] for key in shared)
