from pathlib import Path
from typing import Any

import pytest

import cspine_zoo as cz
from cspine_zoo.zoo.catalog import ModelRow
from notice import RESEARCH_ONLY
from tests.demo.conftest import VARIANTS, Page, row
from tests.demo.neck import centre_mm

NIFTI = "application/gzip"


def upload(page: Page, *files: tuple[str, bytes]) -> Page:
    page.app.segmented_control(key="source").set_value("Your own")
    page.run()
    uploader: Any = page.app.get("file_uploader")[0]
    uploader.set_value([(name, data, NIFTI) for name, data in files])
    return page.run()


def test_a_sample_is_ready_to_run_when_the_page_opens(page: Page) -> None:
    page.run()
    assert page.visit.study.sample == "neck"
    assert not page.app.button[0].disabled
    assert page.app.multiselect[0].value == list(VARIANTS)
    assert "64 × 72 × 96" in str(page.app.table[0].value)


def test_the_notice_stands_on_every_page(page: Page) -> None:
    page.run()
    assert RESEARCH_ONLY in page.words
    page.app.switch_page("views/models.py").run()
    assert RESEARCH_ONLY in page.words


def test_a_run_shows_verdicts_picture_table_and_downloads(page: Page) -> None:
    page.run().press("Run")
    assert "C5 called fractured: 0.22, 0.84, 0.91" in page.words
    assert "Known truth: fracture of C5." in page.words
    for name in VARIANTS:
        assert name in page.words
    assert len(page.app.get("plotly_chart")) == 4
    assert len(page.app.get("download_button")) == 4
    assert page.app.get("image")


def test_no_click_on_a_widget_runs_the_networks_again(
    page: Page, runs: list[tuple[str, ...]]
) -> None:
    page.run().press("Run")
    page.app.segmented_control(key="window").set_value("Soft tissue")
    page.run()
    page.app.slider(key="opacity").set_value(80)
    page.app.slider(key="slice_k").set_value(3)
    page.run()
    page.app.segmented_control(key="attention_level").set_value("All")
    page.run()
    assert runs == [VARIANTS]


@pytest.mark.slow
def test_another_choice_keeps_the_result_and_says_that_it_is_old(
    page: Page, runs: list[tuple[str, ...]]
) -> None:
    page.run().press("Run")
    page.app.multiselect[0].set_value(list(VARIANTS[:1]))
    page.run()
    assert "Run again for this choice" in page.words
    assert "choose two or more" in page.words
    page.press("Run")
    assert runs == [VARIANTS, VARIANTS[:1]]
    assert page.visit.comparison.models() == VARIANTS[:1]


def test_nothing_chosen_cannot_be_run(page: Page) -> None:
    page.run()
    page.app.multiselect[0].set_value([])
    page.run()
    assert page.app.button[0].disabled


@pytest.mark.slow
def test_hu_and_level_at_the_crosshair(page: Page) -> None:
    page.run().press("Run")
    ct = page.visit.study.ct
    voxel = [int(v) for v in ct.geometry.to_voxel(centre_mm("C3")).round()]
    for key, value in zip(("slice_i", "slice_j", "slice_k"), voxel, strict=True):
        page.app.slider(key=key).set_value(value)
    page.run()
    assert "**500 HU**" in page.words
    assert "in **C3**" in page.words


def test_an_upload_is_read_and_its_copies_are_gone(page: Page, nifti: bytes) -> None:
    page.run()
    upload(page, ("Doe^Jane.nii.gz", nifti))
    assert page.visit.study.title == "Doe^Jane.nii.gz"
    assert page.visit.study.spool is None
    assert page.visit.study.truth == {}
    assert not page.app.get("file_uploader")


def test_delete_now_forgets_everything(page: Page, nifti: bytes) -> None:
    page.run()
    upload(page, ("a.nii.gz", nifti))
    page.press("Run").press("Delete now")
    assert page.visit.study is None
    assert page.visit.comparison is None
    assert page.app.get("file_uploader")


@pytest.mark.parametrize(
    ("name", "data"), [("notes.txt", b"hello"), ("broken.zip", b"PK\x03\x04rubbish")]
)
def test_a_refusal_names_file_code_and_next_step(page: Page, name: str, data: bytes) -> None:
    page.run()
    upload(page, (name, data))
    refusal = page.visit.refusal
    assert refusal is not None
    assert refusal.code in page.words
    assert name in page.words
    assert f"What to do: {refusal.hint}" in page.words
    assert "cspine-zoo-" not in page.words  # no path of the server
    assert page.app.get("file_uploader")  # ready for the next try


@pytest.mark.slow
def test_the_next_study_is_served_after_a_refusal(page: Page, nifti: bytes) -> None:
    page.run()
    upload(page, ("notes.txt", b"hello"))
    upload(page, ("a.nii.gz", nifti))
    assert page.visit.refusal is None
    assert page.visit.study.title == "a.nii.gz"


@pytest.mark.slow
def test_a_study_without_a_neck_is_refused_by_the_run(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise cz.StudyRejected(
            "no_cervical_spine", "no cervical spine found", hint="Give a CT of the neck."
        )

    monkeypatch.setattr(cz, "compare", refuse)
    page.run().press("Run")
    assert "no_cervical_spine" in page.words
    assert "What to do: Give a CT of the neck." in page.words


def test_a_zoo_without_weights_says_where_to_get_them(page: Page, zoo: list[ModelRow]) -> None:
    zoo[:] = [row("cls-cnn-lite0", "none")]
    page.run()
    assert "No classifier of this zoo has weights here" in page.words
    assert not page.app.multiselect


@pytest.mark.slow
def test_variants_that_need_a_download_are_offered_but_not_chosen(
    page: Page, zoo: list[ModelRow]
) -> None:
    zoo.append(row("cls-far", "remote"))
    page.run()
    assert page.app.multiselect[0].options[-1] == "cls-far (to be downloaded)"
    assert page.app.multiselect[0].value == list(VARIANTS)


def test_without_samples_the_page_asks_for_an_upload(page: Page, samples: Path) -> None:
    (samples / "neck.json").unlink()
    page.run()
    assert page.app.get("file_uploader")
    assert page.app.button[0].disabled


def test_a_damaged_sample_is_told(page: Page, samples: Path) -> None:
    (samples / "neck.nii.gz").unlink()
    page.run()
    assert "bad_sample" in page.words


@pytest.mark.slow
def test_two_visitors_see_their_own_study_only(page: Page, nifti: bytes) -> None:
    page.run()
    upload(page, ("mine.nii.gz", nifti))
    other = Page().run()
    assert other.visit is not page.visit
    assert other.visit.study.sample == "neck"
    assert "mine.nii.gz" not in other.words


@pytest.mark.slow
def test_a_visit_to_another_page_loses_nothing(page: Page, nifti: bytes) -> None:
    page.run()
    upload(page, ("mine.nii.gz", nifti))
    page.app.multiselect[0].set_value(list(VARIANTS[1:]))
    page.run().press("Run")
    page.app.slider(key="slice_k").set_value(7)
    page.run()
    page.app.switch_page("views/models.py").run()
    page.app.switch_page("views/compare.py")
    page.run()
    assert page.visit.study.title == "mine.nii.gz"
    assert page.visit.comparison.models() == VARIANTS[1:]
    assert page.app.multiselect[0].value == list(VARIANTS[1:])
    assert page.app.slider(key="slice_k").value == 7


def test_the_planes_open_at_the_most_suspicious_vertebra(page: Page) -> None:
    page.run().press("Run")
    assert page.app.segmented_control(key="attention_level").value == "C5"
    assert "in **C5**" in page.words
