"""Training of the slice classifiers' heads, on the features of one trained encoder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional

from cspine_zoo.errors import UsageError
from cspine_zoo.models.encoder import SliceEncoder
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.training.augment import posed, random_poses, revalued
from cspine_zoo.training.loop import Batch, Run, Schedule
from cspine_zoo.training.losses import slice_loss, study_loss, vertebra_loss
from cspine_zoo.training.mixup import shuffled
from cspine_zoo.training.prior import shift_prior
from cspine_zoo.training.recipes import ClassifierPreset, SharedEncoderPreset
from cspine_zoo.training.records import Vertebrae, dequantised
from cspine_zoo.training.spines import Spines, truth_of
from cspine_zoo.training.task import untrained

LOG: Final = logging.getLogger(__name__)

_SLICE_WEIGHT: Final = 0.5
_LEVELS_A_STUDY: Final = 7


@dataclass(frozen=True, eq=False)
class Features:
    """What a head learns from.

    Attributes:
        values: (V, N, S, F) of V views of N vertebrae.
        truth: (N,) 1 for fractured.
        slices: (N, S) 1 where the fracture shows.
        known: (N, S) 1 where that is known.
        studies: int (N,), number of the study that each is of.
        levels: int (N,), 1-7.
        twins: int (N,), row of the same vertebra in the other state; -1 where there is none.
    """

    values: Tensor
    truth: Tensor
    slices: Tensor
    known: Tensor
    studies: Tensor
    levels: Tensor
    twins: Tensor

    def spines(self) -> Spines:
        """The vertebrae by study."""
        columns = (self.truth.long(), self.levels, self.studies, self.twins)
        return Spines(*(column.numpy() for column in columns))


class HeadPupil(nn.Module):
    """A classifier without its encoder, called with features."""

    def __init__(self, network: SliceClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits (B,) and slice logits (B, S) from features (B, S, F).

        Of spines (N, L, S, F) with B vertebrae ``present`` (N, L), those of these.
        """
        noisy = functional.dropout(features, 0.2, self.training)
        if present is None or not isinstance(self.network, SpineClassifier):
            output = self.network.score(noisy)
            return output.logit, output.slice_logits
        output = self.network.score(noisy, present)
        return output.logit[present], output.slice_logits[present]


@dataclass(frozen=True, eq=False)
class HeadBatches:
    """Random vertebrae; all those of random studies where patients count; or random spines."""

    features: Features
    preset: SharedEncoderPreset
    spines: Spines | None = None

    def __call__(self, step: int, part: int, parts: int) -> Batch:
        """Features (B, S, F), truth (B,), slice truth and known mask (B, S), study (B,).

        Of N spines, features (N, 7, S, F), and at the end which vertebrae (N, 7) are there: the
        other columns are of these.
        """
        preset = self.preset
        generator = Generator().manual_seed((preset.seed * 1_000_003 + step) * 1_009 + part)
        studies = max(1, preset.batch // _LEVELS_A_STUDY)
        if self.spines is not None:
            rows = torch.from_numpy(self.spines.draw(studies, generator))
            present = rows >= 0
            columns = [
                column.unflatten(0, rows.shape)
                for column in self._columns(rows.clamp(min=0).flatten(), generator)
            ]
            owner = torch.arange(studies)[:, None].expand_as(rows)
            return (columns[0], *(column[present] for column in (*columns[1:], owner)), present)
        if preset.weights.counts_patients:
            chosen, owner = self._all_of(studies, generator)
        else:
            chosen = torch.randint(len(self.features.truth), (preset.batch,), generator=generator)
            owner = torch.arange(preset.batch)
        return (*self._columns(chosen, generator), owner)

    def _all_of(self, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """All rows of random studies, and which of the ``count`` each is of."""
        studies = self.features.studies
        drawn = torch.randint(int(studies.max()) + 1, (count,), generator=generator)
        found = [(studies == study).nonzero()[:, 0] for study in drawn]
        sizes = torch.tensor([len(rows) for rows in found])
        return torch.cat(found), torch.repeat_interleave(torch.arange(count), sizes)

    def _columns(self, chosen: Tensor, generator: Generator) -> Batch:
        """Features in a random view, truth, slice truth and known mask of rows."""
        data = self.features
        view = torch.randint(len(data.values), (len(chosen),), generator=generator)
        columns: Batch = (data.values[view, chosen], data.slices[chosen], data.known[chosen])
        if self.preset.shuffled_share > 0:
            columns = shuffled(columns, self.preset.shuffled_share, generator)
        values, slices, known = columns
        return values, data.truth[chosen], slices, known


def train_head(
    fabric: Fabric,
    preset: SharedEncoderPreset,
    network: SliceClassifier,
    features: Features,
    out: Path,
    *,
    resume: bool = False,
) -> SliceClassifier:
    """Train sequence model, pooling and head on the features of a trained encoder.

    Args:
        fabric: of one process.
        preset: of the row.
        network: with that encoder; the rest of it is trained.
        features: of the encoder.
        out: directory of the run's state.
        resume: go on from the state in ``out``.

    Raises:
        UsageError: all vertebrae are whole, or all are fractured.
        TrainingStopped: the loss is no longer finite.
    """
    share = float(features.truth.mean())
    if share in (0.0, 1.0):
        raise UsageError("one_class", "a classifier needs fractured and whole vertebrae.")
    steps = max(1, preset.head_passes * len(features.truth) // preset.batch)
    schedule = Schedule(
        steps, preset.head_rate, preset.weight_decay, ema=0.0, save_every=500, seed=preset.seed
    )

    def loss(pupil: nn.Module, batch: Batch) -> Tensor:
        values, truth, slices, known, owner, *present = batch
        logits, slice_logits = pupil(values, *present)
        whole = (
            study_loss(logits, truth, owner, preset.weights)
            if preset.weights.counts_patients
            else vertebra_loss(logits, truth, preset.weights)
        )
        return whole + _SLICE_WEIGHT * slice_loss(slice_logits, slices, known, preset.weights)

    spines = features.spines() if isinstance(network, SpineClassifier) else None
    encoder, network.encoder = network.encoder, nn.Identity()  # type: ignore[assignment]
    run = Run(fabric, HeadPupil(network), schedule, out)
    if resume:
        run.resume()
    run.fit(HeadBatches(features, preset, spines), loss)
    trained = run.result().network
    trained.encoder = encoder
    if spines is not None:
        rows = spines.draw(1000, Generator().manual_seed(0))
        share = float(truth_of(features.truth.numpy(), rows)[rows >= 0].mean())
    # No light row has a patient head: the share of fractured patients plays no part.
    shift_prior(trained, share, 0.5, preset.weights)
    return trained.cpu().eval()


@torch.no_grad()
def encoder_features(
    encoder: SliceEncoder,
    vertebrae: Vertebrae,
    preset: SharedEncoderPreset,
    views: int,
    device: torch.device,
) -> Features:
    """Features of every vertebra under ``views`` augmentations (the first is none)."""
    encoder = encoder.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    channels = preset.preprocess.channels
    generator = Generator().manual_seed(preset.seed)
    stacks = []
    for view in range(views):
        rows = []
        for row in range(len(vertebrae)):
            images = dequantised(torch.from_numpy(vertebrae.images(row)), channels)
            if view:
                poses = random_poses(1, generator).expand(len(images), -1, -1)
                images = revalued(posed(images, poses), generator, channels.index("mask"))
            images = images.to(device).contiguous(memory_format=torch.channels_last)
            rows.append(encoder(images[None])[0].cpu())
        stacks.append(torch.stack(rows))
        LOG.info("features of view %d of %d", view + 1, views)
    numbers = {
        study: number for number, study in enumerate(sorted(set(vertebrae.studies.tolist())))
    }
    return Features(
        torch.stack(stacks),
        torch.from_numpy(vertebrae.labels).float(),
        torch.from_numpy(vertebrae.slice_truth).float(),
        torch.from_numpy(vertebrae.slice_known).float(),
        torch.tensor([numbers[study] for study in vertebrae.studies.tolist()]),
        torch.from_numpy(vertebrae.levels),
        torch.from_numpy(vertebrae.twins),
    )


def untrained_classifier(preset: ClassifierPreset) -> SliceClassifier:
    """The network of a row, the same each time.

    Raises:
        UsageError: it is none.
    """
    network = untrained(preset)
    if not isinstance(network, SliceClassifier):
        raise UsageError("wrong_preset", f"{preset.name} is no slice classifier")
    return network
