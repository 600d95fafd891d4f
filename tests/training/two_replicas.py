"""What needs a CPU divided in two, done in a process of its own and printed as JSON; `results` runs it once."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_REPOSITORY = Path(__file__).resolve().parents[2]
CLIP_NORM = 0.05


@functools.cache
def results() -> dict[str, Any]:
    """Returns what the process found; a second call costs nothing."""
    command = [sys.executable, "-m", "tests.training.two_replicas"]
    done = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, timeout=1200, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout)


def _steps(replicas: Any) -> dict[str, Any]:
    import numpy as np
    import tensorflow as tf

    from tests.training.toy import batch, captioner
    from tfcap.training.step import SummedAdamW, train_step

    with replicas.strategy.scope():
        model = captioner(dropout=0.3)
        optimizer = SummedAdamW(0.1, weight_decay=0.05)
        optimizer.build(model.trainable_variables)
    step = train_step(model, optimizer, seed=0, clip_norm=CLIP_NORM, xla=True, strategy=replicas.strategy)
    found: dict[str, Any] = {"loss": [], "norm": []}
    for number in range(3):
        loss, norm = step(replicas.split(batch(4, seed=number)), tf.constant(number))
        found["loss"].append(float(loss))
        found["norm"].append(float(norm))
        if number == 0:
            moments = [v.numpy() for v in optimizer.variables if "momentum" in v.path]
            found["first_moment_norm"] = float(np.sqrt(sum((moment**2).sum() for moment in moments)))
    found["parameters"] = np.concatenate([v.numpy().ravel() for v in model.trainable_variables]).tolist()
    found["traces"] = step.experimental_get_tracing_count()
    return found


def _taught(replicas: Any) -> list[float]:
    """The parameters after two steps with a teacher."""
    import numpy as np
    import tensorflow as tf

    from tests.training.toy import batch, captioner
    from tfcap.training.knowledge import TaughtCaptioner
    from tfcap.training.step import SummedAdamW, train_step

    with replicas.strategy.scope():
        model = captioner()
        both = TaughtCaptioner(model, captioner(seed=1), alpha=0.1, temperature=4.0)
        optimizer = SummedAdamW(0.1)
        optimizer.build(model.trainable_variables)
    step = train_step(both, optimizer, seed=0, clip_norm=CLIP_NORM, xla=False, strategy=replicas.strategy)
    for number in range(2):
        step(replicas.split(batch(4, seed=number)), tf.constant(number))
    return np.concatenate([v.numpy().ravel() for v in model.trainable_variables]).tolist()


def _moving_statistics(replicas: Any) -> list[list[list[float]]]:
    """What two steps make of the moving statistics, those of each replica one after the other: [steps, replicas, n]."""
    import numpy as np
    import tensorflow as tf

    from tests.training.toy import classes, classifier
    from tfcap.models.batch_norm import moving_statistics
    from tfcap.training.step import SummedAdamW, train_step

    with replicas.strategy.scope():
        model = classifier(norm=True)
        optimizer = SummedAdamW(0.1)
        optimizer.build(model.trainable_variables)
    step = train_step(model, optimizer, seed=0, clip_norm=0.0, xla=True, strategy=replicas.strategy)
    found = []
    for number in range(2):
        step(replicas.split(classes(8, seed=number)), tf.constant(number))
        local = [replicas.strategy.experimental_local_results(variable.value) for variable in moving_statistics(model)]
        found.append([np.concatenate([part.numpy() for part in parts]).tolist() for parts in zip(*local, strict=True)])
    return found


def _dynamics(replicas: Any, xla: bool) -> dict[str, Any]:
    """What a training of two epochs tracks of nine of ten examples, in batches of four."""
    import numpy as np

    from tests.training.toy import FEATURES, ToyRecords, captioner
    from tfcap.data.pipeline import Captions, Inputs, TrainingBatches
    from tfcap.data.text import WordTokenizer
    from tfcap.registry import TRACKED
    from tfcap.scoring.tracking import tracking_of
    from tfcap.settings import SelectionSettings, Settings
    from tfcap.training.loop import Training

    records = ToyRecords(10)
    tokenizer = WordTokenizer(["<pad>", "<begin>", "<end>", "<unk>", "word0", "word1", "and"], max_tokens=6)
    inputs = Inputs(records, 16, features=np.random.default_rng(0).normal(size=(10, FEATURES)).astype(np.float32))
    batches = TrainingBatches(inputs, Captions(records, tokenizer), np.arange(9), 4, seed=0)
    with replicas.strategy.scope():
        model = captioner(dropout=0.3)
    settings = Settings().replace(xla=xla, progress=False, batch_size=4)
    with tempfile.TemporaryDirectory() as folder:
        tracking = tracking_of(tuple(TRACKED), model, SelectionSettings())
        training = Training(model, batches, settings, 2, replicas, Path(folder), tracking=tracking)
        training.run()
    return {name: array.tolist() for name, array in training.dynamics.items()}


def _scores(replicas: Any, xla: bool, images: bool) -> dict[str, list[float]]:
    import numpy as np

    from tests.scoring.toy import batches
    from tests.training.toy import captioner
    from tfcap.registry import SCORES
    from tfcap.scoring.signal import Pass
    from tfcap.settings import SelectionSettings

    with replicas.strategy.scope():
        model = captioner(encoder_trains=images)
    found = {}
    for name in ("gradient_norm",) if images else ("gradient_norm", "loss"):
        with tempfile.TemporaryDirectory() as folder:
            signal = SCORES[name](SelectionSettings())
            Pass(signal, model, batches(10, 4, images=images), replicas, xla).write(Path(folder), name, False)
            found[name] = np.load(Path(folder) / f"{name}.npy").tolist()
    return found


def _split_and_gather(replicas: Any) -> dict[str, Any]:
    import numpy as np

    batch = {"a": np.arange(8), "b": np.arange(12.0).reshape(4, 3)}
    parts = replicas.split(batch)
    return {
        "local": [part.numpy().tolist() for part in replicas.strategy.experimental_local_results(parts["a"])],
        "whole": {name: replicas.gather(part).tolist() for name, part in parts.items()},
        "given": {name: array.tolist() for name, array in batch.items()},
    }


def main() -> None:
    import tfcap.quiet  # noqa: F401

    from tests.training.toy import batch
    from tfcap.data.text import PAD
    from tfcap.settings import TrainingSettings
    from tfcap.training.strategy import connect

    two = connect(TrainingSettings(virtual_devices=2))
    one = connect(TrainingSettings(strategy="single"))
    lengths = (batch(4, seed=0)["tokens"][:, 1:] != PAD).sum(axis=1)
    found = {
        "counts": [one.count, two.count],
        "clip_norm": CLIP_NORM,
        "tokens_by_half": [int(lengths[:2].sum()), int(lengths[2:].sum())],
        "split": _split_and_gather(two),
        "steps": {"1": _steps(one), "2": _steps(two)},
        "taught": {"1": _taught(one), "2": _taught(two)},
        "moving_statistics": _moving_statistics(two),
        "dynamics": {
            f"{replicas.count} {xla}": _dynamics(replicas, bool(xla)) for replicas in (one, two) for xla in (0, 1)
        },
        "scores": {
            f"{replicas.count} {'images' if images else 'features'}": _scores(replicas, xla=not images, images=images)
            for replicas in (one, two)
            for images in (False, True)
        },
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
