"""What every row of the zoo costs a study: python -m benchmarks.zoo [--rows 'cls-*'] [--write].

Each row runs in a process of its own, on CUDA if there is one. Cost does not depend on weights,
so rows without any are measured untrained. --write puts the table into docs/zoo.md; rows that were
not measured this time keep their lines.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import cspine_zoo as cz
from cspine_zoo.inference.blocks import block_shape, block_starts
from cspine_zoo.inference.precision import running, to_input
from cspine_zoo.models.outputs import ClassifierOutput
from cspine_zoo.models.segmenter import Segmenter
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.preprocess.resample import resample
from cspine_zoo.preprocess.window import apply_window
from cspine_zoo.zoo.cache import Shelf
from cspine_zoo.zoo.catalog import availability
from cspine_zoo.zoo.device import resolve_device
from cspine_zoo.zoo.load import RANDOM, load_entry
from cspine_zoo.zoo.manifest import ManifestEntry, read_manifest
from cspine_zoo.zoo.model import ZooModel

PAGE = Path(__file__).parent.parent / "docs" / "zoo.md"
BEGIN, END = "<!-- table: python -m benchmarks.zoo --write -->", "<!-- end of table -->"

FIELD_MM = 300.0
"""Side of the volume that a segmenter goes through."""
VERTEBRAE = 7
SLICES = 8
"""Of a network that goes slice by slice, measured in place of all."""

ENOUGH_SECONDS, MOST_RUNS = 10.0, 4
"""A run is repeated until it has had this much."""

CLASSIFIER = "cls-cnn-lite0"
"""Beside which localizers run."""

HEAD = (
    "row",
    "weights",
    "parameters",
    "GFLOP",
    "float32, s",
    "bfloat16, s",
    "peak MB",
    "difference",
)


@dataclass(frozen=True)
class Seconds:
    """Time of a run by the clock, and of all its threads together.

    The second says more where other processes share the cores: on quiet ones the clock would show
    about half of it for two.
    """

    wall: float
    cpu: float

    def text(self, times: float, device: str) -> str:
        """Of a whole study."""
        cpu = "" if device.startswith("cuda") else f" ({self.cpu * times:.1f})"
        return f"{self.wall * times:.1f}{cpu}"


@dataclass(frozen=True)
class Cost:
    """One row's line.

    Attributes:
        gflop: a study, multiplications and additions counted each.
        float32, bfloat16: seconds a study, by the clock and of all threads.
        peak_mb: of the process after the float32 run, everything in it.
        difference: largest in any probability between the two.
        on: what the difference was measured on.
    """

    parameters: int
    weights: str
    device: str
    gflop: float
    float32: str
    bfloat16: str
    peak_mb: float
    difference: float
    on: str


@dataclass(frozen=True)
class Portion:
    """A part of a study's work, and how many such parts make the whole.

    Attributes:
        images: what one run of the network takes.
        times: how many such runs make a study.
        small: less of the same, where ``images`` take long.
    """

    images: Tensor
    times: float
    small: Tensor


def portion_of(model: ZooModel) -> Portion:
    """What one run of the network takes, filled with noise in the range of windowed CT."""
    spec, network = model.preprocess, model.network
    if isinstance(network, Segmenter):
        spacing = spec.spacing_mm or (1.0, 1.0, 1.0)
        divisors = network.divisors
        whole = [math.ceil(FIELD_MM / mm / d) * d for mm, d in zip(spacing, divisors, strict=True)]
        block = list(block_shape(whole, network.largest_block, divisors))
        starts = [block_starts(*sizes) for sizes in zip(whole, block, divisors, strict=True)]
        times = float(math.prod(len(axis) for axis in starts))
        if divisors[2] == 1:
            times *= block[2] / SLICES
            block[2] = SLICES
        least = [max(size // 2 // d, 1) * d for size, d in zip(block, divisors, strict=True)]
        return Portion(noise(1, 1, *block), times, noise(1, 1, *least))
    crop = (spec.n_slices or 1, len(spec.channels), spec.size_px or 1, spec.size_px or 1)
    lead = (1, 1) if isinstance(network, SpineClassifier) else (1,)
    images = noise(*lead, *crop)
    return Portion(images, float(VERTEBRAE), images[..., : math.ceil(crop[0] / 4), :, :, :])


def noise(*shape: int) -> Tensor:
    """Repeatable numbers from -1 to 1."""
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 1


def probabilities(model: ZooModel, images: Tensor, precision: str) -> Tensor:
    """Everything that the network says, as probabilities, on the CPU."""
    output: ClassifierOutput | Tensor
    with running(model.device, precision):
        if isinstance(model.network, Segmenter):
            output = model(to_input(images, model.device))
        else:
            slices = to_input(images.flatten(0, -4), model.device)
            output = model(slices.unflatten(0, images.shape[:-3]))
    if isinstance(output, ClassifierOutput):
        logits = [output.logit, *([] if output.patient_logit is None else [output.patient_logit])]
        return torch.cat([one.flatten() for one in logits]).float().sigmoid().cpu()
    if "background" in model.entry.labels:
        return output.float().softmax(dim=1).cpu()
    return output.float().sigmoid().cpu()


def timed(
    call: Callable[[], Tensor],
    device: torch.device,
    first: AbstractContextManager[object] | None = None,
) -> tuple[Seconds, Tensor]:
    """The fastest of several calls, or the only one if it takes long; and what it gave.

    Args:
        call: what to run.
        device: where it runs.
        first: entered around the first call alone.
    """
    runs: list[Seconds] = []
    while not runs or (len(runs) < MOST_RUNS and sum(run.wall for run in runs) < ENOUGH_SECONDS):
        began, used = time.perf_counter(), time.process_time()
        with first if first is not None and not runs else nullcontext():
            answer = call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        runs.append(Seconds(time.perf_counter() - began, time.process_time() - used))
    return Seconds(min(run.wall for run in runs), min(run.cpu for run in runs)), answer


def measure(entry: ManifestEntry, device: torch.device) -> Cost:
    """Run one row in both precisions."""
    shelf = Shelf.open()
    bundled = availability(entry, shelf) in ("bundled", "cached")
    model = load_entry(entry, None if bundled else RANDOM, shelf).to(device)
    portion = portion_of(model)
    counter = FlopCounterMode(display=False)
    exactly, exact = timed(lambda: probabilities(model, portion.images, "float32"), device, counter)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    share = 1.0
    if exactly.wall > ENOUGH_SECONDS:
        share = portion.images.numel() / portion.small.numel()
        portion = replace(portion, images=portion.small)
        exact = probabilities(model, portion.images, "float32")
    roughly, rough = timed(lambda: probabilities(model, portion.images, "bfloat16"), device)
    difference, on = float((exact - rough).abs().max()), "noise, untrained"
    if bundled:
        difference, on = on_the_sample(model), "the sample study"
    return Cost(
        parameters=entry.parameters,
        weights="yes" if bundled else "none",
        device=str(device),
        gflop=counter.get_total_flops() * portion.times / 1e9,
        float32=exactly.text(portion.times, device.type),
        bfloat16=roughly.text(share * portion.times, device.type),
        peak_mb=peak,
        difference=difference,
        on=on,
    )


def on_the_sample(model: ZooModel) -> float:
    """The largest difference on the study that comes with the package."""
    ct = cz.read_ct(cz.sample_studies()[0].path)
    if isinstance(model.network, Segmenter):
        grid = ct.geometry.with_spacing(model.preprocess.spacing_mm or (1.0, 1.0, 1.0))
        windowed = apply_window(resample(ct.voxels, ct.geometry, grid), model.preprocess.window)
        sizes = [n // d * d for n, d in zip(windowed.shape, model.network.divisors, strict=True)]
        windowed = windowed[tuple(slice(size) for size in sizes)]
        volume = torch.from_numpy(np.ascontiguousarray(windowed))[None, None]
        exact, rough = (probabilities(model, volume, p) for p in ("float32", "bfloat16"))
        return float((exact - rough).abs().max())
    exactly, roughly = (answers(ct, model, p) for p in ("float32", "bfloat16"))
    return max(float(np.abs(a - b).max()) for a, b in zip(exactly, roughly, strict=True))


def answers(ct: cz.CTVolume, model: ZooModel, precision: str) -> list[NDArray[Any]]:
    """Probabilities of a classifier, or heats of a localizer beside a classifier."""
    if model.entry.task == "fracture-localization":
        seen = cz.predict(ct, CLASSIFIER, localizer=model, precision=precision)
        return [heat.probabilities for heat in seen.heat]
    one = cz.predict(ct, model, precision=precision).predictions[0]
    scores = (one.patient_overall, *(vertebra.probability for vertebra in one.vertebrae))
    return [np.array(score) for score in scores if score is not None]


def in_own_process(name: str, options: argparse.Namespace) -> Cost | str:
    """The cost of a row, or why there is none."""
    command = [sys.executable, "-m", "benchmarks.zoo", "--one", name, "--device", options.device]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=options.limit
        )
    except subprocess.TimeoutExpired:
        return f"over {options.limit:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it failed"])[-1]
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def line(name: str, cost: Cost | str) -> str:
    """A row of the Markdown table."""
    if isinstance(cost, str):
        return f"| {name} | {cost} |" + " |" * (len(HEAD) - 2)
    cells = (
        name,
        cost.weights,
        f"{cost.parameters:,}",
        f"{cost.gflop:,.0f}",
        cost.float32,
        cost.bfloat16,
        f"{cost.peak_mb:,.0f}",
        f"{cost.difference:.4f} ({cost.on})",
    )
    return f"| {' | '.join(cells)} |"


def write(lines: dict[str, str], names: list[str], note: str) -> None:
    """Put lines into the page, in the manifest's order, beside those that stand there."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    old, after = rest.split(END)
    known = {row.split("|")[1].strip(): row for row in old.splitlines() if row.startswith("| ")}
    rows = known | lines
    head = [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
    table = [*head, *(rows[name] for name in names if name in rows)]
    text = "\n".join([BEGIN, "", note, "", *table, "", END])
    PAGE.write_text(f"{before}{text}{after}", encoding="utf-8")


def machine(options: argparse.Namespace) -> str:
    """What the figures were measured on, in a sentence."""
    device = resolve_device(options.device)
    if device.type == "cuda":
        return f"Measured on {torch.cuda.get_device_name(device)}. {options.note}".strip()
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if sys.platform == "linux" else ""
    has = "with" if "amx_bf16" in flags or "avx512_bf16" in flags else "without"
    return (
        f"Measured on {torch.get_num_threads()} CPU cores {has} bfloat16 in hardware. "
        f"{options.note}"
    ).strip()


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="*", metavar="PATTERN")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds a row")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--write", action="store_true", help="into docs/zoo.md")
    parser.add_argument("--note", default="", help="a sentence about the machine, for the page")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    manifest = read_manifest()
    if options.one:
        cost: dict[str, Any] = asdict(
            measure(manifest[options.one], resolve_device(options.device))
        )
        print(json.dumps(cost))
        return
    names = [entry.name for entry in manifest]
    for name in (one for one in names if fnmatchcase(one, options.rows)):
        row = line(name, in_own_process(name, options))
        print(row, flush=True)
        if options.write:
            write({name: row}, names, machine(options))


if __name__ == "__main__":
    main()
