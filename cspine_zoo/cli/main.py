"""``cspine-zoo``: the list of commands, and what each kind of failure becomes."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Final

from cspine_zoo import __version__
from cspine_zoo.cli import (
    convert,
    demo,
    evaluate,
    predict,
    publish,
    release,
    study,
    synthesize,
    train,
    zoo,
)
from cspine_zoo.cli.command import Command, Parser
from cspine_zoo.cli.console import Console
from cspine_zoo.errors import CSpineZooError

COMMANDS: Final[tuple[Command, ...]] = (
    study.INSPECT,
    zoo.MODELS,
    zoo.INFO,
    zoo.DOWNLOAD,
    zoo.VERIFY,
    predict.PREDICT,
    synthesize.SYNTHESIZE,
    train.TRAIN,
    evaluate.EVALUATE,
    convert.CONVERT,
    release.CALIBRATE,
    release.BUNDLE,
    publish.PUBLISH,
    demo.DEMO,
)

DEBUG_VARIABLE: Final = "CSPINE_ZOO_DEBUG"

INTERRUPTED: Final = 130
"""128 + SIGINT, as a shell reports it."""

_NOTICE: Final = "Research and education only; not a medical device; not for diagnosis or triage."
_EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 failure; 2 wrong usage; 3 input refused; "
    "4 weights cannot be had or are wrong; 130 interrupted."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words after the program's name; without them, the process's own.

    Returns:
        The exit code: 0 done, 2 wrong usage, 3 input refused, 4 weights cannot be had or are
        wrong, 130 interrupted, 1 anything else.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    console = Console(sys.stdout, sys.stderr, json="--json" in words)
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(message)s")
    try:
        options = make_parser().parse_args(words)
        with _stdout_kept_clean(console):
            code = _run(options, console)
        console.end_progress()
        console.out.flush()
        return code
    except CSpineZooError as error:
        console.refuse(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.note("cspine-zoo: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does; say nothing more to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        console.refuse(_machine_failed(error))
        return 1
    except Exception as error:  # noqa: BLE001  the last resort, so that no user meets a traceback
        console.refuse(_unexpected(error))
        return 1


def make_parser() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="cspine-zoo",
        description=f"Cervical spine fractures on CT: a model zoo. {_NOTICE}",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"cspine-zoo {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    for command in COMMANDS:
        options = commands.add_parser(
            command.name, help=command.summary, description=command.summary, epilog=_NOTICE
        )
        command.add_options(options)
        options.set_defaults(run=command.run)
    return parser


def _run(options: Namespace, console: Console) -> int:
    code: int = options.run(options, console)
    return code


@contextlib.contextmanager
def _stdout_kept_clean(console: Console) -> Iterator[None]:
    """With ``--json``, whatever a library prints goes to stderr."""
    if not console.json:
        yield
        return
    with contextlib.redirect_stdout(console.err):
        yield


def _machine_failed(error: OSError) -> CSpineZooError:
    """A full disk or a folder that belongs to somebody else is no defect of ours."""
    _print_traceback(error)
    return CSpineZooError(
        "io_error",
        f"{error.strerror or error}.",
        file=str(error.filename or ""),
        hint="Check that there is space, and that the file or folder may be used.",
    )


def _print_traceback(error: Exception) -> None:
    if os.environ.get(DEBUG_VARIABLE) == "1":
        traceback.print_exception(error, file=sys.stderr)


def _unexpected(error: Exception) -> CSpineZooError:
    _print_traceback(error)
    return CSpineZooError(
        "unexpected",
        f"{type(error).__name__}: {' '.join(str(error).split())}",
        hint=f"This is a defect of cspine_zoo: please report it with {DEBUG_VARIABLE}=1.",
    )
