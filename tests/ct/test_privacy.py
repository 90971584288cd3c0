"""Who somebody is never leaves the reader; what a file is called goes back to the caller alone.

Canaries stand in every identifying attribute; nothing that leaves the package may sing.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest

import cspine_zoo as cz
from cases import Order
from cases import Study as PageStudy
from cspine_zoo.cli.main import main
from cspine_zoo.cli.outputs import FILES, write_outputs
from cspine_zoo.ct import tags
from cspine_zoo.ct.dicom import DicomFile, parse
from cspine_zoo.ct.elements import EXPLICIT, DataSet, Walk
from cspine_zoo.ct.read import inspect_study, read_ct
from cspine_zoo.errors import StudyRejected
from cspine_zoo.results import Comparison
from panels.take_away import command_line, json_text, label_map_bytes, python_lines
from shared import Shared
from tests.ct.canaries import NEEDLES, found_in, identifying, plant
from tests.ct.dicom_writer import Study, acquire
from tests.export.studies import example_prediction

FILE_NAME = "Finch^Jane"
"""In names of files, folders and entries: allowed where files are named to their owner."""


@pytest.fixture(scope="module")
def aviary(body, tmp_path_factory) -> Path:
    """A study full of canaries, with a picture, a foreign object and a broken file beside it."""
    root = tmp_path_factory.mktemp("study") / FILE_NAME
    slices = acquire(*body)
    Study(change=plant).write_all(slices, root / "CT", FILE_NAME)

    def plant_mr(ds, number):
        plant(ds, number)
        ds.Modality, ds.SeriesInstanceUID = "MR", "1.2.826.0.1.424242424242.9"

    def plant_odd(ds, number):
        plant(ds, number)
        ds.Modality, ds.SeriesInstanceUID = "CANARY", "1.2.826.0.1.424242424242.8"

    Study(change=plant_mr).write(slices[0], root / f"{FILE_NAME} mr")
    Study(change=plant_odd).write(slices[0], root / f"{FILE_NAME} odd")
    whole = (root / "CT" / f"{FILE_NAME}0001").read_bytes()
    (root / f"{FILE_NAME} cut").write_bytes(whole[:-700])
    (root / f"{FILE_NAME} head").write_bytes(whole[:3000])
    (root / f"{FILE_NAME}.txt").write_bytes(b"Canary 18880808")
    return root


@pytest.fixture(scope="module")
def refused(aviary: Path, tmp_path_factory) -> dict[str, Path]:
    """Studies that are refused, each for another reason, all full of canaries."""
    root = tmp_path_factory.mktemp("refused")
    (root / "few").mkdir()
    shutil.copy(aviary / "CT" / f"{FILE_NAME}0001", root / "few" / FILE_NAME)
    (root / "foreign").mkdir()
    shutil.copy(aviary / f"{FILE_NAME} odd", root / "foreign" / FILE_NAME)
    shutil.copytree(aviary / "CT", root / "two")
    for path in list((root / "two").iterdir())[:4]:
        path.write_bytes(path.read_bytes().replace(b"Canary lo", b"canary LO"))
    shutil.copytree(aviary / "CT", root / "cut")
    for path in (root / "cut").iterdir():
        path.write_bytes(path.read_bytes()[:-900])
    return {path.name: path for path in root.iterdir()}


def test_the_canaries_are_there(aviary: Path) -> None:
    """Else nothing below would mean anything."""
    data = (aviary / "CT" / f"{FILE_NAME}0001").read_bytes()
    assert set(found_in(data)) == set(NEEDLES)
    assert len(identifying()) > 1500


def test_only_the_whitelist_is_kept(aviary: Path) -> None:
    data = (aviary / "CT" / f"{FILE_NAME}0001").read_bytes()
    dataset = DataSet(EXPLICIT)
    Walk(data, tags.KEYWORDS).read(132 + 12 + int.from_bytes(data[140:144], "little"), dataset)
    kept = dataset.values.keys() | dataset.sequences.keys()
    assert kept <= tags.KEYWORDS.keys()
    assert len(tags.KEYWORDS) <= 40
    file = parse("file", data)
    values = {field.name: getattr(file, field.name) for field in dataclasses.fields(DicomFile)}
    # Compared within the reader, and gone with it: see the next test.
    for internal in ("series_uid", "instance", "frames"):
        del values[internal]
    assert not found_in(values)


def in_memory() -> int:
    """Parsed headers that somebody still holds."""
    gc.collect()
    return sum(type(one) in (DicomFile, DataSet) for one in gc.get_objects())


def test_volume_and_report_hold_nobody(aviary: Path, read_here, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    before = in_memory()
    ct = read_here(aviary)
    report = dataclasses.replace(ct.report, used=(), skipped=())
    assert FILE_NAME not in repr(report) + str(pickle.dumps(report))
    for volume in (ct, read_ct(aviary)):
        assert not found_in(pickle.dumps(volume))
        assert not found_in(repr(volume.report))
        assert not found_in(repr(volume))
        named = [*volume.report.used, *(file.file for file in volume.report.skipped)]
        assert all(FILE_NAME in name for name in named)
        assert FILE_NAME not in "".join(file.reason for file in volume.report.skipped)
    assert {file.code for file in ct.report.skipped} == {"not_ct", "not_dicom", "truncated"}
    assert in_memory() == before
    assert not caplog.records


def test_names_in_a_zip(aviary: Path, tmp_path: Path, read_here) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(aviary.rglob("*")):
            archive.write(path, path.relative_to(aviary.parent))
        archive.comment = b"Canary comment"
    ct = read_here(tmp_path / "study.zip")
    assert all(name.startswith(FILE_NAME) for name in ct.report.used)
    assert not found_in(pickle.dumps(ct))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("few", "too_few_slices"),
        ("foreign", "not_ct"),
        ("two", "several_patients"),
        ("cut", "truncated"),
    ],
)
def test_refusals(name, code, refused, read_here, caplog) -> None:
    """The file is named in ``file``, for the caller; nowhere else, and nobody in it."""
    caplog.set_level(logging.DEBUG)
    for source in (refused[name], sorted(refused[name].iterdir())):
        with pytest.raises(StudyRejected) as caught:
            read_here(source)
        error = caught.value
        assert error.code == code
        assert FILE_NAME not in error.reason + error.hint
        for form in (str(error), repr(error), pickle.dumps(vars(error)), error.to_dict()):
            assert not found_in(form)
    assert not caplog.records


def test_inspect_on_the_command_line(aviary: Path, refused, capfd, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    assert main(["inspect", str(aviary), "--json"]) == 0
    out, err = capfd.readouterr()
    assert not found_in(out)
    assert FILE_NAME not in err
    answer = json.loads(out)
    assert [file for file in answer["skipped"] if FILE_NAME in file["file"]]
    del answer["skipped"]
    assert FILE_NAME not in json.dumps(answer)
    assert main(["inspect", str(aviary)]) == 0
    assert main(["inspect", str(refused["two"]), "--json"]) == 3
    out, err = capfd.readouterr()
    assert not found_in(out + err)
    assert not [record for record in caplog.records if record.name.startswith("cspine_zoo")]
    assert FILE_NAME not in caplog.text
    assert not found_in(caplog.text)


def exports(prediction, ct, folder: Path) -> list[bytes]:
    """All that is written, by the command line and by the page."""
    folder.mkdir()
    paths = write_outputs(prediction, prediction.to_dict(), folder, tuple(FILES))
    comparison = Comparison(prediction.study, prediction.predictions, prediction.label_map)
    page = PageStudy(Order(f"{FILE_NAME}.zip"), Shared(ct))
    texts = [json_text(comparison), python_lines(page, comparison), command_line(page, comparison)]
    texts += [comparison.to_csv(), cz.to_html(comparison)]
    written = [path.read_bytes() for path in paths]
    return [*written, *(text.encode() for text in texts), label_map_bytes(comparison)]


def test_exports_name_no_file(aviary: Path, read_here, tmp_path: Path) -> None:
    prediction = example_prediction()
    ct = read_here(aviary)
    report = ct.report
    study = dataclasses.replace(prediction.study, skipped=report.skipped, warnings=report.warnings)
    prediction = dataclasses.replace(prediction, study=study)
    for content in exports(prediction, ct, tmp_path / "out"):
        assert FILE_NAME.encode() not in content
        assert not found_in(content)
    # To the caller they are named, by the contract of ``predict --json``.
    assert [file["file"] for file in prediction.to_dict()["study"]["skipped"]] == [
        file.file for file in report.skipped
    ]
    assert FILE_NAME in prediction.to_json()
    kept = json.loads((tmp_path / "out" / "prediction.json").read_text())["study"]["skipped"]
    assert [file["code"] for file in kept] == [file.code for file in report.skipped]
    assert kept[0]["file"] == f"skipped file 1 of {len(kept)}"


def test_inspection_object(aviary: Path) -> None:
    assert not found_in(inspect_study(aviary).to_dict())


@pytest.mark.slow
@pytest.mark.skipif(not cz.sample_studies(), reason="this installation has no sample")
def test_predict_on_the_command_line(tmp_path: Path, capfd, caplog) -> None:
    """A whole run with the networks of the package, on a sample full of canaries."""
    import pydicom

    caplog.set_level(logging.DEBUG)
    study = tmp_path / FILE_NAME
    with zipfile.ZipFile(cz.sample_studies()[0].path) as archive:
        archive.extractall(study)
    for number, path in enumerate(path for path in study.rglob("*") if path.is_file()):
        ds = pydicom.dcmread(path)
        plant(ds, number)
        path.unlink()
        ds.save_as(path.with_name(f"{FILE_NAME}{number}"))
    (study / f"{FILE_NAME}.txt").write_bytes(b"Canary")
    model = next(row.name for row in cz.list_models("cls-*") if row.available == "bundled")
    out = tmp_path / "out"
    words = ["predict", str(study), "--model", model, "--out", str(out), "--json"]
    assert main(words) == 0
    stdout, stderr = capfd.readouterr()
    assert not found_in(stdout + stderr + caplog.text)
    assert FILE_NAME not in stderr + caplog.text
    assert {path.name for path in out.iterdir()} == set(FILES.values())
    for path in out.iterdir():
        assert not found_in(path.read_bytes())
        assert FILE_NAME.encode() not in path.read_bytes()
