"""What a checkpoint must answer to a seeded input: whether it still computes the same thing."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.errors import WeightsError
from cspine_zoo.models.outputs import ClassifierOutput
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.zoo.manifest import Golden, ManifestEntry
from cspine_zoo.zoo.model import ZooModel

TOLERANCE: Final = 1e-3
"""In float32, devices agree within this."""

_VOLUME_SIDE: Final = 32


def record(network: nn.Module, entry: ManifestEntry, seed: int = 0) -> Golden:
    """The golden output of a network, for its row.

    Give it the network as its file gives it back, not the one that was trained: storing it in
    half precision changes the last digits.
    """
    return Golden(seed, measure(network, entry, seed), TOLERANCE)


def check(model: ZooModel) -> None:
    """Compare a model's answer with the golden output of its row, if it has one.

    Raises:
        WeightsError: the answer is another (``golden_mismatch``).
    """
    golden = model.entry.golden
    if golden is None:
        return
    answer = measure(model.network, model.entry, golden.input_seed)
    if len(answer) != len(golden.output):
        raise _mismatch(model, f"it has {len(answer)} numbers instead of {len(golden.output)}")
    worst = float(np.abs(np.subtract(answer, golden.output)).max())
    if not worst <= golden.tolerance:
        raise _mismatch(model, f"it is off by {worst:.3g}, more than {golden.tolerance:.3g}")


def measure(network: nn.Module, entry: ManifestEntry, seed: int) -> tuple[float, ...]:
    """A network's answer to the seeded input of its row, as a short list of numbers.

    A classifier answers with its logit and its slices' logits and weights, and with the patient's
    if it has one; a segmenter with the mean logit of each class and the logits of the central
    voxel.
    """
    parameter = next(network.parameters())
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        levels = len(LEVELS) if isinstance(network, SpineClassifier) else None
        output = network(_input(entry, seed, levels).to(parameter.device))
    network.train(was_training)
    if isinstance(output, ClassifierOutput):
        parts = [output.logit, output.slice_logits, output.slice_weights]
        parts += [] if output.patient_logit is None else [output.patient_logit]
    else:
        centre = tuple(size // 2 for size in output.shape[2:])
        parts = [output.flatten(2).mean(dim=2), output[(slice(None), slice(None), *centre)]]
    numbers = torch.cat([part.flatten() for part in parts]).tolist()
    return tuple(round(number, 6) for number in numbers)


def _input(entry: ManifestEntry, seed: int, levels: int | None) -> Tensor:
    spec = entry.preprocess
    shape: tuple[int, ...] = (1, len(spec.channels), *(_VOLUME_SIDE,) * 3)
    if spec.n_slices is not None and spec.size_px is not None:
        crop = (spec.n_slices, len(spec.channels), spec.size_px, spec.size_px)
        shape = (1, *crop) if levels is None else (1, levels, *crop)
    # RandomState's stream is frozen for good (NEP 19); the newer generators may change theirs.
    numbers = np.random.RandomState(seed).random_sample(shape)
    return torch.from_numpy((2 * numbers - 1).astype(np.float32))


def _mismatch(model: ZooModel, reason: str) -> WeightsError:
    return WeightsError(
        "golden_mismatch",
        f"Its answer to the golden input is wrong: {reason}.",
        file=model.entry.name,
        hint="The weights are right, so torch or the code computes differently here.",
    )
