"""One card a model: what it cannot do, what it was measured at, and how to get its weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any, Final

import streamlit as st

import cspine_zoo as cz
from jobs import Failure, Report
from markup import show_failure
from state import Fetch, Visit, engine, visit
from tables import metric_rows

TASKS: Final = {
    "fracture-classification": "Fracture classifiers",
    "vertebra-segmentation": "Segmenters",
    "fracture-localization": "Localisers",
}
WEIGHTS: Final = {
    "here": ("On this machine", ("bundled", "cached")),
    "remote": ("To be fetched", ("remote",)),
    "none": ("None published", ("none",)),
}
_BADGES: Final = {
    "bundled": ":green-badge[:material/check: comes with the package]",
    "cached": ":green-badge[:material/check: fetched before]",
    "remote": ":blue-badge[:material/download: to be fetched]",
    "none": ":gray-badge[:material/block: no weights published]",
}
_HEADLINES: Final = {
    "vertebra auc": "vertebra AUC",
    "patient auc": "patient AUC",
    "identification_rate": "vertebrae named right",
    "centroid_error_mm": "mm between found and true centre",
}
_ALL: Final = "all"


def chosen_rows(rows: Sequence[Any]) -> list[Any]:
    """Filters, and the rows that pass them."""
    tasks = [task for task in TASKS if any(row.task == task for row in rows)]
    states = [key for key, (_, own) in WEIGHTS.items() if any(row.available in own for row in rows)]
    with st.container(horizontal=True, gap="medium"):
        task = _filter("Task", tasks, {task: TASKS[task] for task in tasks})
        state = _filter("Weights", states, {key: WEIGHTS[key][0] for key in states})
    return [
        row
        for row in rows
        if task in (_ALL, row.task) and (state == _ALL or row.available in WEIGHTS[state][1])
    ]


def _filter(label: str, options: list[str], titles: dict[str, str]) -> str:
    return st.segmented_control(
        label,
        [_ALL, *options],
        default=_ALL,
        format_func=lambda key: titles.get(key, "All"),
        key=f"models_{label.lower()}",
        required=True,
    )


def show_card(row: Any) -> None:
    """One model in a frame."""
    entry = _entry(row.name, tuple(file.sha256 for file in row.files))
    with st.container(border=True):
        st.markdown(f"##### {row.name}")
        st.markdown(f"{TASKS.get(row.task, row.task)[:-1]} {_BADGES[row.available]}")
        st.markdown(f":material/warning: {entry.limitations[0]}")
        st.caption(_facts(row))
        _show_weights(row)
        with st.expander("Card"):
            _show_whole_card(entry)


@st.cache_resource(max_entries=256, show_spinner=False)
def _entry(name: str, weights: tuple[str, ...]) -> cz.ManifestEntry:
    """A row is read once a server: each reading validates the whole manifest."""
    return cz.find_entry(name)


def _facts(row: Any) -> str:
    parts = [f"{row.parameters / 1e6:.2f} million parameters"]
    if row.size_bytes:
        parts.append(f"{row.size_bytes / 1e6:.1f} MB")
        parts.append(f"weights {row.licence.weights}")
    parts += [
        f"{_HEADLINES[metric.name]} {metric.value:.2f}"
        + (f" ({metric.ci95[0]:.2f} to {metric.ci95[1]:.2f})" if metric.ci95 else "")
        for metric in row.metrics
        if metric.name in _HEADLINES
    ]
    return " · ".join(parts)


def _show_whole_card(entry: cz.ManifestEntry) -> None:
    _section("Limitations", "\n".join(f"- {text}" for text in entry.limitations))
    _section("Intended use", entry.intended_use)
    if entry.metrics:
        for dataset in dict.fromkeys(metric.dataset for metric in entry.metrics):
            own = [metric for metric in entry.metrics if metric.dataset == dataset]
            _section("Measured", dataset)
            st.table(metric_rows(own), border="horizontal", hide_index=True)
            commands = dict.fromkeys(metric.command for metric in own)
            st.code("\n".join(commands), language="bash", wrap_lines=True)
    else:
        _section("Measured", "Nothing has been measured.")
    _section("Training data", entry.training_data)
    network = f"`{entry.architecture.name}`, labels {', '.join(entry.labels)}."
    if entry.segmenter:
        network += f" Works on the vertebrae that `{entry.segmenter}` finds."
    _section("Network", network)
    licence = entry.licence
    _section("Licences", f"Code {licence.code}; weights {licence.weights}; data {licence.data}.")
    _section("Citation", entry.citation)
    if entry.files:
        st.caption("sha256 of the weights")
        st.code("\n".join(file.sha256 for file in entry.files), language=None, wrap_lines=True)


def _section(title: str, text: str) -> None:
    if text:
        st.markdown(f"**{title}**\n\n{text}")


def _show_weights(row: Any) -> None:
    memory = visit()
    if row.available == "none":
        st.markdown("Nobody has published weights for this network. Train it, or convert a file:")
        st.code(
            f"cspine-zoo train {row.name} --data synthetic --out DIR\n"
            f"cspine-zoo convert FILE.pth --model {row.name} --out FILE.safetensors",
            language="bash",
            wrap_lines=True,
        )
    elif row.name in memory.fetches:
        _watch_fetch(row.name)
    elif row.available == "remote":
        st.button(
            f"Fetch {row.size_bytes / 1e6:.0f} MB",
            icon=":material/download:",
            key=f"fetch_{row.name}",
            on_click=_start,
            args=(memory, row.name),
        )


def _start(memory: Visit, name: str) -> None:
    stop = Event()

    def fetch(report: Report) -> list[Path]:
        watch = cz.Watch(
            lambda arrived: report(arrived.source, arrived.received / arrived.size), stop
        )
        return cz.download([name], watch=watch)

    memory.fetches[name] = Fetch(engine().fetching.submit(fetch), stop)


@st.fragment(run_every=0.5)
def _watch_fetch(name: str) -> None:
    memory = visit()
    fetch = memory.fetches.get(name)
    if fetch is None or fetch.ticket.state in ("done", "cancelled"):
        memory.fetches.pop(name, None)
        st.rerun()
        return
    failure = fetch.ticket.progress.failure
    if failure is not None:
        _show_failed(memory, name, failure)
        return
    if fetch.ticket.state == "queued":
        ahead = engine().fetching.ahead(fetch.ticket)
        st.progress(0.0, text=f"Waiting: {ahead} before this" if ahead else "Starting")
    for source, fraction in list(fetch.ticket.progress.stages.items())[-1:]:
        st.progress(fraction, text=f"{fraction:.0%} from {source}")
    if st.button("Cancel", icon=":material/close:", key=f"cancel_{name}"):
        fetch.cancel()
        del memory.fetches[name]
        st.rerun()


def _show_failed(memory: Visit, name: str, failure: Failure) -> None:
    show_failure(failure)
    if st.button("Close", key=f"close_{name}"):
        del memory.fetches[name]
        st.rerun()
