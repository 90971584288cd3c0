"""Parts of a vertebra as soft regions of its frame: 1 within, 0 outside."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cspine_zoo.synthetic.morphometry import VertebraSize


@dataclass(frozen=True)
class Zones:
    """Regions of one level; those of label maps lie there too, as all frames are set alike."""

    level: str
    size: VertebraSize

    def body(self, local: Tensor) -> Tensor:
        """The vertebral body without the dens; nothing of C1."""
        if self.level == "C1":
            return torch.zeros_like(local[0])
        s = self.size
        # Pedicles leave the body at its back corners.
        behind = torch.sigmoid((local[1] + s.half_depth + 0.5) / 0.8)
        beside = torch.sigmoid((s.half_width + 2.0 - local[0].abs()) / 0.8)
        below = 1.0 if self.level != "C2" else torch.sigmoid((s.half_height - local[2]) / 1.5)
        return behind * beside * below

    def relative(self, local: Tensor) -> Tensor:
        """Place (3, n) in the body in half sizes, limited to its edges."""
        s = self.size
        half = torch.tensor([[s.half_width], [s.half_depth], [s.half_height]], device=local.device)
        return (local / half).clamp(-1, 1)

    def wall(self, local: Tensor) -> Tensor:
        """Thickness of the body's cortex relative to its side walls: end plates are thicker."""
        return self.body(local) * (0.7 + 0.9 * self._lid(local, 0.6))

    def plates(self, local: Tensor) -> Tensor:
        """Spongy bone under the end plates."""
        return self.body(local) * self._lid(local, 1.1)

    def rims(self, local: Tensor) -> Tensor:
        """Edges of the end plates, where osteophytes grow."""
        near = self.relative(local)[:2].square().sum(0)
        return self.plates(local) * torch.sigmoid((near - 0.75) / 0.08)

    def facets(self, local: Tensor) -> Tensor:
        """Bone under the joint surfaces of the pillars, of C1's lateral masses and C2's."""
        s = self.size
        x = local[0].abs() - s.pillar_x
        if self.level == "C1":
            y, half = local[1] + 12.0, 6.5
        elif self.level == "C2":
            y, half = local[1] + 8.0, 7.0
        else:
            y, half = local[1] + s.half_depth + 8.0, 5.5
        across = torch.exp(-(x.square() + y.square()) / 72.0)
        return across * torch.exp(-((local[2].abs() - half) / 3.2).square())

    def _lid(self, local: Tensor, softness_mm: float) -> Tensor:
        edge = self.size.half_height - 2.0 * softness_mm
        return torch.sigmoid((local[2].abs() - edge) / softness_mm)
