"""A Dockerfile's steps, done in a directory instead of an image."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template

HOME = "/home/user"


def instructions(path: Path) -> Iterator[tuple[str, str]]:
    """Name and rest of each instruction, comments left out and lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            name, rest = line.split(maxsplit=1)
            yield name, rest


class Rehearsal:
    """Runs what the image's user would run; what root does before is left out."""

    def __init__(self, folder: Path, home: Path, port: int) -> None:
        self.folder, self.home, self.port = folder, home, port
        # The base image's python is the first on its path; the index is this machine's.
        python = Path(sys.base_prefix) / "bin"
        self.environment = {"PATH": f"{python}{os.pathsep}{os.environ['PATH']}"}
        self.environment |= {k: v for k, v in os.environ.items() if k.startswith("PIP_")}
        own_index = Path.home() / ".config/pip/pip.conf"
        if own_index.is_file():
            self.environment["PIP_CONFIG_FILE"] = str(own_index)
        self.directory = home
        self.command: list[str] = []
        self.health = ""
        self.log: list[str] = []

    def build(self) -> None:
        """All steps up to the command, which is left for ``start``."""
        own = False
        for name, rest in instructions(self.folder / "Dockerfile"):
            rest = rest.replace(HOME, str(self.home)).replace("8501", str(self.port))
            if name == "USER":
                own = True
            elif name == "ARG":
                key, _, value = rest.partition("=")
                self.environment[key] = value
            elif name == "ENV":
                self._set(rest)
            elif name == "WORKDIR":
                self.directory = Path(rest)
                self.directory.mkdir(parents=True)
            elif name == "COPY":
                self._copy(rest)
            elif name == "RUN" and own:
                self._run(rest)
            elif name == "HEALTHCHECK":
                self.health = rest.partition("CMD ")[2]
            elif name == "CMD":
                self.command = json.loads(rest)

    def _set(self, rest: str) -> None:
        before = dict(self.environment)
        for pair in shlex.split(rest):
            key, _, value = pair.partition("=")
            self.environment[key] = Template(value).substitute(before)

    def _copy(self, rest: str) -> None:
        *sources, target = (word for word in shlex.split(rest) if not word.startswith("--"))
        for pattern in sources:
            found = list(self.folder.glob(pattern))
            assert found, f"nothing is called {pattern}"
            for path in found:
                shutil.copy(path, self.directory / target)

    def _run(self, line: str) -> None:
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.log.append(done.stdout[-3000:] + done.stderr[-3000:])
        assert done.returncode == 0, self.log[-1]

    def start(self) -> "subprocess.Popen[bytes]":
        """The image's command; it ends when the caller ends it."""
        program = shutil.which(self.command[0], path=self.environment["PATH"])
        assert program is not None
        with (self.directory / "log.txt").open("wb") as log:
            return subprocess.Popen(
                [program, *self.command[1:]],
                cwd=self.directory,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def healthy(self) -> bool:
        """Whether the health check passes now."""
        done = subprocess.run(
            ["sh", "-c", self.health], env=self.environment, capture_output=True, check=False
        )
        return done.returncode == 0
