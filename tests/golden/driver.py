"""Trains the toy captioner once for each job and prints one JSON line a job: its loss curve and its last checkpoint.

    python -m tests.golden.driver '[{"name": "single", "run_dir": "/tmp/single", "settings": {...}}, ...]'

A job: `settings` replace those of TOY; `kill_at` is the optimizer step before which the process kills itself.
To record the golden curves anew, after a change that is meant to change the numbers:

    python -m tests.golden.driver --record
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import tfcap.quiet  # noqa: F401

import numpy as np

import tfrecords_builder
from tfcap.data.masks import Mask
from tfcap.data.pipeline import Captions, Inputs, TrainingBatches
from tfcap.data.records import Records
from tfcap.data.text import WordTokenizer
from tfcap.models.build import build_captioner
from tfcap.registry import SELECTORS
from tfcap.selection import Signals, budget_of
from tfcap.settings import Settings
from tfcap.training.loop import Training
from tfcap.training.strategy import connect

CURVES = Path(__file__).with_name("curves.json")
# 28 of 32 images in batches of 8: the last step of an epoch is half padding. One caption length, so one compilation.
TOY = {
    "scenes_size": 40,
    "image_size": 32,
    "max_tokens": 8,
    "augment": "crop",
    "units": 16,
    "embedding_size": 8,
    "fraction": 0.875,
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 0.01,
    "progress": False,
}
RECORDED = {"dropout 0": {"dropout": 0.0}, "dropout 0.3": {"dropout": 0.3}}


class _Killing(TrainingBatches):
    """Batches that end the process as a kill from outside would, before a given optimizer step."""

    kill_at: int

    def epoch(self, epoch, first_step=0):
        for number, batch in enumerate(
            super().epoch(epoch, first_step), start=epoch * self.steps_per_epoch + first_step
        ):
            if number == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch


def train(settings: Settings, run_dir: Path, kill_at: int | None = None) -> dict[str, object]:
    """Returns what training gave, having left its checkpoints under `run_dir`; a second call goes on from there."""
    settings = settings.resolve()
    replicas = connect(settings.training)
    records = Records(tfrecords_builder.build(settings.data, progress=False), "train")
    texts = [text for captions in records.captions for text in captions]
    tokenizer = WordTokenizer.fit(texts, settings.data.min_word_count, settings.data.max_tokens)
    budget = budget_of(settings.selection.fraction, len(records))
    ids = SELECTORS["random"]()(Signals(records.ids), budget, np.random.default_rng(settings.run.seed))
    kind = TrainingBatches if kill_at is None else _Killing
    batches = kind(
        Inputs(records, settings.data.image_size, settings.data.augment),
        Captions(records, tokenizer),
        Mask.of(ids, records).positions,
        settings.training.batch_size,
        settings.run.seed,
        replicas.worker,
    )
    batches.kill_at = kill_at
    with replicas.strategy.scope():
        model = build_captioner(settings, len(tokenizer))
    training = Training(model, batches, settings, settings.training.epochs, replicas, run_dir)
    began = training.progress.step
    progress = training.run()
    return {
        "began": began,
        "steps": progress.step,
        "fingerprint": records.fingerprint,
        "replicas": replicas.count,
        "loss": progress.history["loss"],
        "gradient_norm": progress.history["gradient_norm"],
    }


def record() -> None:
    """Writes curves.json from this machine's runs."""
    with tempfile.TemporaryDirectory() as folder:
        curves = {}
        for name, values in RECORDED.items():
            settings = Settings().replace(**TOY, **values, data_dir=f"{folder}/data")
            curves[name] = train(settings, Path(folder) / name)["loss"]
    CURVES.write_text(json.dumps(curves, indent=2) + "\n")


def main() -> None:
    if sys.argv[1:] == ["--record"]:
        record()
        return
    for job in json.loads(sys.argv[1]):
        settings = Settings().replace(**TOY).replace(**job["settings"])
        found = train(settings, Path(job["run_dir"]), job.get("kill_at"))
        sys.stdout.write(json.dumps({"name": job["name"], **found}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
