"""Which study: a sample with known truth, or one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

import cspine_zoo as cz
from jobs import Failure, Report
from markup import show_failure, show_notices
from state import Intake, Study, Visit, centre_crosshair, engine, visit
from tables import series_rows
from uploads import LIMIT_MB, Spool

_SAMPLE, _OWN = "Sample", "Your own"
_LIMITS = (
    f"A zip of DICOM files (quickest), DICOM files, a folder, or one NIfTI of CT in HU; up to "
    f"{LIMIT_MB} MB a file. Read in memory of this server, shown to you alone, and gone with "
    "“Delete now” or when you leave. Do not upload what you may not share with this machine."
)


@dataclass(frozen=True)
class Order:
    """What is to be read."""

    title: str
    source: Path
    truth: Mapping[str, int] = field(default_factory=dict)
    sample: str = ""
    spool: Spool | None = None
    series: int | None = None


def show_study() -> None:
    """Source, reading, and the facts of what was read."""
    memory = visit()
    st.subheader("Study", anchor=False)
    _take_in(memory)
    samples = cz.sample_studies()
    kinds = [_SAMPLE, _OWN] if samples else [_OWN]
    kind = st.segmented_control(
        "Where the study comes from",
        kinds,
        default=kinds[0],
        required=True,
        key="source",
        persist_state="session",
        label_visibility="collapsed",
        width="stretch",
    )
    if kind == _SAMPLE:
        _choose_sample(memory, samples)
    else:
        _upload(memory)
    if memory.intake is not None:
        _watch_reading()
    elif memory.refusal is not None:
        show_failure(memory.refusal)
    elif memory.study is not None:
        _show_facts(memory.study)


def _choose_sample(memory: Visit, samples: tuple[cz.SampleStudy, ...]) -> None:
    by_name = {sample.name: sample for sample in samples}
    name = st.selectbox(
        "Sample study",
        list(by_name),
        format_func=lambda key: by_name[key].title,
        key="sample",
        persist_state="session",
        label_visibility="collapsed",
    )
    sample = by_name[name]
    st.caption(sample.description)
    holder = memory.intake or memory.study
    refused = memory.refusal is not None and holder is None
    if not refused and (holder is None or holder.sample != name):
        memory.forget_study()
        _start(memory, Order(sample.title, sample.path, sample.truth, name))


def _upload(memory: Visit) -> None:
    holder = memory.intake or memory.study
    if holder is not None and holder.sample:
        memory.forget_study()  # else Run would be of the sample, up to the moment of the upload
    elif holder is not None:
        st.button(
            "Delete now", icon=":material/delete:", on_click=memory.forget_study, width="stretch"
        )
        return
    as_folder = st.toggle("Choose a folder", key="as_folder")
    chosen = st.file_uploader(
        "Upload a study",
        accept_multiple_files="directory" if as_folder else True,
        max_upload_size=LIMIT_MB,
        key=f"upload_{memory.upload_round}_{int(as_folder)}",
        label_visibility="collapsed",
    )
    st.caption(_LIMITS)
    if chosen:
        memory.forget_study()
        spool = Spool(chosen)
        _start(memory, Order(spool.title, spool.source, spool=spool))
        # The next run has an uploader with a new key, so that Streamlit drops its own copy.
        st.rerun()


def _start(memory: Visit, order: Order) -> None:
    source, series = order.source, order.series

    def read(report: Report) -> cz.CTVolume:
        report("read", 0.0)
        return cz.read_ct(source, series=series)

    ticket = engine().reading.submit(read)
    memory.intake = Intake(order.title, ticket, order.truth, order.sample, order.spool)


def _take_in(memory: Visit) -> None:
    """Turn a finished reading into the study, or into the reason why there is none."""
    intake = memory.intake
    if intake is None or not intake.ticket.over:
        return
    memory.intake = None
    if intake.ticket.state == "done":
        ct = intake.ticket.result
        memory.study = Study(intake.title, ct, intake.truth, intake.sample, intake.spool)
        centre_crosshair(ct)
        if intake.spool is not None and len(_readable(ct)) < 2:
            intake.spool.delete()
            memory.study.spool = None
        return
    failure = intake.ticket.progress.failure
    memory.refusal = failure or Failure("cancelled", "Reading was stopped.")
    if intake.spool is not None:
        name = intake.spool.original(memory.refusal.file) if memory.refusal.file else ""
        memory.refusal = Failure(
            memory.refusal.code,
            memory.refusal.reason.replace(str(intake.spool.root), intake.spool.title),
            name,
            memory.refusal.hint,
            memory.refusal.details,
        )
        intake.spool.delete()


@st.fragment(run_every=0.4)
def _watch_reading() -> None:
    memory = visit()
    if memory.intake is None or memory.intake.ticket.over:
        st.rerun()
        return
    ticket = memory.intake.ticket
    ahead = engine().reading.ahead(ticket)
    place = f"waiting, {ahead} before you" if ticket.state == "queued" and ahead else "reading"
    st.status(f"{place.capitalize()} … {ticket.progress.seconds:.0f} s").text(memory.intake.title)


def _readable(ct: cz.CTVolume) -> list[int]:
    """Series that could be read instead of the chosen one."""
    return [series.index for series in ct.report.series if series.shape is not None]


def _show_facts(study: Study) -> None:
    ct, report = study.ct, study.ct.report
    if not study.sample:
        st.text(study.title)
    i, j, k = ct.geometry.shape
    mm = ct.geometry.spacing_mm
    facts = {
        "Voxels": f"{i} × {j} × {k}",
        "Spacing": f"{mm[0]:.2f} × {mm[1]:.2f} × {mm[2]:.2f} mm",
        "Field of view": f"{i * mm[0]:.0f} × {j * mm[1]:.0f} × {k * mm[2]:.0f} mm",
        "Files": f"{len(report.used)} used, {len(report.skipped)} skipped",
        "Read in": f"{report.seconds:.1f} s",
    }
    st.table(
        {"": list(facts), "value": list(facts.values())},
        border="horizontal",
        hide_index=True,
        hide_header=True,
    )
    show_notices(report.warnings)
    if len(report.series) > 1:
        with st.expander(f"{len(report.series)} series in this study"):
            st.dataframe(series_rows(report.series), hide_index=True)
    if report.skipped:
        with st.expander(f"{len(report.skipped)} files skipped"):
            original = study.spool.original if study.spool else Path
            st.dataframe(
                [
                    {"file": str(original(file.file)), "code": file.code, "reason": file.reason}
                    for file in report.skipped
                ],
                hide_index=True,
            )
    _choose_series(study)


def _choose_series(study: Study) -> None:
    series = {entry.index: entry for entry in study.ct.report.series}
    readable = _readable(study.ct)
    if study.spool is None or len(readable) < 2:
        return
    chosen = next((index for index in readable if series[index].chosen), readable[0])
    wanted = st.selectbox(
        "Series",
        readable,
        index=readable.index(chosen),
        format_func=lambda index: f"{index}: {series[index].shape}, {series[index].reason}",
    )
    if wanted != chosen:
        memory, spool = visit(), study.spool
        study.spool = None  # it goes on to the next reading
        memory.forget_study()
        _start(memory, Order(spool.title, spool.source, spool=spool, series=wanted))
        st.rerun()
