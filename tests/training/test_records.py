"""Records of vertebrae, in memory and on disk."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cspine_zoo.errors import UsageError
from cspine_zoo.training.crop_cache import make_shards
from cspine_zoo.training.records import Vertebrae, VertebraRecord, dequantised, quantised
from tests.training.made_up import CHANNELS, made_up_records


def test_bytes_hold_crops_to_half_a_step() -> None:
    rng = np.random.default_rng(1)
    images = rng.uniform(-1, 1, (3, 4, 8, 8)).astype(np.float32)
    images[:, 3] = rng.integers(0, 2, (3, 8, 8))
    stored = quantised(images, CHANNELS)
    assert stored.dtype == np.uint8
    back = dequantised(torch.from_numpy(stored), CHANNELS).numpy()
    assert np.abs(back - images).max() <= 1 / 255 + 1e-6
    assert np.array_equal(back[:, 3], images[:, 3])


@dataclass
class Listed:
    """Records that are there already; notes which shards were asked for."""

    content: Sequence[Sequence[VertebraRecord]]
    asked: list[int] = field(default_factory=list)

    @property
    def shards(self) -> int:
        return len(self.content)

    def records(self, number: int) -> list[VertebraRecord]:
        self.asked.append(number)
        return list(self.content[number])


def test_a_cache_is_made_once_and_read_in_order(tmp_path: Path) -> None:
    records = made_up_records(5)
    source = Listed([records[:3], [], records[3:]])
    vertebrae = make_shards(tmp_path, source)
    assert source.asked == [0, 1, 2]
    make_shards(tmp_path, source)
    assert source.asked == [0, 1, 2]
    assert len(vertebrae) == 10
    assert vertebrae.studies.tolist() == [record.study for record in records]
    assert vertebrae.labels.tolist() == [1, 0] * 5
    for row, record in enumerate(records):
        assert np.array_equal(vertebrae.images(row), record.images)
        assert np.array_equal(vertebrae.slice_truth[row], record.slice_truth)
    rows, places = np.array([9, 0, 3]), np.array([4, 1, 2])
    for n, (row, place) in enumerate(zip(rows, places, strict=True)):
        assert np.array_equal(vertebrae.slices(rows, places)[n], records[row].images[place])
        assert np.array_equal(vertebrae.maps(rows, places)[n], records[row].fracture_map[place])


def test_twins_find_each_other_across_shards_and_by_level(tmp_path: Path) -> None:
    records = made_up_records(4)
    lonely = replace(records[0], study="another", twin="nobody")
    vertebrae = make_shards(tmp_path, Listed([records[:3], [*records[3:], lonely]]))
    assert vertebrae.twins.tolist() == [1, 0, 3, 2, 5, 4, 7, 6, -1]


def test_a_shard_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    records = made_up_records(2)
    draft = tmp_path / ".draft-shard-00000"
    draft.mkdir()
    (draft / "images.npy").write_bytes(b"half")
    assert len(make_shards(tmp_path, Listed([records]))) == 4


def test_a_cache_without_vertebrae_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make_shards(tmp_path, Listed([[], []]))
    assert caught.value.code == "no_vertebrae"


def test_a_whole_vertebra_shows_no_fracture() -> None:
    broken = made_up_records(1)[0]
    with pytest.raises(ValueError, match="no fracture"):
        replace(broken, label=0)
    with pytest.raises(ValueError, match="one truth"):
        replace(broken, slice_known=np.ones(2, bool))
    assert isinstance(broken, VertebraRecord)


def test_the_images_stay_on_disk(tmp_path: Path) -> None:
    make_shards(tmp_path, Listed([made_up_records(2)]))
    vertebrae = Vertebrae(tmp_path)
    assert all(isinstance(images, np.memmap) for images in vertebrae._images)
    assert torch.from_numpy(vertebrae.images(0)).shape == (5, 4, 24, 24)
