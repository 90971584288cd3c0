"""Volumes as images and back: networks born on images see a neck as radiology shows it."""

from torch import Tensor

_IN_PLANE = (2, 3)
_ALL = (2, 3, 4)


def to_images(volume: Tensor) -> Tensor:
    """Map (N, C, I, J, K) in RAS order to (N, C, rows, columns, slices).

    Rows run from anterior to posterior, columns from the patient's right to the left, slices from
    the head down: the order in which RSNA's files, and so the published networks, have them.
    """
    return volume.transpose(*_IN_PLANE).flip(_ALL)


def to_volume(images: Tensor) -> Tensor:
    """Undo ``to_images``."""
    return images.flip(_ALL).transpose(*_IN_PLANE)
