"""``cspine-zoo demo``: the page, served on this machine."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from cspine_zoo.cli.command import Command
from cspine_zoo.cli.console import Console
from cspine_zoo.errors import UsageError
from cspine_zoo.resources import demo_dir


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8501, help="default: %(default)s")
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
    settings = {
        "server.port": str(options.port),
        "server.address": options.host,
        "server.headless": "true" if options.no_browser else "false",
        "server.showEmailPrompt": "false",
        # A page that receives scans tells nobody that it is used.
        "browser.gatherUsageStats": "false",
    }
    return [f"--{name}={value}" for name, value in settings.items()]


DEMO = Command("demo", "open the page that compares models", _add_options, _run)
