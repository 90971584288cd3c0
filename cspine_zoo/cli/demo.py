"""``cspine-zoo demo``: the page, served on this machine."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from cspine_zoo.cli.command import Command
from cspine_zoo.cli.console import Console
from cspine_zoo.errors import UsageError
from cspine_zoo.resources import demo_dir


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=_port, metavar="N", default=8501, help="default: %(default)s"
    )
    parser.add_argument(
        "--host",
        default="localhost",
        help="address to listen on (default: %(default)s, which other machines cannot reach)",
    )
    parser.add_argument("--no-browser", action="store_true", help="open no browser window")


def _run(options: Namespace, console: Console) -> int:
    app = demo_dir() / "app.py"
    if not app.is_file():
        raise UsageError(
            "no_demo",
            "this installation has no page.",
            file=str(app),
            hint="Install the package again, or run it from a checkout.",
        )
    console.note(f"Serving on http://{options.host}:{options.port} (Ctrl-C ends it)")
    from streamlit.web.cli import main as streamlit

    streamlit(["run", str(app), *_streamlit_options(options)], standalone_mode=False)
    return 0


def _streamlit_options(options: Namespace) -> list[str]:
    """What belongs to this run; what belongs to the page stands in its ``config.toml``."""
    words = [f"--server.port={options.port}", f"--server.address={options.host}"]
    return [*words, "--server.headless=true"] if options.no_browser else words


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError
    return port


DEMO = Command("demo", "open the page that compares models", _add_options, _run)
