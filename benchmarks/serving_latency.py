"""Milliseconds from a JPEG to its caption: a SavedModel in a process of its own, and the Python path in this one.

    python -m benchmarks.serving_latency [--quick] [--run_dir=RUN] [--picture=FILE.jpg]

Batch 1. The process that serves imports TensorFlow alone. The Python path decodes the picture, calls the captioner's
`encode` and `generate` in a compiled graph, and then the tokenizer. Without a run, a small untrained captioner is made.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import tensorflow as tf

from benchmarks import measure, pictures
from tfcap import export
from tfcap.data.images import decode
from tfcap.data.text import SPECIAL, WordTokenizer
from tfcap.files import read_json
from tfcap.models.build import build_captioner, decoding_of
from tfcap.models.captioner import Captioner
from tfcap.settings import Settings
from tfcap.training import checkpoint

_CLIENT = Path(__file__).with_name("serving_client.py")
_PICTURE_SIZE = (500, 375)  # of a photograph of Flickr
_UNTRAINED_VOCABULARY = 150


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is measured: a captioner in this process and the same one as a SavedModel."""

    settings: Settings
    model: Captioner
    tokenizer: WordTokenizer
    saved_model: Path


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--run_dir", default="", help="folder of a finished run with its saved_model/")
    parser.add_argument("--picture", default="", help="a JPEG; without it one of 500 x 375 is made up")
    parser.add_argument("--calls", type=int, default=0, help="calls of one measured run")
    arguments = parser.parse_args()
    calls = arguments.calls or (10 if arguments.quick else 50)
    repeats = arguments.repeats or (3 if arguments.quick else 7)
    with tempfile.TemporaryDirectory() as folder:
        subject = of_run(Path(arguments.run_dir)) if arguments.run_dir else untrained(Path(folder))
        picture = Path(arguments.picture or Path(folder) / "picture.jpg")
        if not arguments.picture:
            picture.write_bytes(pictures.jpegs(1, _PICTURE_SIZE)[0])
        cases, client = measured(subject, picture, calls, repeats)
    sizes = {
        "run": arguments.run_dir or "untrained",
        "encoder": subject.settings.model.encoder,
        "image_size": subject.settings.data.image_size,
        "beams": subject.settings.evaluation.beams,
        "max_tokens": subject.tokenizer.max_tokens,
        "vocabulary": len(subject.tokenizer),
        "calls_per_run": calls,
    }
    measure.report("serving_latency", arguments.quick, sizes, cases, serving_process=client)


def measured(subject: Subject, picture: Path, calls: int, repeats: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the median and 90th percentile of a call on both sides, run in turn, and what the other process says."""
    encoded = picture.read_bytes()
    in_process = python_path(subject)
    runs: dict[str, list[list[float]]] = {"saved_model": [], "python": []}
    with subprocess.Popen(
        # -P: the folder of benchmarks would hide Python's own `selectors`.
        [sys.executable, "-P", str(_CLIENT), str(subject.saved_model), str(picture)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    ) as process:
        hello, last = _answer(process), {}
        for _ in range(repeats):
            last = _answer(process, calls)
            runs["saved_model"].append(last["milliseconds"])
            runs["python"].append([_milliseconds(lambda: in_process(encoded)) for _ in range(calls)])
        process.communicate()
    same = hello["caption"] == in_process(encoded)
    client = {**hello, **{name: last[name] for name in ("peak_memory_mib", "also_imported")}, "same_caption": same}
    ratios = [("saved_model", "python")]
    of_call: dict[str, Callable[[list[float]], float]] = {"p50": statistics.median, "p90": _p90}
    cases = {
        name: measure.case({side: [pick(run) for run in taken] for side, taken in runs.items()}, "ms", ratios)
        for name, pick in of_call.items()
    }
    return cases, client


def _answer(process: subprocess.Popen[str], calls: int = 0) -> dict[str, Any]:
    """Returns the other process's next line, after asking for some calls."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the serving process has no pipes")
    if calls:
        process.stdin.write(f"{calls}\n")
        process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"error: the serving process ended with code {process.wait()}")
    return json.loads(line)


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def _p90(values: list[float]) -> float:
    return statistics.quantiles(values, n=10, method="inclusive")[-1]


def python_path(subject: Subject) -> Callable[[bytes], str]:
    """Returns a function from a JPEG to its caption in this process, called once so that it is compiled."""
    settings, tokenizer = subject.settings, subject.tokenizer

    @tf.function
    def generate(images: tf.Tensor) -> tf.Tensor:
        features = subject.model.encode(images)
        tokens, _ = subject.model.generate(features, tokenizer.max_tokens, decoding_of(settings))
        return tokens

    def caption(encoded: bytes) -> str:
        image = decode(tf.constant(encoded), settings.data.image_size)
        return tokenizer.decode(generate(image[None]).numpy())[0]

    caption(pictures.jpegs(1, _PICTURE_SIZE)[0])
    return caption


def of_run(run_dir: Path) -> Subject:
    """Returns the captioner of a finished run with its best weights."""
    settings = Settings.from_json(read_json(run_dir / "experiment.json")["settings"])
    tokenizer = WordTokenizer.load(run_dir / "vocabulary.txt", settings.data.max_tokens)
    best = checkpoint.find(run_dir / "checkpoints", checkpoint.BEST)
    if best is None or not (run_dir / "saved_model").is_dir():
        raise SystemExit(f"error: --run_dir={run_dir} has no best checkpoint or no saved_model/")
    model = build_captioner(settings, len(tokenizer))
    checkpoint.restore(best, model)
    return Subject(settings, model, tokenizer, run_dir / "saved_model")


def untrained(folder: Path) -> Subject:
    """Returns the captioner of `scenes` with its initial weights, exported into `folder`."""
    settings = Settings().resolve()
    words = [f"word{number}" for number in range(_UNTRAINED_VOCABULARY - len(SPECIAL))]
    tokenizer = WordTokenizer([*SPECIAL, *words], settings.data.max_tokens)
    model = build_captioner(settings, len(tokenizer))
    decoding, size = decoding_of(settings), settings.data.image_size
    export.save(folder / "saved_model", model, tokenizer, decoding, image_size=size)
    return Subject(settings, model, tokenizer, folder / "saved_model")


if __name__ == "__main__":
    main()
