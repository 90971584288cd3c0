"""Every preset, by the name of the row that it trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cspine_zoo.errors import UsageError
from cspine_zoo.training.classifier_presets import CLASSIFIERS
from cspine_zoo.training.localizer_presets import LOCALIZERS
from cspine_zoo.training.recipes import Preset
from cspine_zoo.training.segmenter_presets import SEGMENTERS

PRESETS: Final[Mapping[str, Preset]] = {
    preset.name: preset for preset in (*SEGMENTERS, *CLASSIFIERS, *LOCALIZERS)
}


def preset_named(name: str) -> Preset:
    """The preset of a row.

    Raises:
        UsageError: there is none.
    """
    if name not in PRESETS:
        raise UsageError(
            "unknown_preset", f"no preset {name!r}", hint=f"Known: {', '.join(PRESETS)}."
        )
    return PRESETS[name]
