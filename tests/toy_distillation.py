"""Toy distillations through `tfcap.distill`, in this process: seconds each, of pixels or of toy encoders' features."""

import contextlib
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import flags
from tests.models.toy_bert import write_bert
from tests.models.toy_vit import write_vit
from tfcap import distill

_ALIKE = {
    "scenes_size": 60,
    "image_size": 16,
    "max_tokens": 16,
    "text_epochs": 1,
    "projection_size": 8,
    "batch_size": 16,
    "experts": 1,
    "expert_epochs": 3,
    "expert_rate": 0.1,
    "expert_text_rate": 0.1,
    "latest_start": 1,
    "pairs": 4,
    "inner_steps": 2,
    "steps": 4,
    "checkpoint_every": 2,
    "show_every": 2,
    "judge_steps": 3,
    "judge_rates": "0.1,0.3",
    "xla": False,
    "progress": False,
}


class Distillation:
    """Commands on one data folder with one kind of problem, each with an --out of its own or of another.

    Attributes:
      settings: by flag, what every command says.
    """

    def __init__(self, **settings: object) -> None:
        self.settings = {**_ALIKE, **settings}

    def words(self, verb: str, out: Path, **changes: object) -> list[str]:
        """Returns the arguments of a command; a flag that is None is left out."""
        said = {name: value for name, value in self.settings.items() if verb != "study" or name != "pairs"}
        said |= {"out": out, **changes}
        switches = {True: "--{}", False: "--no{}"}
        return [verb] + [
            switches[value].format(name) if isinstance(value, bool) else f"--{name}={value}"
            for name, value in said.items()
            if value is not None
        ]

    def __call__(self, verb: str, out: Path, **changes: object) -> str:
        """Runs a command and returns what it prints."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            distill.main(["distill", *self.words(verb, out, **changes)])
        return printed.getvalue()

    def ended(self, verb: str, out: Path, **changes: object) -> tuple[int, str, str]:
        """Runs a command as a process ends it; returns the exit code and what it says on both outputs."""
        printed, errors = io.StringIO(), io.StringIO()
        outputs = contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors)
        with outputs[0], outputs[1], pytest.raises(SystemExit) as end:
            flags.exit_after(lambda: distill.main(["distill", *self.words(verb, out, **changes)]))
        return end.value.code, printed.getvalue(), errors.getvalue()

    def mistaken(self, verb: str, out: Path, **changes: object) -> str:
        """Runs a command that is a mistake, and returns the one line that says so; what lies in --out stays."""
        before = listing(Path(out)) if out else {}
        code, printed, errors = self.ended(verb, out, **changes)
        assert (code, printed) == (2, ""), errors
        assert errors.startswith("error: ") and errors.count("\n") == 1 and "Traceback" not in errors
        assert (listing(Path(out)) if out else {}) == before
        return errors


def of_pixels(data_dir: Path) -> Distillation:
    """Pictures, by the small image encoder and a small text encoder that is trained first."""
    return Distillation(data_dir=data_dir)


def of_features(data_dir: Path, weights: Path, **settings: object) -> Distillation:
    """Features of a toy ViT, and embeddings of a toy BERT; both are written into `weights`."""
    vit, bert = (write_vit(weights / "vit"), write_bert(weights / "bert"))
    encoders: Mapping[str, object] = {"encoder": "vit", "encoder_weights": vit}
    return Distillation(data_dir=data_dir, **encoders, text_encoder="bert", text_weights=bert, **settings)


def listing(folder: Path) -> dict[str, str]:
    """Path to content of the files in the folder, but for the file of the lock and those of TensorBoard."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock" and "tensorboard" not in path.parts
    }


def times(folder: Path) -> dict[str, int]:
    """Path to when it was written of the files in the folder, but for that of the lock."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def pairs(out: Path, name: str) -> dict[str, np.ndarray]:
    """The tensors of a set."""
    return load_file(out / "sets" / name / "pairs.safetensors")
