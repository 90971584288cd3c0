"""From a directory of studies to a report: real files, real networks without training."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from cspine_zoo.anatomy import LEVELS
from cspine_zoo.ct.read import read_ct
from cspine_zoo.errors import StudyRejected, UsageError
from cspine_zoo.evaluation.calibrate import calibrate, fit
from cspine_zoo.evaluation.calibration import probabilities_of
from cspine_zoo.evaluation.evaluate import evaluate
from cspine_zoo.evaluation.predictions import Candidate, Runner, study_key
from cspine_zoo.evaluation.records import StudyRecord, record_path
from cspine_zoo.rsna.layout import StudyRow, read_layout
from cspine_zoo.rsna.write import StudyToWrite, write_study
from cspine_zoo.zoo.model import ZooModel
from tests.evaluation.made_up import FACTS
from tests.inference.phantoms import classifier, ct_of, grid, paint, painted_segmenter, spine


class Neck:
    """Two twin pairs of one box-shaped neck, in the RSNA layout, and one evaluation of them.

    The images of ``2.25.4`` are broken, and so is the mask of ``2.25.3``.
    """

    def __init__(self, folder: Path) -> None:
        self.root, self.out = folder / "data", folder / "out"
        geometry, blocks = grid(), spine()
        labels = paint(blocks, geometry)
        self.ct = ct_of(labels, geometry)
        self.segmenter = painted_segmenter(self.ct, blocks)
        self.models = (classifier("cls-tiny"), classifier("cls-other", sequence=None))
        for number, level in ((1, 5), (3, 2)):
            i, j, _ = np.argwhere(labels == level).mean(axis=0).astype(int)
            gap = np.zeros(geometry.shape, bool)
            gap[i:, j] = labels[i:, j] == level  # half through, so that the bone stays one piece
            hu = np.where(gap, np.float32(30), self.ct.hu)
            facts = FACTS | {"conspicuity": float(number)}
            self._write(f"2.25.{number}", hu, labels, {LEVELS[level - 1]: 1}, gap, facts)
            twin = FACTS | {"twin_of": f"2.25.{number}"}
            self._write(f"2.25.{number + 1}", self.ct.hu, labels, {}, None, twin)
        for path in (self.root / "train_images" / "2.25.4").iterdir():
            path.write_bytes(b"no dicom")
        (self.root / "segmentations" / "2.25.3.nii").write_bytes(b"broken")
        self.result = self.evaluate()
        self.page = self.read_page()

    def _write(self, uid: str, hu: Any, labels: Any, levels: Any, gap: Any, facts: Any) -> None:
        study = StudyToWrite(uid, hu, self.ct.geometry, levels, labels, gap, facts)
        write_study(self.root, study)

    def evaluate(self, **options: Any) -> dict[str, Any]:
        return evaluate(
            self.root, self.models, self.out, segmenter=self.segmenter, device="cpu", **options
        )

    def read_page(self) -> str:
        """The report without the library in it."""
        return (self.out / "report.html").read_text(encoding="utf-8").replace(get_plotlyjs(), "")

    def record(self, uid: str, model: str = "cls-tiny") -> Path:
        return record_path(self.out, model, uid)


@pytest.fixture(scope="module")
def neck(tmp_path_factory: pytest.TempPathFactory) -> Neck:
    return Neck(tmp_path_factory.mktemp("neck"))


def test_what_was_written_reads_back_as_the_same_ct(neck: Neck) -> None:
    ct = read_ct(neck.root / "train_images" / "2.25.2")
    assert np.allclose(ct.geometry.affine, neck.ct.geometry.affine)
    assert np.array_equal(ct.hu, np.rint(neck.ct.hu))


def test_figures_of_networks_whose_segmenter_knows_the_truth(neck: Neck) -> None:
    assert json.loads((neck.out / "evaluation.json").read_text()) == neck.result
    assert list(neck.result["models"]) == ["cls-tiny", "cls-other"]
    known = neck.result["models"]["cls-tiny"]
    assert known["vertebra"]["auc"]["n"] == 28
    # What is lost is the way to 3 mm voxels and back.
    assert all(known["dice"][level]["value"] > 0.9 for level in LEVELS)
    assert known["dice"]["C1"]["n"] == 2
    assert known["identification_rate"] == {"value": 1.0, "ci95": [1.0, 1.0], "n": 14}
    assert known["centroid_error_mm"]["value"] < 2
    assert known["twin_order"]["n"] == 2
    assert known["strata"]["conspicuity"]["median"]["value"] == 2


def test_one_bad_study_is_counted_and_never_stops_the_rest(neck: Neck) -> None:
    assert (neck.result["n_studies"], neck.result["n_missing"]) == (4, 1)
    failed = json.loads(neck.record("2.25.4").read_text())
    assert failed["prediction"] is None
    assert failed["error"]["code"]


def test_a_mask_that_cannot_be_read_costs_only_what_it_is_for(neck: Neck) -> None:
    record = json.loads(neck.record("2.25.3").read_text())
    assert "mask_unreadable" in record["notes"][0]
    assert record["vertebrae"] is None
    assert record["prediction"]["patient_overall"] > 0


@pytest.mark.slow
def test_a_second_run_predicts_only_what_is_missing(neck: Neck) -> None:
    kept, lost = neck.record("2.25.1"), neck.record("2.25.2", "cls-other")
    stamp = kept.stat().st_mtime_ns
    lost.unlink()
    assert neck.evaluate(pictures=False) == neck.result
    assert kept.stat().st_mtime_ns == stamp
    assert lost.is_file()


def test_the_page_shows_synthetic_studies_and_says_what_cannot_be_shown(neck: Neck) -> None:
    page = neck.page
    # 2.25.4 is broken; the mask of 2.25.3 is, too, but the prediction says where vertebrae are.
    assert page.count("src='data:image/jpeg") == 2 * 3
    assert page.count("No pictures (no_dicom).") == 1
    assert len(page) < 300_000
    (pair,) = json.loads((neck.out / "comparisons.json").read_text())["comparisons"]
    assert (pair["first"], pair["second"]) == ("cls-tiny", "cls-other")


@pytest.mark.slow
def test_no_picture_of_a_study_that_is_not_marked_synthetic(neck: Neck) -> None:
    marks = neck.root / "synthetic.csv"
    content = marks.read_text(encoding="utf-8")
    lines = content.splitlines(keepends=True)
    try:
        marks.write_text("".join(lines[:-1]), encoding="utf-8")  # one of four is not
        neck.evaluate()
        page = neck.read_page()
    finally:
        marks.write_text(content, encoding="utf-8")
    assert "data:image" not in page
    assert "2.25." not in page


def test_calibration_reads_what_evaluation_predicted(neck: Neck) -> None:
    stamp = neck.record("2.25.3").stat().st_mtime_ns
    found = calibrate(neck.root, neck.models[0], neck.out, segmenter=neck.segmenter, device="cpu")
    assert neck.record("2.25.3").stat().st_mtime_ns == stamp
    assert found.temperature > 0
    assert 0 < found.vertebra_threshold < found.patient_threshold < 1
    written = json.loads((neck.out / "calibration.json").read_text())
    assert written["temperature"] == found.temperature


def test_a_record_of_other_weights_or_files_is_void(neck: Neck) -> None:
    (row, *_) = read_layout(neck.root)
    runner = Runner(neck.out, "cpu", segmenter=neck.segmenter)
    candidate = Candidate.named(neck.models[0], neck.segmenter)
    keys = {study_key(row, candidate, runner)}
    assert keys == {json.loads(neck.record(row.uid).read_text())["key"]}
    keys.add(study_key(row, candidate, Runner(neck.out, "cpu", "float32", neck.segmenter)))
    retrained = ZooModel(neck.models[0].network, candidate.entry, "other weights")
    keys.add(study_key(row, Candidate.named(retrained, neck.segmenter), runner))
    keys.add(study_key(row, Candidate.named(neck.models[0], neck.models[1]), runner))
    os.utime(row.images / "7.dcm", ns=(1, 1))
    keys.add(study_key(row, candidate, runner))
    assert len(keys) == 5


def test_calibration_undoes_the_temperature_that_the_row_has_now() -> None:
    rng = np.random.default_rng(0)
    rows, records = [], []
    for number in range(400):
        logits = rng.normal(-1, 2, 7)
        flags = (rng.random(7) < probabilities_of(logits, 1.5)).astype(int)
        shown = probabilities_of(logits, 3.0)
        vertebrae = [
            {"level": level, "probability": float(p)}
            for level, p in zip(LEVELS, shown, strict=True)
        ]
        overall = float(1 - np.prod(1 - shown))
        prediction = {"patient_overall": overall, "vertebrae": vertebrae}
        rows.append(StudyRow(str(number), tuple(int(flag) for flag in flags), Path("none")))
        records.append(StudyRecord(str(number), "key", prediction))
    assert fit(rows, records, 3.0).temperature == pytest.approx(1.5, rel=0.1)
    nothing = [StudyRecord(row.uid, "key") for row in rows]
    with pytest.raises(UsageError, match="No vertebra"):
        fit(rows, nothing, 3.0)


def test_wrong_requests_are_refused_at_once(neck: Neck, tmp_path: Path) -> None:
    model = neck.models[0]

    def code(models: list[Any], data: Path = neck.root, **options: Any) -> str:
        with pytest.raises((UsageError, StudyRejected)) as caught:
            evaluate(data, models, tmp_path / "out", segmenter=neck.segmenter, **options)
        return caught.value.code

    assert code([]) == "no_model"
    assert code([model, model]) == "same_model_twice"
    assert code([neck.segmenter]) == "wrong_task"
    assert code([model], limit=0) == "bad_limit"
    assert code([model], data=tmp_path) == "not_rsna_layout"
    assert code(["cls-there-is-none"]) == "unknown_model"
    (tmp_path / "out").write_text("a file")
    assert code([model]) == "bad_output"
