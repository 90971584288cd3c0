"""The page served as a user starts it, with its processes, memory, log and temporary folder."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from cspine_zoo.resources import demo_dir


class Server:
    """``streamlit run`` on a free port of this machine.

    Args:
        folder: for its log and its temporary files.
        environment: variables besides this process's own.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.log = folder / "log.txt"
        self.temporary = folder / "temporary"
        self.temporary.mkdir(exist_ok=True)
        own = {"TMPDIR": str(self.temporary), **(environment or {})}
        command = [sys.executable, "-m", "streamlit", "run", str(demo_dir() / "app.py")]
        options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                [*command, *options], stdout=out, stderr=out, cwd=folder, env={**os.environ, **own}
            )
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            assert self._process.poll() is None, "the server ended"
            try:
                with urllib.request.urlopen(f"http://{self.address}/_stcore/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server did not answer")

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self._process.terminate()
        self._process.wait(30)

    def processes(self) -> dict[int, str]:
        """Command line of the server and of every process below it."""
        found = {self._process.pid: "server"}
        names = [entry.name for entry in Path("/proc").iterdir()]
        lines = {pid: status_of(pid) for pid in map(int, filter(str.isdigit, names))}
        for pid, (parent, command) in sorted(lines.items()):
            if parent in found:
                found[pid] = command
        return found

    def worker(self) -> int:
        """The process that runs models."""
        return next(pid for pid, command in self.processes().items() if "worker.py" in command)

    def memory_mb(self) -> float:
        """Memory of all its processes; what several map counts once."""
        return sum(map(proportional_mb, self.processes()))

    def said(self) -> str:
        """All that it wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def status_of(pid: int) -> tuple[int, str]:
    """Parent and command line of a process; (0, "") if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return 0, ""
    return int(stat.rsplit(")", 1)[1].split()[1]), command


def proportional_mb(pid: int) -> float:
    """Memory of one process, shared pages divided among those that map them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
