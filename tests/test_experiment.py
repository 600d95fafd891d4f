"""Whole experiments of other kinds than the toy of `finished_run`."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcap import experiment
from tfcap.data.records import Records
from tfcap.preparation import Preparation
from tfcap.settings import Settings


@pytest.fixture(scope="module")
def frozen_flags(toy_flags, tmp_path_factory):
    """The toy experiment on features of a frozen MobileNetV2, whose weights are random."""
    keras.utils.set_random_seed(0)
    weights = tmp_path_factory.mktemp("weights") / "mobilenet_v2.weights.h5"
    keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(weights)
    return {**toy_flags, "image_size": 32, "encoder": "mobilenet_v2", "encoder_weights": str(weights)}


@pytest.fixture(scope="module")
def frozen_run(frozen_flags, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "frozen"
    experiment.run(Settings().replace(**frozen_flags, selector="gradient_norm", run_dir=str(folder)))
    return folder


def _feature_files(scenes_dir):
    return {path: path.stat().st_mtime_ns for path in scenes_dir.rglob("*.npy")}


def test_a_frozen_encoder_s_export_captions_pixels_as_the_run_captioned_features(frozen_run, scenes):
    captions = {one["image_id"]: one["caption"] for one in json.loads((frozen_run / "captions.json").read_text())}
    signature = tf.saved_model.load(str(frozen_run / "saved_model")).signatures["serving_default"]
    records = Records(scenes, "test")
    image = {"image": tf.io.FixedLenFeature([], tf.string)}
    encoded = tf.io.parse_example(records.raw(range(len(records))), image)["image"]
    found = signature(image_bytes=encoded)["caption"].numpy()
    assert [text.decode() for text in found] == [captions[int(number)] for number in records.ids]
    assert len(captions) == 6


def test_only_the_decoder_is_trained_and_scored(frozen_run):
    about = json.loads((frozen_run / "scores" / "gradient_norm.json").read_text())
    assert about["encoder"] == "mobilenet_v2" and about["epochs"] == 1
    assert (np.load(frozen_run / "scores" / "gradient_norm.npy") > 0).all()


def test_a_second_run_encodes_nothing(frozen_flags, frozen_run, scenes_dir, tmp_path):
    before = _feature_files(scenes_dir)
    assert len(before) == 3
    experiment.run(Settings().replace(**frozen_flags, seed=1, export=False, run_dir=str(tmp_path / "run")))
    assert _feature_files(scenes_dir) == before


def test_mixed_precision_goes_to_the_end(toy_flags, tmp_path):
    try:
        result = experiment.run(
            Settings().replace(**toy_flags, mixed_precision=True, selector="gradient_norm", run_dir=str(tmp_path))
        )
    finally:
        keras.config.set_dtype_policy("float32")
    history = json.loads((tmp_path / "history.json").read_text())
    assert np.isfinite(history["loss"]).all() and np.isfinite(history["val_loss"]).all()
    assert 0 <= result.metrics["BLEU-1"]["value"] <= 1
    assert np.isfinite(np.load(tmp_path / "scores" / "gradient_norm.npy")).all()
    assert (tmp_path / "saved_model" / "saved_model.pb").exists()


@pytest.mark.parametrize(
    "said",
    [
        {"selector": "el2n"},
        {"selector": "influence", "targets": 2, "sketch_type": "bits"},
        {"selector": "d2", "selection_score": "gradient_norm", "attention": True, "image_size": 64},
        {"selector": "k_means"},
        {"selector": "gradient_norm", "tie_embeddings": True},
        {"selector": "easiest", "selection_score": "caption_consensus"},
        {"selector": "mixed", "mixture": "hardest:1,k_center:1", "selection_score": "entropy"},
    ],
    ids=lambda said: said["selector"],
)
def test_a_selector_gets_its_signals(frozen_flags, tmp_path, said):
    asked = {**frozen_flags, **said, "proxy_epochs": 0, "run_dir": str(tmp_path / "run")}
    settings = Settings().replace(**asked)
    prep = Preparation(settings.resolve())
    mask = experiment.select(prep)
    assert len(set(mask.ids.tolist())) == int(0.75 * len(prep.records["train"])) == mask.mask.sum()
    again = experiment.select(prep)
    np.testing.assert_array_equal(again.ids, mask.ids)
