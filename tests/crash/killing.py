"""One experiment through the real command line, a toy by itself, and kills of it at chosen moments."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_REPOSITORY = Path(__file__).resolve().parents[2]
_SETTINGS = {
    "selector": "gradient_norm",
    "fraction": 0.5,
    "proxy_epochs": 2,
    "score_batch_size": 4,
    "track": "loss,gradient_norm,forgetting,aum",
    "scenes_size": 40,
    "image_size": 16,
    "max_tokens": 8,
    "min_word_count": 2,
    "augment": "crop_flip",
    "units": 4,
    "embedding_size": 4,
    "dropout": 0.3,
    "epochs": 4,
    "batch_size": 8,
    "validate_every": 1,
    "checkpoint_every": 1,
    "strategy": "single",
    "beams": 1,
    "eval_batch_size": 4,
    "bootstrap_resamples": 10,
    "java": "never",
    "samples": 1,
}
_FLAGS = (*[f"--{name}={value}" for name, value in _SETTINGS.items()], "--noxla", "--noexport", "--noprogress")
_TIMES = {
    *("steps_per_second", "images_per_second", "seconds", "pass_seconds"),
    *("train_seconds", "scoring_seconds", "teacher_seconds", "features_seconds"),
}

Moment = Callable[[Path], bool]


def appears(pattern: str) -> Moment:
    """Returns whether a path that matches the pattern is below the folder by now."""

    def there(folder: Path) -> bool:
        try:
            return any(folder.glob(pattern))
        except FileNotFoundError:  # a folder was renamed while it was read
            return False

    return there


def steps_done(folder_name: str, count: int) -> Moment:
    """Returns whether that folder's last checkpoint is of this step or a later one."""

    def reached(folder: Path) -> bool:
        try:
            return int((folder / "run" / folder_name / "LATEST").read_text().split("-")[1]) >= count
        except (FileNotFoundError, IndexError):
            return False

    return reached


# In the order in which a run passes them; each is true from its moment on, as long as nothing is killed before.
MOMENTS: dict[str, Sequence[Moment]] = {
    "build": (
        appears("data/.scenes.lock"),
        appears("data/scenes/*/incomplete*"),
        appears("data/scenes/*/incomplete*/*.tfrecord*"),
    ),
    "start": (appears("data/scenes/*/1.0.0"), appears("run"), appears("run/.experiment.json*"), appears("run/*.json")),
    "proxy": (steps_done("proxy", 1), steps_done("proxy", 3), appears("run/proxy/.*.partial")),
    "score": (
        appears("run/scores"),
        appears("run/scores/.*partial*"),
        appears("run/scores/*.npy"),
        appears("run/masks"),
    ),
    "train": (
        steps_done("checkpoints", 1),
        appears("run/checkpoints/.*.partial"),
        steps_done("checkpoints", 3),
        steps_done("checkpoints", 5),
        appears("run/checkpoints/BEST"),
    ),
    "evaluate": (appears("run/curves.png"), appears("run/history.json"), appears("run/captions.json")),
}


def _command(folder: Path, flags: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "tfcap.main", *flags, f"--data_dir={folder / 'data'}", f"--run_dir={folder / 'run'}"]


def complete(folder: Path, flags: Sequence[str] = _FLAGS) -> None:
    """Runs the experiment to its end; raises RuntimeError with what it said if it fails."""
    command = _command(folder, flags)
    done = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, timeout=1200, check=False)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-3000:]}")


def killed(folder: Path, moment: Moment, delay: float = 0.0, flags: Sequence[str] = _FLAGS) -> bool:
    """Starts the experiment and kills it `delay` seconds after the moment; returns False if it was done before.

    Raises:
      RuntimeError: it failed.
    """
    with open(os.devnull, "w") as nowhere, open(folder / "stderr.txt", "w+") as said:
        process = subprocess.Popen(_command(folder, flags), cwd=_REPOSITORY, stdout=nowhere, stderr=said)
        while process.poll() is None and not moment(folder):
            time.sleep(0.001)
        time.sleep(delay)
        process.kill()
        process.wait()
        said.seek(0)
        if process.returncode not in (0, -9):
            raise RuntimeError(f"exit code {process.returncode}: {said.read()[-3000:]}")
    (folder / "stderr.txt").unlink()
    return process.returncode == -9


def chosen(stage: str, rng: random.Random) -> tuple[Moment, float]:
    """Returns a moment of the stage and a delay, in seconds, both drawn."""
    return rng.choice(MOMENTS[stage]), rng.choice((0.0, rng.uniform(0, 0.05), rng.uniform(0, 0.5)))


def without_times(path: Path) -> dict[str, Any]:
    """Returns what a file of JSON says, but how long anything took."""
    found = json.loads(path.read_text())
    return {key: value for key, value in found.items() if key not in _TIMES}


def results(folder: Path) -> dict[str, object]:
    """Returns all that must not depend on kills: captions, metrics, scores, mask and curves, without times."""
    with np.load(folder / "run" / "masks" / "gradient_norm-0.5.npz") as mask:
        ids, kept = mask["ids"].tolist(), mask["mask"].tolist()
    return {
        "captions": (folder / "run" / "captions.json").read_bytes(),
        "metrics": without_times(folder / "run" / "metrics.json"),
        "history": without_times(folder / "run" / "history.json"),
        "scores": np.load(folder / "run" / "scores" / "gradient_norm.npy").tolist(),
        "score": without_times(folder / "run" / "scores" / "gradient_norm.json"),
        **{
            f"tracked {name}": np.load(folder / "run" / "dynamics" / f"{name}.npy").tobytes()
            for name in str(_SETTINGS["track"]).split(",")
        },
        "ids": ids,
        "mask": kept,
        "files": sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if "tensorboard" not in path.parts and path.is_file()
        ),
    }


def left_over(folder: Path) -> list[Path]:
    """Returns the paths that look as if a kill had left them."""
    return [
        path
        for path in folder.rglob("*")
        if "partial" in path.name or path.name.startswith("incomplete") or path.name.endswith(".tmp")
    ]
