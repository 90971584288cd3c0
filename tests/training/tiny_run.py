"""A training run of seconds in a process of its own: python -m tests.training.tiny_run KIND DIR.

KIND is ``encoder``, on the made-up crops in DIR/crops, or ``segmenter``, on synthetic patches.
"""

import logging
import sys
from dataclasses import replace
from pathlib import Path

import torch

from cspine_zoo.synthetic.patches import PatchPreset
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.segmenter_presets import SEGMENTER
from cspine_zoo.training.slice_encoder import EncoderTask, train_encoder
from cspine_zoo.training.train import Job, train
from tests.training.made_up import TINY

CPU = Devices(None, "cpu", "float32")
STEPS = 24
TINY_SEGMENTER = replace(
    SEGMENTER,
    arguments=SEGMENTER.arguments | {"widths": [4, 6]},
    patches=PatchPreset(shapes=((12, 16, 16), (16, 12, 16)), spacing_mm=6.0),
    steps=STEPS,
    save_every=2,
)


def encoder_task(out: Path, resume: bool = False) -> EncoderTask:
    """24 steps on 8 pairs of crops."""
    preset = replace(TINY, encoder_passes=6, save_every=2)
    return EncoderTask(preset, out / "crops", out=out / "encoder", resume=resume, workers=1)


def main(kind: str, out: Path, resume: bool) -> None:
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO)
    if kind == "encoder":
        CPU.run(train_encoder, encoder_task(out, resume))
    else:
        train(Job(TINY_SEGMENTER, out, devices=CPU, resume=resume))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), "--resume" in sys.argv)
