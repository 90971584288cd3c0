"""``report.html``: an evaluation as one file that opens in any browser, offline."""

from __future__ import annotations

from html import escape
from typing import Final

from plotly.offline import get_plotlyjs

from cspine_zoo import __version__
from cspine_zoo.evaluation.evaluated import Evaluated
from cspine_zoo.evaluation.sections import Drawn, Sections
from cspine_zoo.export.html import NOTICE, STYLE

SYNTHETIC_NOTICE: Final = "Figures on synthetic CT say nothing about patients."

_OWN_STYLE: Final = """
body { max-width: 74rem; }
h1 { margin-bottom: .2rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #bbb; }
h3 { margin: 1.2rem 0 .2rem; font-size: 1rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
.legend { display: flex; flex-wrap: wrap; gap: 0 1.2rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.scroll th, .scroll td { white-space: nowrap; padding-right: 1.2rem; }
.scroll td { font-variant-numeric: tabular-nums; }
thead th { border-bottom: 2px solid #999; vertical-align: bottom; }
tbody th { font-weight: normal; }
.span { color: #666; font-size: .8em; }
.grid { display: grid; gap: 1rem 2rem; margin: 1rem 0;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.grid > figure { margin: 0; min-width: 0; max-width: 48rem; }
figcaption { font-weight: 600; overflow-wrap: anywhere; }
.cuts { display: flex; flex-wrap: wrap; justify-content: center; gap: .5rem;
        background: #000; padding: .5rem; }
.cuts img { max-width: 100%; height: auto; align-self: center; }
.study { margin: 0; min-width: 0; overflow-wrap: anywhere; }
@media (max-width: 30rem) { body { margin: 1rem auto; font-size: 14px; } }
"""


def to_page(evaluated: Evaluated, drawn: Drawn | None = None) -> str:
    """One HTML document: no address in it leads out of the file.

    Models are called by the last part of their path. Studies are called by their UID only where
    they are synthetic or pictures of them were asked for: a UID leads to a patient.

    Args:
        evaluated: what is reported.
        drawn: pictures of the studies of ``evaluated.worst()``; None for no pictures.
    """
    sections = Sections(evaluated, drawn)
    notice = NOTICE + (f" {SYNTHETIC_NOTICE}" if evaluated.synthetic else "")
    parts = [
        (key, title, content)
        for key, title, content in (
            ("discrimination", "Discrimination", sections.discrimination()),
            ("calibration", "Calibration", sections.calibration()),
            ("levels", "Levels", sections.levels()),
            ("strata", "Strata", sections.strata()),
            ("comparison", "Comparison of models", sections.comparison()),
            ("segmentation", "Segmentation", sections.segmentation()),
            ("findings", "Findings", sections.findings()),
            ("worst", "Worst studies", sections.worst()),
        )
        if content
    ]
    links = " ".join(f"<a href='#{key}'>{title}</a>" for key, title, _ in parts)
    body = "\n".join(
        [
            f"<p class='notice'>{escape(notice)}</p>\n<h1>Evaluation of fracture classifiers</h1>",
            sections.overview(),
            f"<nav>{links}</nav>\n<noscript><p>Charts need JavaScript; every figure is in the "
            "tables.</p></noscript>",
            *(f"<h2 id='{key}'>{title}</h2>\n{content}" for key, title, content in parts),
            f"<p class='faint'>Made with cspine_zoo {escape(__version__)}.</p>",
        ]
    )
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width'>\n"
        f"<title>Evaluation of fracture classifiers</title>\n<style>{STYLE}{_OWN_STYLE}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
