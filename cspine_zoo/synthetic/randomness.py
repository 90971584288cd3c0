"""Randomness that is named, so that one part of a scene can change and the rest stays."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Generator of the part called ``names`` of the scene ``seed``."""
    words = [zlib.crc32(str(name).encode()) for name in names]
    return np.random.default_rng([seed, *words])


@dataclass(frozen=True)
class Waves:
    """A smooth random field: a sum of sine waves, the same at every resolution.

    Attributes:
        wave_vectors: (w, 3) in radians per mm.
        phases: (w,).
        amplitudes: (c, w), one row an output channel.
    """

    wave_vectors: np.ndarray
    phases: np.ndarray
    amplitudes: np.ndarray

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        channels: int,
        amplitude: float,
        wavelength_mm: tuple[float, float],
        count: int = 5,
    ) -> Waves:
        """Waves of standard deviation ``amplitude`` with wavelengths from a range in mm."""
        directions = rng.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        shortest, longest = (float(end) for end in np.log(wavelength_mm))
        lengths = np.exp(rng.uniform(shortest, longest, size=(count, 1)))
        amplitudes = rng.normal(size=(channels, count)) * amplitude * np.sqrt(2 / count)
        return cls(2 * np.pi * directions / lengths, rng.uniform(0, 2 * np.pi, count), amplitudes)

    def at(self, points: Tensor) -> Tensor:
        """Values (c, n) at points (3, n)."""
        vectors = torch.as_tensor(self.wave_vectors, dtype=points.dtype, device=points.device)
        phases = torch.as_tensor(self.phases, dtype=points.dtype, device=points.device)
        amplitudes = torch.as_tensor(self.amplitudes, dtype=points.dtype, device=points.device)
        return amplitudes @ torch.sin(vectors @ points + phases[:, None])


def noise(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    correlation_mm: float,
) -> Tensor:
    """Gaussian noise of mean 0 and variance about 1 on a grid, smooth below ``correlation_mm``.

    White noise on a lattice of that spacing, interpolated; where voxels are larger than the
    correlation length their averaging lowers the variance, as in a real scan.
    """
    factors = [max(1.0, correlation_mm / s) for s in spacing_mm]
    coarse = [max(2, round(n / f) + 1) for n, f in zip(shape, factors, strict=True)]
    white = torch.from_numpy(rng.standard_normal(coarse, dtype=np.float32))
    shrink = float(np.prod([min(1.0, correlation_mm / s) for s in spacing_mm])) ** 0.5
    if coarse == list(shape):
        return cast(Tensor, white * shrink)
    fine = functional.interpolate(
        white[None, None], size=shape, mode="trilinear", align_corners=True
    )[0, 0]
    return cast(Tensor, fine * (shrink / float(fine.std().clamp_min(1e-3))))
