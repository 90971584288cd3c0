"""How often RSNA 2022's patients are fractured, and where."""

from __future__ import annotations

from typing import Final

TRAINING_PREVALENCE: Final = (0.0723, 0.1412, 0.0362, 0.0535, 0.0802, 0.1372, 0.1947, 0.4760)
"""Share of fractured levels, C1-C7, and patients in the 2,019 studies of RSNA's train.csv."""
