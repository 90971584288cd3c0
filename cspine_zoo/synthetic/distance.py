"""Signed distances to simple solids: negative inside, in mm.

Points are tensors of shape (3, n): rows x (right), y (anterior), z (superior). Distances of
scaled or warped solids are bounds rather than exact, which rendering tolerates.

References:
    Quilez, "Distance functions" (capsule, ellipsoid bound, polynomial smooth minimum).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Point = Sequence[float]


def _column(point: Point, like: Tensor) -> Tensor:
    return torch.tensor(point, dtype=like.dtype, device=like.device)[:, None]


def length(vectors: Tensor) -> Tensor:
    """Euclidean length (n,) of columns (c, n); far faster than a norm over the first axis."""
    squared = vectors[0] * vectors[0]
    for row in vectors[1:]:
        squared = torch.addcmul(squared, row, row)
    return squared.sqrt_()


def mirrored(points: Tensor) -> Tensor:
    """Fold the left half onto the right, for solids that are symmetric about x = 0."""
    return torch.stack((points[0].abs(), points[1], points[2]))


def capsule(
    points: Tensor, start: Point, end: Point, radius: float, end_radius: float | None = None
) -> Tensor:
    """Distance to a segment with a radius at each end."""
    a, b = _column(start, points), _column(end, points)
    axis = b - a
    from_start = points - a
    along = ((axis / (axis * axis).sum())[:, 0] @ from_start).clamp_(0, 1)
    distance = length(torch.addcmul(from_start, axis, along[None], value=-1))
    if end_radius is None:
        return distance - radius
    return distance - (radius + (end_radius - radius) * along)


def chain(
    points: Tensor, path: Sequence[Point], radius: float, end_radius: float | None = None
) -> Tensor:
    """Distance to a tube along a polyline, its radius changing evenly from end to end."""
    last = len(path) - 1
    end_radius = radius if end_radius is None else end_radius
    radii = [radius + (end_radius - radius) * i / last for i in range(last + 1)]
    pieces = [capsule(points, path[i], path[i + 1], radii[i], radii[i + 1]) for i in range(last)]
    return union(pieces)


def ellipsoid(points: Tensor, centre: Point, radii: Point) -> Tensor:
    """Distance bound to an axis-aligned ellipsoid."""
    r = _column(radii, points)
    q = (points - _column(centre, points)) / r
    k0 = length(q)
    k1 = length(q / r).clamp_min(1e-6)
    return k0 * (k0 - 1) / k1


def rounded_box(points: Tensor, centre: Point, half: Point, radius: float) -> Tensor:
    """Distance to an axis-aligned box of half sizes ``half`` with rounded edges."""
    q = (points - _column(centre, points)).abs() - (_column(half, points) - radius)
    outside = length(q.clamp_min(0))
    return outside + q.amax(0).clamp_max(0) - radius


def elliptic_column(points: Tensor, centre: Point, half: Point, power: float = 2.6) -> Tensor:
    """Distance bound to an upright column whose outline is a superellipse, edges a little round."""
    q = points - _column(centre, points)
    outline = ((q[0].abs() / half[0]) ** power + (q[1].abs() / half[1]) ** power).clamp_min(1e-6)
    side = (outline ** (1 / power) - 1) * min(half[0], half[1])
    lid = q[2].abs() - half[2]
    return smooth_maximum(side, lid, 3.0)


def union(distances: Sequence[Tensor]) -> Tensor:
    """The nearest of several solids."""
    nearest = distances[0]
    for distance in distances[1:]:
        nearest = torch.minimum(nearest, distance)
    return nearest


def smooth_union(distances: Sequence[Tensor], blend_mm: float) -> Tensor:
    """Several solids, grown together where they meet."""
    nearest = distances[0]
    for distance in distances[1:]:
        overlap = (blend_mm - (nearest - distance).abs()).clamp_min(0)
        nearest = torch.minimum(nearest, distance) - overlap * overlap / (4 * blend_mm)
    return nearest


def smooth_maximum(first: Tensor, second: Tensor, blend_mm: float) -> Tensor:
    """Intersection of two solids with a rounded edge."""
    overlap = (blend_mm - (first - second).abs()).clamp_min(0)
    return torch.maximum(first, second) + overlap * overlap / (4 * blend_mm)


def subtract(solid: Tensor, hole: Tensor) -> Tensor:
    """The solid without the hole."""
    return torch.maximum(solid, -hole)
