"""Each captioner of a pretrained decoder through a whole run of two replicas and XLA, and what is then done with it.

The decoders are toys, and so are the captions; what is asked is that every way to them gives the same ones.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from tests import plain_tensorflow
from tests.crash import killing
from tests.models.toy_clip import write_clip
from tests.models.toy_vit import SIDE, write_vit
from tests.toy_checkpoints import MAX_TOKENS, write_git, write_gpt2, write_llama, write_pair
from tfcap import convert, evaluate, registry
from tfcap.command_settings import EvaluateSettings
from tfcap.data.pipeline import Inputs
from tfcap.data.records import Records
from tfcap.data.subwords import tokenizer_in
from tfcap.files import read_json
from tfcap.models.build import build_captioner, decoding_of
from tfcap.settings import Settings, TrainingSettings
from tfcap.training import checkpoint
from tfcap.training.decoding import Decoder
from tfcap.training.strategy import connect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TEST_IMAGES, STEPS = 6, 5  # of the test split, and in an epoch
# What an evaluation takes too.
_SHARED = {
    "scenes_size": 60,
    "image_size": SIDE,
    "max_tokens": MAX_TOKENS,
    "beams": 2,
    "eval_batch_size": TEST_IMAGES,
    "bootstrap_resamples": 10,
    "java": "never",
    "samples": 1,
}
_TRAINING = {
    "fraction": 0.75,
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 0.01,
    "checkpoint_every": 1,
    "virtual_devices": 2,
    "strategy": "mirrored",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """Its checkpoint, the encoder's where that is another, and settings of its own."""

    checkpoint: Callable[[Path], Path]
    encoder: Callable[[Path], Path] | None
    settings: Mapping[str, Any]


_LORA = {"train": "lora", "lora_rank": 2, "lora_dropout": 0.1}
ROWS = {
    "clip_gpt2": Row(write_gpt2, write_clip, {"encoder": "clip_vit", "train": "decoder", "prefix_length": 3}),
    "vit_gpt2": Row(write_pair, None, {"train": "all"}),
    "git": Row(write_git, None, {"train": "all", "learning_rate": 0.001}),
    "vit_llama": Row(write_llama, write_vit, {"encoder": "vit", "prefix_length": 3, **_LORA}),
}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A captioner's finished run in `folder`, and the flags that it was made with."""

    name: str
    folder: Path
    flags: tuple[str, ...]

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def captions(self) -> list[str]:
        return [one["caption"] for one in read_json(self.run / "captions.json")]

    def settings(self) -> Settings:
        return Settings.from_json(read_json(self.run / "experiment.json")["settings"])


@pytest.fixture(scope="module", params=ROWS)
def trained(request, scenes_dir, tmp_path_factory) -> Trained:
    folder, row = tmp_path_factory.mktemp(request.param), ROWS[request.param]
    (folder / "checkpoint").mkdir()
    said = {**_SHARED, **_TRAINING, "model": request.param, "checkpoint": row.checkpoint(folder / "checkpoint")}
    if row.encoder:
        said["encoder_weights"] = row.encoder(folder / "encoder")
    flags = tuple(f"--{name}={value}" for name, value in {**said, **row.settings}.items())
    (folder / "data").symlink_to(scenes_dir)
    found = Trained(request.param, folder, (*flags, "--noprogress"))
    killing.complete(folder, found.flags)
    return found


def test_it_learns_in_two_replicas_with_xla(trained):
    training = trained.settings().training
    assert (training.strategy, training.virtual_devices, training.xla) == ("mirrored", 2, True)
    first, last = read_json(trained.run / "history.json")["loss"]
    assert last < first
    metrics = read_json(trained.run / "metrics.json")
    assert (metrics["parameters_trained"] == metrics["parameters"]) == (trained.settings().model.train == "all")
    assert len(trained.captions) == TEST_IMAGES
    assert len(set(trained.captions)) > 1  # or equal captions would say little below


def test_a_run_that_was_killed_ends_where_one_that_was_not_does(trained, tmp_path):
    (tmp_path / "data").symlink_to(trained.folder / "data")
    assert killing.killed(tmp_path, killing.steps_done("checkpoints", STEPS + 1), flags=trained.flags)
    state = read_json(checkpoint.find(tmp_path / "run" / "checkpoints") / "state.json")
    assert state["epoch"] == 1 and 0 < state["step_in_epoch"] < STEPS
    killing.complete(tmp_path, trained.flags)

    resumed, whole = tmp_path / "run", trained.run
    assert (resumed / "captions.json").read_bytes() == (whole / "captions.json").read_bytes()
    assert killing.without_times(resumed / "metrics.json") == killing.without_times(whole / "metrics.json")
    history, expected = (killing.without_times(run / "history.json") for run in (resumed, whole))
    assert history["steps"] == expected["steps"] == 2 * STEPS
    for name in ("loss", "gradient_norm", "learning_rate"):
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-6)
    ours, theirs = (load_file(checkpoint.find(run / "checkpoints") / "state.safetensors") for run in (resumed, whole))
    assert ours.keys() == theirs.keys()
    apart = {name: np.linalg.norm(ours[name] - theirs[name]) for name in ours if name.startswith("model/")}
    assert {name: by for name, by in apart.items() if by > 1e-6 * np.linalg.norm(theirs[name])} == {}


def test_plain_tensorflow_captions_pictures_as_the_run_did(trained, scenes, tmp_path):
    records = Records(scenes, "test")
    image = {"image": tf.io.FixedLenFeature([], tf.string)}
    pictures = tf.io.parse_example(records.raw(range(len(records))), image)["image"].numpy()
    assert plain_tensorflow.captions(trained.run / "saved_model", pictures, tmp_path) == trained.captions


def test_what_is_written_is_read_again_and_captions_the_same(trained, scenes, tmp_path):
    """By tfcap.evaluate where all of the captioner is written, and else behind the run's own mapper."""
    convert.convert(trained.run, tmp_path / "out")
    if trained.name in registry.DIRECT:
        asked = EvaluateSettings(trained.name, str(tmp_path / "out"), split="test", out=str(tmp_path / "evaluated"))
        evaluate.evaluate(asked, {**_SHARED, "data_dir": str(trained.folder / "data"), "progress": False})
        found = [one["caption"] for one in read_json(tmp_path / "evaluated" / "captions.json")]
    else:
        found = _behind_its_mapper(trained, tmp_path / "out", Records(scenes, "test"))
    assert found == trained.captions


def _behind_its_mapper(trained: Trained, written: Path, records: Records) -> list[str]:
    """Captions of the language model that was written, adapters merged, behind the run's encoder and mapper."""
    settings, tokenizer = trained.settings(), tokenizer_in(trained.run, MAX_TOKENS)
    changed = settings.replace(checkpoint=str(written), train="projection")
    model, plain = (build_captioner(each, len(tokenizer), marks=tokenizer.marks) for each in (settings, changed))
    checkpoint.restore(checkpoint.find(trained.run / "checkpoints", checkpoint.BEST), model)
    plain.mapper.set_weights(model.mapper.get_weights())
    replicas = connect(TrainingSettings(strategy="single"))
    decoder = Decoder(plain, tokenizer, replicas, decoding_of(settings), xla=False)
    texts, _ = decoder.captions(Inputs(records, SIDE), np.arange(len(records)), TEST_IMAGES, progress=False)
    return texts
