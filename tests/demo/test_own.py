"""A visitor's own weights: checked by the package, run beside the zoo's, gone when told to."""

import contextlib
import io
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cspine_zoo as cz
import work
from cases import Order, Study
from cspine_zoo.ct.volume import SeriesSummary
from cspine_zoo.resources import weights_dir
from own import OwnWeights, check, marked_name, ready, row_name
from recipe import command_line, python_lines
from shared import Shared
from tests.demo.conftest import VARIANTS, Page
from tests.demo.neck import comparison, neck, prediction

NAME = VARIANTS[0]
FILE = weights_dir() / f"{NAME}.safetensors"


def tell(stage: str, fraction: float) -> None:
    """Nobody waits for this."""


def bring(page: Page, name: str, data: bytes) -> Page:
    page.app.toggle(key="add_weights").set_value(True)
    page.run()
    uploader: Any = page.app.get("file_uploader")[-1]
    uploader.set_value([(name, data, "application/octet-stream")])
    page.run()
    end = time.monotonic() + 60
    while page.app.session_state["locker"].waiting is not None and time.monotonic() < end:
        time.sleep(0.05)
        page.run()
    return page


def test_results_of_a_file_go_by_a_name_of_their_own() -> None:
    first = marked_name(NAME, ())
    second = marked_name(NAME, (first,))
    assert len({NAME, first, second}) == 3
    assert row_name(first) == row_name(second) == NAME
    assert row_name(NAME) is None


def test_what_is_not_a_classifier_is_refused_by_code(tmp_path: Path) -> None:
    with pytest.raises(cz.UsageError) as task:
        check(tell, weights_dir() / "seg-unet3d-small.safetensors")
    assert task.value.code == "wrong_task"
    pickle = tmp_path / "model.safetensors"
    pickle.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(cz.WeightsError) as refused:
        check(tell, pickle)
    assert "cspine-zoo convert" in refused.value.hint


@pytest.mark.slow
def test_weights_are_brought_run_and_deleted(page: Page, runs: list[tuple[Any, ...]]) -> None:
    page.run()
    bring(page, "mine.safetensors", FILE.read_bytes())
    own = f"{NAME}-own"
    assert page.app.multiselect[0].value == [*VARIANTS, own]
    held = page.app.session_state["locker"].held
    path = held[own][0].path
    assert path.is_file()
    page.press("Run")
    assert runs[-1][:-1] == VARIANTS
    assert runs[-1][-1].entry.name == own
    page.press(f"Delete now: {own}")
    assert not path.exists()
    assert page.app.multiselect[0].value == list(VARIANTS)
    assert page.visit.comparison is not None


def test_a_refused_file_is_told_in_its_owners_words(page: Page) -> None:
    page.run()
    bring(page, "mine.pth", b"\x80\x02" + bytes(100))
    refusal = page.app.session_state["locker"].refusal
    assert refusal.code in page.words
    assert "mine.pth" in page.words
    assert "cspine-zoo convert" in page.words
    assert "cspine-zoo-" not in page.words  # no path of the server
    assert page.app.multiselect[0].value == list(VARIANTS)


def test_lines_for_an_upload_and_a_series_leave_the_name_to_its_owner() -> None:
    ct, _ = neck()
    result = comparison([prediction(NAME, {}, 0.1), prediction(f"{NAME}-own", {}, 0.1)])
    study = Study(Order("Doe^Jane.zip"), Shared(ct))
    lines, command = python_lines(study, result), command_line(study, result)
    assert "Doe" not in lines + command
    assert 'cz.read_ct("study.zip")' in lines
    assert f"--model {NAME} --model {NAME}.safetensors" in command
    compile(lines, "lines", "exec")


def test_lines_name_series_and_localizer_where_there_was_a_choice() -> None:
    ct, _ = neck()
    series = [SeriesSummary(n, "CT", 9, (8, 8, 9), (1, 1, 1), n == 2, "") for n in (1, 2)]
    ct = replace(ct, report=replace(ct.report, series=tuple(series)))
    one = replace(prediction(NAME, {}, 0.1), localizer="loc-unet-effb0")
    study, result = Study(Order("two.zip"), Shared(ct)), comparison([one])
    lines, command = python_lines(study, result), command_line(study, result)
    assert 'cz.read_ct("study.zip", series=2)' in lines
    assert f'cz.compare(ct, ["{NAME}"], localizer="loc-unet-effb0")' in lines
    assert f"--series 2 --model {NAME} --localizer loc-unet-effb0 --out" in command


@pytest.mark.slow
def test_the_lines_give_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run as a worker does it, with the zoo's weights and the same as one's own."""
    sample = cz.sample_studies()[0]
    study = Study(Order(sample.title, sample=sample.name), Shared(cz.read_ct(sample.path)))
    variants = (NAME, OwnWeights(f"{NAME}-own", FILE, cz.find_entry(FILE)))
    outcome = work.compare(tell, study.ct, variants)
    assert set(outcome.peaks) == {"prepare", "segment", "classify"}
    shutil.copy(FILE, tmp_path)
    monkeypatch.chdir(tmp_path)
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(python_lines(study, outcome.comparison), {})
    again = json.loads(told.getvalue())["predictions"]
    first = json.loads(outcome.comparison.to_json())["predictions"]
    for one in (*again, *first):
        del one["seconds"]
    assert again == first
    zoo, own = first
    assert own["model"] == f"{NAME}-own"
    assert own["vertebrae"] == zoo["vertebrae"]


def test_nothing_keeps_a_file_after_its_run() -> None:
    variant = OwnWeights("mine", FILE, cz.find_entry(FILE))
    assert ready(NAME, "cpu") == NAME
    first, second = ready(variant, "cpu"), ready(variant, "cpu")
    assert first is not second
    assert first.entry.name == "mine"
    assert first.weights_sha256 == cz.find_entry(NAME).files[0].sha256
