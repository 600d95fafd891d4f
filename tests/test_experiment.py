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
    assert len(before) >= 3  # of the three splits, and what other tests made of the same data
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
        {"selector": "forgetting", "proxy_epochs": 2},
        {"selector": "gradient_norm", "tie_embeddings": True},
        {"selector": "easiest", "selection_score": "caption_consensus"},
        {"selector": "mixed", "mixture": "hardest:1,k_center:1", "selection_score": "entropy"},
    ],
    ids=lambda said: said["selector"],
)
def test_a_selector_gets_its_signals(frozen_flags, tmp_path, said):
    asked = {**frozen_flags, "proxy_epochs": 0, **said, "run_dir": str(tmp_path / "run")}
    settings = Settings().replace(**asked)
    prep = Preparation(settings.resolve())
    mask = experiment.select(prep)
    assert len(set(mask.ids.tolist())) == int(0.75 * len(prep.records["train"])) == mask.mask.sum()
    again = experiment.select(prep)
    np.testing.assert_array_equal(again.ids, mask.ids)


@pytest.mark.slow
def test_vgg19_lstm_with_attention_goes_to_the_end(toy_flags, tmp_path):
    """With its own encoder, frozen with the weights of a file."""
    weights = str(tmp_path / "vgg19.weights.h5")
    keras.applications.VGG19(include_top=False, weights=None, input_shape=(64, 64, 3)).save_weights(weights)
    changed = {"model": "vgg19_lstm", "encoder_weights": weights, "attention": True, "image_size": 64}
    flags = {**toy_flags, **changed, "selector": "gradient_norm", "run_dir": str(tmp_path / "run")}
    experiment.run(Settings().replace(**flags))
    settings = json.loads((tmp_path / "run" / "experiment.json").read_text())["settings"]
    assert (settings["model"]["model"], settings["model"]["encoder"]) == ("vgg19_lstm", "vgg19")
    assert settings["model"]["freeze_encoder"] is True
    assert np.isfinite(json.loads((tmp_path / "run" / "history.json").read_text())["loss"]).all()
    assert (np.load(tmp_path / "run" / "scores" / "gradient_norm.npy") > 0).all()
    assert (tmp_path / "run" / "saved_model" / "saved_model.pb").exists()


@pytest.fixture(scope="module")
def tracked_run(frozen_flags, tmp_path_factory):
    """A run on all images that tracked all that can be."""
    folder = tmp_path_factory.mktemp("runs") / "tracked"
    said = {"fraction": 1.0, "track": "loss,gradient_norm,forgetting,aum", "epochs": 2, "export": False}
    experiment.run(Settings().replace(**{**frozen_flags, **said}, run_dir=str(folder)))
    return folder


def _scored(flags, folder, name, **said):
    """Returns the scores `name` that an experiment which goes by them makes, and what is said of them."""
    asked = {**flags, "selector": "hardest", "selection_score": name, "epochs": 2, "run_dir": str(folder), **said}
    experiment.select(Preparation(Settings().replace(**asked).resolve()))
    about = json.loads((folder / "scores" / f"{name}.json").read_text())
    return np.load(folder / "scores" / f"{name}.npy"), about


def test_what_was_tracked_has_a_number_an_image_and_epoch(tracked_run, scenes):
    records = Records(scenes, "train")
    for name, unit in (("loss", "nats per token"), ("forgetting", "part of the words, in [0, 1]")):
        about = json.loads((tracked_run / "dynamics" / f"{name}.json").read_text())
        assert (about["fingerprint"], about["epochs"], about["images"]) == (records.fingerprint, 2, len(records))
        assert about["unit"] == unit
        tracked = np.load(tracked_run / "dynamics" / f"{name}.npy")
        assert tracked.shape == (2, len(records)) and tracked.dtype == np.float32 and np.isfinite(tracked).all()
    history = json.loads((tracked_run / "history.json").read_text())
    loss = np.load(tracked_run / "dynamics" / "loss.npy")
    assert loss.mean(axis=1) == pytest.approx(history["loss"], rel=0.1)  # a mean over images, not over tokens


def test_the_scoring_captioner_s_dynamics_are_those_of_a_run_on_all_images(frozen_flags, tracked_run, tmp_path):
    for name in ("forgetting", "aum"):
        own, about = _scored(frozen_flags, tmp_path / f"own-{name}", name)
        taught, of_teacher = _scored(frozen_flags, tmp_path / f"taught-{name}", name, teacher=str(tracked_run))
        np.testing.assert_allclose(own, taught, rtol=1e-5)
        assert about["epochs"] == of_teacher["epochs"] == 2
        assert about["train_seconds"] > 0 and of_teacher["train_seconds"] == 0
    taught_run = {**frozen_flags, "selector": "hardest", "selection_score": "aum", "teacher": str(tracked_run)}
    taught_run |= {"epochs": 1, "run_dir": str(tmp_path / "run"), "export": False}
    costs = experiment.run(Settings().replace(**taught_run)).metrics
    assert costs["teacher_seconds"] == json.loads((tracked_run / "history.json").read_text())["seconds"] > 0
    aum = np.load(tracked_run / "dynamics" / "aum.npy")
    np.testing.assert_allclose(taught, -aum.mean(axis=0), rtol=1e-5)


def test_what_a_finished_run_tracked_is_written_again_where_its_description_is_gone(tracked_run):
    path = tracked_run / "dynamics" / "aum.npy"
    before = path.read_bytes()
    path.write_bytes(b"damaged")
    path.with_suffix(".json").unlink()
    settings = json.loads((tracked_run / "experiment.json").read_text())["settings"]
    experiment.run(Settings.from_json(settings))
    assert path.read_bytes() == before and path.with_suffix(".json").exists()


def test_a_watcher_is_told_each_validation_and_which_is_the_last(toy_flags, tmp_path):
    seen = []
    said = {**toy_flags, "epochs": 3, "validate_every": 2, "run_dir": str(tmp_path / "run")}
    best = experiment.best_validation(Settings().replace(**said), lambda *told: seen.append(told))
    assert [(number, last) for number, _, last in seen] == [(1, False), (2, True)]
    assert best == max(cider for _, cider, _ in seen)
    assert not (tmp_path / "run" / "metrics.json").exists()
