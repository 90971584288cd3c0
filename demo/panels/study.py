"""Which study: a sample with known truth, or one's own."""

from __future__ import annotations

from typing import Final

import streamlit as st

import cspine_zoo as cz
import work
from cases import LINGER_SECONDS, Case, Intake, Order, readable
from jobs import failure_of
from markup import show_failure, show_notices
from state import Study, Visit, centre_crosshair, drop_uploads, engine, visit
from tables import series_rows
from twins import twin_of
from uploads import LIMIT_MB, Spool

SAMPLE: Final = "Sample"
OWN: Final = "Your own"
_LIMITS: Final = (
    f"A zip of DICOM files (quickest), DICOM files, a folder, or one NIfTI of CT in HU; up to "
    f"{LIMIT_MB} MB a file. Held by this server only while somebody looks at it: its files until "
    f"they have been read, its voxels in memory until “Delete now” or {LINGER_SECONDS:.0f} seconds "
    "after you leave. Nobody else sees it unless you send the link to your job. Do not upload what "
    "you may not share with this machine."
)
_BEFORE_READING: Final = "Preparing"
_LOST: Final = (
    "The job that this link names is not held here any more: it was deleted, or nobody has looked "
    "at it for a while. Choose a study and run again."
)


def show_study() -> None:
    """Source, reading, and the facts of what was read."""
    memory = visit()
    st.subheader("Study", anchor=False)
    if memory.lost:
        st.info(_LOST)
    samples = _samples()
    _show_source_of(memory)
    kinds = [SAMPLE, OWN] if samples else [OWN]
    if st.session_state.get("source") not in kinds:
        st.session_state["source"] = kinds[0]
    kind = st.segmented_control(
        "Where the study comes from",
        kinds,
        required=True,
        key="source",
        on_change=_forget_refusal,
        persist_state="session",
        label_visibility="collapsed",
        width="stretch",
    )
    if kind == SAMPLE:
        _choose_sample(memory, samples)
    else:
        _upload(memory)
    case = memory.case
    if case.intake is not None:
        _watch_reading()
    elif case.refusal is not None:
        show_failure(case.refusal)
    elif case.study is not None:
        _show_facts(case.study)


def _forget_refusal() -> None:
    """Another choice is another study: what was refused or lost before has no part in that."""
    memory = visit()
    memory.lost = False
    if memory.case.refusal is not None:
        memory.leave()


def _samples() -> dict[str, cz.SampleStudy]:
    """The samples that are here, each followed by its twin."""
    listed: list[cz.SampleStudy] = []
    for sample in cz.sample_studies():
        twin = twin_of(sample)
        listed += [sample, twin] if twin else [sample]
    return {sample.name: sample for sample in listed}


def _show_source_of(memory: Visit) -> None:
    """Let the widgets agree with a case that is new to this session; place the crosshair."""
    case = memory.case
    holder = case.order
    if holder is None or memory.placed.startswith(case.key):
        return
    if memory.arrived != case.key:
        memory.arrived = case.key
        st.session_state["source"] = SAMPLE if holder.sample else OWN
        if holder.sample:
            st.session_state["sample"] = holder.sample
    if case.study is not None:
        centre_crosshair(case.study.ct)
        memory.placed = case.key


def _choose_sample(memory: Visit, samples: dict[str, cz.SampleStudy]) -> None:
    name = st.selectbox(
        "Sample study",
        list(samples),
        format_func=lambda key: samples[key].title,
        key="sample",
        on_change=_forget_refusal,
        persist_state="session",
        label_visibility="collapsed",
    )
    sample = samples[name]
    st.caption(sample.description)
    case = memory.case
    holder = case.order
    refused = case.refusal is not None and holder is None
    if not refused and (holder is None or holder.sample != name):
        _start_sample(memory, sample)


def _start_sample(memory: Visit, sample: cz.SampleStudy) -> None:
    lost = memory.lost
    memory.leave()
    order = Order(sample.title, memory.name, sample.truth, sample.name)
    original = next((one for one in cz.sample_studies() if _is_twin(sample, one)), None)
    if original is None:
        ticket = engine().reading.submit(work.read, sample.path, None)
    else:
        ticket = engine().making.submit(engine().nursery.read, original)
    memory.take(Case(intake=Intake(order, ticket)))
    memory.lost = lost  # a page that opens without its study begins with a sample, and says so


def _is_twin(sample: cz.SampleStudy, original: cz.SampleStudy) -> bool:
    twin = twin_of(original)
    return twin is not None and twin.name == sample.name


def _upload(memory: Visit) -> None:
    case = memory.case
    holder = case.order
    if holder is not None and holder.sample:
        memory.leave()  # else Run would be of the sample, up to the moment of the upload
    elif holder is not None:
        st.button("Delete now", icon=":material/delete:", on_click=memory.delete, width="stretch")
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
        memory.leave()
        try:
            spool = Spool(chosen)
        except cz.CSpineZooError as error:
            memory.take(Case(refusal=failure_of(error)))
        else:
            _start_upload(memory, spool)
        drop_uploads(chosen)
        st.rerun()  # with a new uploader, which shows none of these files


def _start_upload(memory: Visit, spool: Spool, series: int | None = None) -> None:
    ticket = engine().reading.submit(work.read, spool.source, series)
    intake = Intake(Order(spool.title, memory.name, spool=spool), ticket)
    memory.take(Case(linked=True, intake=intake))


@st.fragment(run_every=0.4)
def _watch_reading() -> None:
    intake = visit().case.intake
    if intake is None or intake.ticket.over:
        st.rerun()
        return
    ticket = intake.ticket
    ahead = engine().reading.ahead(ticket) + engine().making.ahead(ticket)
    if ahead:
        place = f"Waiting, {ahead} before you"
    else:
        place = "Reading" if "read" in ticket.progress.stages else _BEFORE_READING
    st.status(f"{place} … {ticket.progress.seconds:.0f} s")


def _show_facts(study: Study) -> None:
    ct, report = study.ct, study.ct.report
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
            st.dataframe(_skipped_rows(study), hide_index=True)
    _choose_series(study)


def _skipped_rows(study: Study) -> list[dict[str, str]]:
    """A file's name can hold a patient's: it is told to the visit that brought the file."""
    files = study.ct.report.skipped
    told = study.order.owner == visit().name
    original = study.spool.original if study.spool else str
    return [
        {
            "file": original(file.file) if told else f"{number} of {len(files)}",
            "code": file.code,
            "reason": file.reason,
        }
        for number, file in enumerate(files, start=1)
    ]


def _choose_series(study: Study) -> None:
    series = {entry.index: entry for entry in study.ct.report.series}
    choices = readable(study.ct)
    if study.spool is None or len(choices) < 2:
        return
    chosen = next((index for index in choices if series[index].chosen), choices[0])
    wanted = st.selectbox(
        "Series",
        choices,
        index=choices.index(chosen),
        format_func=lambda index: f"{index}: {series[index].shape}, {series[index].reason}",
    )
    if wanted != chosen:
        _start_upload(visit(), study.spool, wanted)
        st.rerun()
