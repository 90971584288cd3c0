"""A tiny classifier, and vertebrae of random numbers to train it on."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.training.classifier_presets import LIGHT, SOURCES
from cspine_zoo.training.recipes import EndToEndPreset
from cspine_zoo.training.records import MAP_PX, Vertebrae, VertebraRecord, record, write_shard

CHANNELS = ("previous", "slice", "next", "mask")
SMALL = replace(LIGHT[0].preprocess, size_px=24, n_slices=5)
TINY = replace(
    LIGHT[2],
    preprocess=SMALL,
    arguments=LIGHT[2].arguments | {"features": 8, "hidden": 4},
    batch=8,
    encoder_passes=1,
    head_passes=2,
    shards=1,
)
TINY_SEVEN = replace(
    TINY,
    name=LIGHT[3].name,
    architecture=LIGHT[3].architecture,
    arguments=LIGHT[3].arguments | {"features": 8, "hidden": 4},
    batch=14,
)


def tiny_source(name: str) -> EndToEndPreset:
    """The preset of a source system's row with a network of thousands of parameters."""
    preset = next(preset for preset in SOURCES if preset.name == name)
    small = {"backbone": "test_resnet", "in_channels": 4, "features": 4, "hidden": 3, "layers": 1}
    return replace(
        preset,
        arguments=preset.arguments | small,
        preprocess=SMALL,
        batch=4,
        accumulate=2,
        passes=1,
        shards=3,
    )


def made_up_records(pairs: int) -> list[VertebraRecord]:
    """Broken and whole in turn, level after level; fractures on the second and third slice."""
    rng = np.random.default_rng(1)
    maps = np.zeros((5, MAP_PX, MAP_PX), np.uint8)
    maps[1:3, 8:16, 8:12] = 255
    truth = np.zeros(5, bool)
    truth[1:3] = True
    records = []
    for number in range(pairs):
        images = rng.integers(0, 255, (2, 5, 4, 24, 24)).astype(np.uint8)
        level, patient = LEVELS[number % 7], number // 7
        studies = f"{patient}-broken", f"{patient}-whole"
        records += [
            record(images[0], 1, level, studies[0], studies[1], maps, truth),
            record(images[1], 0, level, studies[1], studies[0]),
        ]
    return records


def made_up_cache(cache: Path, pairs: int) -> Vertebrae:
    """The same on disk."""
    cache.mkdir(parents=True, exist_ok=True)
    write_shard(cache / "shard-00000", made_up_records(pairs))
    return Vertebrae(cache)


@dataclass(frozen=True)
class MadeUp:
    """A source of shards with ``pairs`` each, some of them empty."""

    shards: int
    pairs: int
    empty: tuple[int, ...] = ()

    @property
    def studies(self) -> int:
        """Two of each patient, who has up to seven pairs; four count as one shard's."""
        return 4 * self.shards

    def records(self, number: int) -> list[VertebraRecord]:
        """The same in every shard that has any."""
        return [] if number in self.empty else made_up_records(self.pairs)
