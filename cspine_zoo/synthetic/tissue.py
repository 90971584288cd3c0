"""Hounsfield units of the tissues of one scene, drawn at random around published values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tissues:
    """Hounsfield units and textures; thicknesses in mm.

    Attributes:
        cortex, cortex_mm: compact bone and its thickness.
        trabecular: mean of spongy bone.
        texture: standard deviation of spongy bone at each scale of ``TEXTURE_MM``.
        clutter: strength of vascular channels and clefts that are no fractures, 0 to 1.
        sclerosis: extra HU of dense patches.
        lobulation: share of fat between the muscles, 0 to 1.
    """

    cortex: float
    cortex_mm: float
    trabecular: float
    texture: tuple[float, ...]
    clutter: float
    sclerosis: float
    disc: float
    muscle: float
    fat: float
    fluid: float
    cord: float
    brain: float
    teeth: float
    cartilage: float
    air: float
    lung: float
    skin_fat_mm: float
    lobulation: float
    gap: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Tissues:
        """Random tissues; one scene in eight has contrasts far from those of real CT."""
        wild = 2.0 if rng.random() < 0.125 else 1.0
        spread = rng.uniform(25, 110) * wild
        shares = rng.dirichlet(np.ones(len(TEXTURE_MM)))
        return cls(
            cortex=rng.uniform(550, 1500),
            cortex_mm=rng.uniform(0.6, 1.7),
            trabecular=rng.uniform(110, 480) * (1 if wild == 1 else rng.uniform(0.6, 1.6)),
            texture=tuple(float(spread * np.sqrt(share)) for share in shares),
            clutter=rng.uniform(0.1, 1.0),
            sclerosis=rng.uniform(0, 450),
            disc=rng.uniform(45, 130),
            muscle=rng.uniform(35, 80),
            fat=rng.uniform(-120, -65),
            fluid=rng.uniform(0, 35),
            cord=rng.uniform(25, 55),
            brain=rng.uniform(20, 48),
            teeth=rng.uniform(1600, 2900),
            cartilage=rng.uniform(90, 500),
            air=rng.uniform(-1015, -970),
            lung=rng.uniform(-900, -760),
            skin_fat_mm=rng.uniform(2, 16),
            lobulation=rng.uniform(0.1, 0.9),
            gap=rng.uniform(15, 85),
        )


TEXTURE_MM = (1.0, 2.2, 5.0)
"""Correlation lengths of the spongy bone's texture."""
