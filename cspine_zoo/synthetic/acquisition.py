"""What the scanner does to a rendered scene: blur, slice profile, noise, streaks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cspine_zoo.synthetic.families import QUANTUM, Families
from cspine_zoo.synthetic.randomness import noise, stream

_FWHM_OF_SIGMA: Final = 2.355
"""Full width at half maximum of a Gaussian with standard deviation 1."""


@dataclass(frozen=True)
class Acquisition:
    """Settings of one scan.

    Attributes:
        kernel_mm: full width at half maximum of the in-plane blur.
        slice_mm: thickness of the slice profile.
        noise_hu: standard deviation of the noise at the level of the neck.
        grain_mm: correlation length of the noise in plane.
        streak_hu: strength of the horizontal streaks between the shoulders.
        sharpness: how much a kernel lifts edges; negative for soft ones.
        coarse: share of the noise that is blotchy and not fine.
        rise: how much more noise there is between the shoulders than at the neck.
    """

    kernel_mm: float
    slice_mm: float
    noise_hu: float
    grain_mm: float
    streak_hu: float
    sharpness: float = 0.0
    coarse: float = 0.0
    rise: float = 1.5

    @classmethod
    def draw(cls, rng: np.random.Generator, slice_mm: tuple[float, float]) -> Acquisition:
        """Random settings; thicker slices are less noisy."""
        thickness = float(np.exp(rng.uniform(*np.log(slice_mm))))
        return cls(
            kernel_mm=rng.uniform(0.4, 1.7),
            slice_mm=thickness,
            noise_hu=float(np.exp(rng.uniform(np.log(6), np.log(75)))) / max(1.0, thickness) ** 0.5,
            grain_mm=rng.uniform(0.4, 1.6),
            streak_hu=rng.uniform(0, 60),
        )

    def varied(self, seed: int, families: Families) -> Acquisition:
        """The same scan with noise that depends on nothing else, and with kernels of any kind."""
        if QUANTUM not in families:
            return self
        rng = stream(seed, QUANTUM)
        return replace(
            self,
            noise_hu=float(np.exp(rng.uniform(np.log(4), np.log(90)))),
            sharpness=float(rng.uniform(-0.2, 1.4)) if rng.random() < 0.7 else 0.0,
            coarse=float(rng.uniform(0, 0.7)),
            rise=float(rng.uniform(0.2, 3.0)),
        )

    def apply(
        self,
        hu: Tensor,
        spacing_mm: tuple[float, float, float],
        seed: int,
        shoulders: Tensor,
        averaged_mm: float = 0.0,
    ) -> Tensor:
        """Scan a rendered grid.

        Args:
            hu: (I, J, K).
            spacing_mm: of the grid.
            seed: of the noise; twins share it.
            shoulders: (K,) 0 at the neck to 1 between the shoulders.
            averaged_mm: thickness over which HU are averages already.

        Returns:
            Whole HU as float32, -1024 to 3071.
        """
        rng = stream(seed, "noise")
        in_plane = self.kernel_mm / _FWHM_OF_SIGMA
        # variances add up; that of an average over a thickness is a twelfth of its square
        rest = (self.slice_mm / _FWHM_OF_SIGMA) ** 2 - averaged_mm**2 / 12
        sigmas = (in_plane, in_plane, max(rest, 0.0) ** 0.5)
        blurred = hu
        for axis, (sigma, spacing) in enumerate(zip(sigmas, spacing_mm, strict=True)):
            blurred = blur(blurred, axis, sigma / spacing)
        if self.sharpness:
            soft = blurred
            for axis in (0, 1):
                soft = blur(soft, axis, 0.8 / spacing_mm[axis])
            blurred = blurred + self.sharpness * (blurred - soft)
        shape = (hu.shape[0], hu.shape[1], hu.shape[2])
        grain = (self.grain_mm, self.grain_mm, 0.3)
        fine = (
            noise(rng, shape, spacing_mm, self.grain_mm)
            if grain[0] > spacing_mm[0]
            else _white(rng, shape)
        )
        if self.coarse:
            blotchy = noise(stream(seed, QUANTUM, "blotches"), shape, spacing_mm, 3.0)
            fine = (1 - self.coarse) ** 0.5 * fine + self.coarse**0.5 * blotchy
        fine, shoulders = fine.to(hu.device), shoulders.to(hu.device)
        noisy = blurred + self.noise_hu * fine * (1 + self.rise * shoulders)
        lines = torch.from_numpy(rng.standard_normal((1, shape[1], shape[2]), dtype=np.float32))
        lines = blur(lines, 1, 0.8).to(hu.device)
        wander = noise(rng, shape, spacing_mm, 60.0).to(hu.device)
        noisy = noisy + self.streak_hu * shoulders * lines * (0.7 + 0.5 * wander)
        return noisy.round().clamp(-1024, 3071)


def _white(rng: np.random.Generator, shape: tuple[int, int, int]) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def blur(volume: Tensor, axis: int, sigma: float) -> Tensor:
    """Gaussian blur along one axis; ``sigma`` in voxels."""
    if sigma < 0.2:
        return volume
    radius = max(1, int(np.ceil(3 * sigma)))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device=volume.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    lines = volume.movedim(axis, -1)
    flat = functional.pad(lines.reshape(-1, 1, lines.shape[-1]), (radius, radius), mode="replicate")
    return (
        functional.conv1d(flat, kernel[None, None])
        .reshape(lines.shape)
        .movedim(-1, axis)
        .contiguous()
    )
