"""Rows name their classes; labels and bone follow from the names, not from places."""

import pytest
import torch

from cspine_zoo.anatomy import CLASSES, DISC, LEVELS
from cspine_zoo.errors import ManifestError
from cspine_zoo.inference.decide import LEAST_SIGMOID, decide

SEVEN = LEVELS
EIGHT = (*LEVELS, "T1 and below")


def voxels(*rows: list[float]) -> torch.Tensor:
    """Logits of a row of voxels."""
    return torch.tensor(rows).T[:, :, None, None]


def test_classes_that_exclude_each_other_share_one() -> None:
    background, c3, torn, disc = (torch.full((10,), -9.0) for _ in range(4))
    background[0] = c3[3] = disc[DISC] = 3.0
    torn[0], torn[4], torn[5] = 0.5, 0.3, 0.2  # no level alone beats the background, both do
    found = decide(torch.stack([background, c3, torn, disc], 1)[:, :, None, None], CLASSES)
    assert found.labels.ravel().tolist() == [0, 3, 4, 9]
    expected = torch.stack([background, c3, torn, disc]).softmax(1)[:, 1:9].sum(1)
    torch.testing.assert_close(torch.from_numpy(found.bone.ravel()), expected)


@pytest.mark.parametrize("classes", [SEVEN, EIGHT], ids=len)
def test_sigmoids_count_from_a_fifth_and_the_strongest_names(classes: tuple[str, ...]) -> None:
    edge = torch.logit(torch.tensor(LEAST_SIGMOID)).item()
    rest = [-9.0] * (len(classes) - 2)
    found = decide(
        voxels([edge - 0.01, -9.0, *rest], [edge + 0.01, -9.0, *rest], [1.0, 2.0, *rest]), classes
    )
    assert found.labels.ravel().tolist() == [0, 1, 2]
    assert found.bone.ravel().tolist() == pytest.approx([0.5, 0.5, 0.97], abs=0.01)


def test_a_label_keeps_its_meaning_wherever_it_stands() -> None:
    logits = torch.randn(10, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    order = torch.tensor([9, 3, 0, 7, 1, 8, 2, 6, 5, 4])
    straight = decide(logits, CLASSES)
    mixed = decide(logits[order], [CLASSES[place] for place in order])
    assert (straight.labels == mixed.labels).all()
    torch.testing.assert_close(torch.from_numpy(straight.bone), torch.from_numpy(mixed.bone))


def test_below_the_neck_is_thorax() -> None:
    found = decide(voxels([-9.0] * 7 + [2.0]), EIGHT)
    assert found.labels.item() == 8


@pytest.mark.parametrize(
    "classes", [SEVEN[:6], (*SEVEN[:6], "C9"), (*SEVEN[:6], "C1"), ("background",) * 7], ids=str
)
def test_labels_that_do_not_fit_are_an_error_of_the_row(classes: tuple[str, ...]) -> None:
    with pytest.raises(ManifestError) as caught:
        decide(torch.zeros(7, 1, 1, 1), classes)
    assert caught.value.code == "bad_labels"


def test_a_row_without_a_neck_is_refused() -> None:
    with pytest.raises(ManifestError) as caught:
        decide(torch.zeros(2, 1, 1, 1), ("background", "disc"))
    assert caught.value.code == "bad_labels"
