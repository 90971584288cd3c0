"""All vertebrae of a spine at once, each judged in the light of the others."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from cspine_zoo.models.float32 import in_float32
from cspine_zoo.models.heads import head_of
from cspine_zoo.models.outputs import ClassifierOutput
from cspine_zoo.models.sequence import RecurrentSequence
from cspine_zoo.models.slice_classifier import SliceClassifier

PATIENT_RULES: Final = ("any", "head", "blend")
"""How the patient's probability comes about: see ``inference.patient``."""


class SpineClassifier(SliceClassifier):
    """A slice classifier whose sequence runs through all vertebrae, from the top to the bottom.

    Vertebrae that are not in view are left out of the sequences as if the spine had none there:
    what stands in their place changes nothing.

    Args:
        sequence: ``"gru"`` or ``"lstm"``; a second one, and a linear head or one of the same kind
            as the slices', reads the patient off its first position.
        hidden: units in each direction of both.
        layers: of both.
        head: of both.
        patient: ``"any"`` for no patient head, the patient then follows from the vertebrae;
            ``"head"`` or ``"blend"`` for one.
        others: as those of ``SliceClassifier``.

    Raises:
        ValueError: there is no sequence, or no such rule.
    """

    def __init__(
        self,
        *,
        sequence: str,
        hidden: int,
        layers: int = 1,
        head: str = "linear",
        patient: str,
        **others: Any,
    ) -> None:
        if sequence is None or patient not in PATIENT_RULES:
            raise ValueError(
                f"a spine needs a sequence and patient as one of {', '.join(PATIENT_RULES)}, "
                f"not {patient!r}"
            )
        super().__init__(sequence=sequence, hidden=hidden, layers=layers, head=head, **others)
        self.patient_sequence: RecurrentSequence | None = None
        self.patient_head: nn.Module | None = None
        if patient != "any":
            reader = RecurrentSequence(sequence, self.encoder.out_features, hidden, layers)
            # At the first position the way there has not begun: no state has been handed on yet.
            reader.recurrent.get_parameter(f"weight_hh_l{layers - 1}").requires_grad_(False)
            self.patient_sequence = reader
            self.patient_head = head_of(head, reader.out_features)

    def forward(self, slices: Tensor, present: Tensor | None = None) -> ClassifierOutput:
        """Score spines.

        Args:
            slices: (N, L, S, C, H, W), vertebrae from the top, slices from the lowest.
            present: bool (N, L), vertebrae that are there, at least one a spine; None for all.
        """
        vertebrae = slices.flatten(0, 1)
        there = (
            torch.arange(len(vertebrae), device=slices.device)
            if present is None
            else present.flatten().nonzero()[:, 0]
        )
        if self.training:
            found = self.encoder(vertebrae[there])
        else:  # one by one: memory stays that of one vertebra
            found = torch.cat([self.encoder(vertebrae[i : i + 1]) for i in there.tolist()])
        features = found.new_zeros(len(vertebrae), *found.shape[1:]).index_copy(0, there, found)
        return self.score(features.unflatten(0, slices.shape[:2]), present)

    @in_float32
    def score(self, features: Tensor, present: Tensor | None = None) -> ClassifierOutput:
        """Score spines from their encoder features (N, L, S, F); ``present`` as in ``forward``."""
        shape = features.shape[:3]
        kept = None if present is None else present.repeat_interleave(shape[2], dim=1)
        # Vertebrae come from the top and their slices from the bottom; the way down is one way.
        way = self.feature_dropout(features.flip(2).flatten(1, 2))
        read = self.sequence(way, kept).unflatten(1, shape[1:]).flip(2)
        patient = None
        if self.patient_sequence is not None and self.patient_head is not None:
            patient = self.patient_head(_first(self.patient_sequence(way, kept), kept)).squeeze(-1)
        if present is None:
            present = torch.ones(shape[:2], dtype=torch.bool, device=features.device)
        output = self.judge(read[present])
        return ClassifierOutput(
            _placed(output.logit, present),
            _placed(output.slice_logits, present),
            _placed(output.slice_weights, present),
            patient,
        )


def _first(read: Tensor, kept: Tensor | None) -> Tensor:
    """The first kept position of each sequence (N, S, F)."""
    if kept is None:
        return read[:, 0]
    first = kept.byte().argmax(dim=1)
    return read[torch.arange(len(read), device=read.device), first]


def _placed(values: Tensor, present: Tensor) -> Tensor:
    """Values (P, ...) of the vertebrae that are there at their places, (N, L, ...)."""
    return values.new_zeros(*present.shape, *values.shape[1:]).index_put((present,), values)
