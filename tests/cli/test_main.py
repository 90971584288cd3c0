"""What every command shares: exit codes, refusals, and a stdout that holds the answer alone."""

import io
import json
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from cspine_zoo.cli import main as program
from cspine_zoo.cli.command import Command, add_json
from cspine_zoo.cli.console import Console, aligned, printable
from cspine_zoo.errors import CSpineZooError, DownloadError, StudyRejected, UsageError, WeightsError

ROOT = Path(__file__).parent.parent.parent

Run = Callable[[Namespace, Console], int]


def _with(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "COMMANDS", (Command("work", "does it", add_json, run),))


def _raising(error: BaseException) -> Run:
    def run(options: Namespace, console: Console) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("u", "r"), 2),
        (StudyRejected("s", "r"), 3),
        (WeightsError("w", "r"), 4),
        (DownloadError("d", "r", attempts=["hub: 404"]), 4),
        (CSpineZooError("c", "r"), 1),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("by zero"), 1),
        (MemoryError(), 1),
        (OSError(28, "No space left on device", "out.csv"), 1),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with(_raising(error), monkeypatch)
    assert program.main(["work"]) == code


def test_a_refusal_as_json_is_the_documented_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = StudyRejected("not_ct", "it is an MR series.", file="a.zip", hint="Send the CT.")
    _with(_raising(error), monkeypatch)
    assert program.main(["work", "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "error": {
            "code": "not_ct",
            "file": "a.zip",
            "reason": "it is an MR series.",
            "hint": "Send the CT.",
        }
    }
    assert "a.zip" in err


def test_without_json_a_refusal_leaves_stdout_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _with(_raising(StudyRejected("not_ct", "r", file="a\x1b[31m\nb.zip")), monkeypatch)
    program.main(["work"])
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err


@pytest.mark.parametrize("words", [[], ["no-such-command"], ["work", "--no-such-option"]])
@pytest.mark.parametrize("json_asked", [False, True])
def test_wrong_usage_is_two_and_says_where_help_is(
    words: list[str],
    json_asked: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _with(_raising(AssertionError("must not run")), monkeypatch)
    assert program.main([*words, *(["--json"] if json_asked else [])]) == 2
    out, err = capsys.readouterr()
    assert "--help" in err
    if json_asked:
        assert json.loads(out)["error"]["code"] == "usage"
    else:
        assert out == ""


def test_an_unexpected_error_is_one_line_and_a_traceback_only_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _with(_raising(ZeroDivisionError("by\nzero")), monkeypatch)
    monkeypatch.delenv("CSPINE_ZOO_DEBUG", raising=False)
    assert program.main(["work"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "ZeroDivisionError: by zero" in err
    monkeypatch.setenv("CSPINE_ZOO_DEBUG", "1")
    program.main(["work"])
    assert "Traceback" in capsys.readouterr().err


def test_with_json_what_a_library_prints_goes_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: Namespace, console: Console) -> int:
        print("a library talks")  # noqa: T201
        console.answer_json([1])
        return 0

    _with(run, monkeypatch)
    assert program.main(["work", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == [1]
    assert "a library talks" in err


def test_names_of_commands_are_unique_and_documented() -> None:
    names = [command.name for command in program.COMMANDS]
    assert len(set(names)) == len(names)
    for command in program.COMMANDS:
        assert command.summary
        command.add_options(ArgumentParser())


def test_every_command_explains_itself_quickly() -> None:
    for words in (["--help"], *([command.name, "--help"] for command in program.COMMANDS)):
        with pytest.raises(SystemExit) as ended:
            program.main(words)
        assert ended.value.code == 0


def test_the_command_line_starts_without_torch() -> None:
    code = "import sys, cspine_zoo.cli.main as m; m.make_parser(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cspine_zoo", "nonsense"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
def test_a_reader_that_goes_away_is_no_defect() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m cspine_zoo models --json | true"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr


def test_text_from_files_cannot_command_a_terminal() -> None:
    assert printable("a\x1b[2Jb\x07\u202e") == "a\\x1b[2Jb\\x07\\u202e"
    assert printable("Größe 3\n") == "Größe 3\n"


def test_columns_line_up() -> None:
    assert aligned([("a", "b"), ("long", "c")]) == ["a     b", "long  c"]


def test_progress_is_one_line_a_stage_in_a_log() -> None:
    err = io.StringIO()
    console = Console(io.StringIO(), err)
    for fraction in (0.0, 0.5, 1.0):
        console.progress("read", fraction)
    console.progress("segment", 0.0)
    console.end_progress()
    assert err.getvalue() == "read\nsegment\n"
