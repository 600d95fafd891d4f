"""A study's folder as `tfcap.study` leaves it, written without training: two methods, two seeds, all the data."""

import json
from pathlib import Path

import numpy as np

from tfcap.settings import Settings

IMAGES = tuple(range(100, 112))
HOSTILE = "</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)> \u2028 \U0001f6b2 \u05e9"
_TRAIN = 20
_FINGERPRINTS = {split: f"{split}-fingerprint" for split in ("train", "validation", "test")}


def write_study(
    out: Path,
    methods: tuple[str, ...] = ("random", "loss"),
    fractions=(0.25, 0.5),
    seeds=(0, 1),
    protocols: tuple[str, ...] = (),
    model: str = "resnet50_lstm",
) -> Path:
    """Writes study.json and the folders of its runs; the second method is better, and more data are.

    Args:
      protocols: of the axis budget_steps, if that is one: "true" is 0.2 better.
      model: whose cells they are; of a classifier each image is right or wrong.
    """
    quality = Settings().replace(model=model).quality
    cells = {}
    for seed in seeds:
        points = [(method, fraction, one) for method in methods for fraction in fractions for one in protocols or ("",)]
        for method, fraction, steps in [*points, ("full", 1.0, "")]:
            words = {"": (), "false": ("equal_epochs",), "true": ("equal_steps",)}[steps]
            name = "-".join([method, *([] if method == "full" else [f"{fraction:g}"]), *words, f"s{seed}"])
            place = methods.index(method) if method in methods else 0
            values = np.random.default_rng([seed, place, int(100 * fraction)]).uniform(0, 0.4, len(IMAGES))
            values = (values + fraction + 0.1 * place + 0.2 * (steps == "true")).round(4).tolist()
            values = [int(value > 0.6) for value in values] if quality == "accuracy" else values
            selection = {} if method == "full" else {"selector": method, **({"budget_steps": steps} if steps else {})}
            selection |= {"model": model} if quality == "accuracy" else {}
            arguments = [*(f"--{flag}={value}" for flag, value in selection.items()), f"--fraction={fraction:g}"]
            cells[name] = {
                "axes": {"seed": str(seed), "selector": method, "fraction": f"{fraction:g}"}
                | ({"budget_steps": steps} if steps else {}),
                "arguments": [*arguments, f"--seed={seed}"],
                "metrics": _metrics(quality, values, fraction, method, seed),
                "per_image": {quality: values},
                "seconds": 60.0,
                "finished": "2026-01-02T03:04:05+00:00",
                "git_commit": "abc",
                "versions": {"tfcap": "0.1.0"},
                "processor": "a processor",
            }
            of_run = {"fraction": fraction, "seed": seed, "budget_steps": steps == "true", "model": model}
            settings = Settings().replace(data_dir=str(out / "gone"), **of_run)
            write_run(out / "runs" / name, settings, values, _said(quality, values, method, seed), method)
    (out / "study.json").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return out


def write_run(
    folder: Path, settings: Settings, values: list[float], captions: list[str], method: str = "random"
) -> Path:
    """Writes the folder of a finished run."""
    fraction, seed, quality = settings.selection.fraction, settings.run.seed, settings.quality
    (folder / "masks").mkdir(parents=True)
    (folder / "scores").mkdir()
    _json(
        folder / "experiment.json",
        {
            "settings": settings.to_json(),
            "fingerprints": _FINGERPRINTS,
            "command": ["main.py", f"--fraction={fraction:g}", f"--seed={seed}"],
            "started": "2026-01-02T03:04:05+00:00",
            "versions": {"tfcap": "0.1.0"},
            "git_commit": "abc",
        },
    )
    history = {"loss": [3.0, 2.0, 1.0], f"val_{quality}": [None, 0.5, fraction], "learning_rate": [1e-3, 1e-3, 0.0]}
    _json(folder / "history.json", history)
    _json(folder / "metrics.json", _metrics(quality, values, fraction, method, seed))
    _json(folder / "per_image.json", {"image_id": IMAGES, quality: values})
    _json(
        folder / "captions.json", [{"image_id": i, "caption": text} for i, text in zip(IMAGES, captions, strict=True)]
    )
    kept = np.zeros(_TRAIN, bool)
    kept[(np.arange(int(fraction * _TRAIN)) + (10 if method == "loss" else 0)) % _TRAIN] = True
    np.savez(folder / "masks" / f"{method}-{fraction:g}.npz", ids=np.flatnonzero(kept), mask=kept)
    about = {"selector": method, "fraction": fraction, "seed": seed, "fingerprint": _FINGERPRINTS["train"]}
    _json(folder / "masks" / f"{method}-{fraction:g}.json", about)
    np.save(folder / "scores" / "loss.npy", np.linspace(0, 3 + seed, _TRAIN, dtype=np.float32))
    _json(folder / "scores" / "loss.json", {"unit": "nats per token", "fingerprint": _FINGERPRINTS["train"]})
    return folder


def write_evaluation(folder: Path, settings: dict, metrics: dict | None = None) -> Path:
    """Writes the folder of a captioner that was evaluated as it is."""
    folder.mkdir(parents=True)
    described = {"settings": settings, "data": {"fingerprint": _FINGERPRINTS["test"]}, "command": ["evaluate.py"]}
    _json(folder / "evaluation.json", described)
    _json(folder / "metrics.json", {"CIDEr": {"value": 0.5, "low": 0.4, "high": 0.6}, **(metrics or {})})
    _json(folder / "per_image.json", {"image_id": IMAGES, "CIDEr": [0.5] * len(IMAGES)})
    return folder


def _metrics(quality: str, values: list[float], fraction: float, method: str, seed: int) -> dict:
    of_captions = {
        "BLEU-1": {"value": 0.5, "low": 0.4, "high": 0.6},
        "METEOR": None,
        "METEOR_missing": "METEOR needs Java.",
    }
    by_class = {name: {"value": 0.25, "low": 0.1, "high": 0.5} for name in ("airplane", "bird")}
    return {
        **(of_captions if quality == "CIDEr" else {"per_class": by_class}),
        quality: {"value": float(np.mean(values)), "low": 0.1, "high": 0.9},
        "tokenizer": "ptb-regex" if quality == "CIDEr" else "classes",
        "examples_total": _TRAIN,
        "examples_kept": int(fraction * _TRAIN),
        "train_seconds": 120 * fraction + (seed % 2),  # no two seeds take the same time
        "scoring_seconds": 60.0 if method == "loss" else 0.0,
        "features_seconds": 0,
    }


def _said(quality: str, values: list[float], method: str, seed: int) -> list[str]:
    """Returns a class of each image, or a caption.

    The first caption is hostile, and one method alone sees a bicycle on one picture.
    """
    if quality == "accuracy":
        return ["airplane" if value else "bird" for value in values]
    captions = [f"a {method} caption of {image} in study {seed}" for image in IMAGES]
    captions[0] = HOSTILE
    if method == "loss":
        captions[3] = "a red bicycle"
    return captions


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
