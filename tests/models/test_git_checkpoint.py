"""A GIT in a folder: both directions of its table, and what is refused."""

import json

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.models.toy_clip import SIDE
from tests.models.toy_git import TOY, VISION, config
from tfcap.errors import InputError
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.clip import VisionShape, VisionTower
from tfcap.models.git import GIT, GITShape
from tfcap.models.git_checkpoint import GITVisionShape, GITVit, decoder_shape_of, load_git, rows_of
from tfcap.models.weight_table import tensors_of


def _written(folder, tensors, **changes):
    (folder / "config.json").write_text(json.dumps(config(**changes)), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors")
    return Checkpoint(folder, "toy")


def _encoder(folder):
    return GITVit(str(folder), SIDE, regions=True)


@pytest.fixture(scope="module")
def made():
    keras.utils.set_random_seed(0)
    tower = VisionTower(VisionShape(**VISION), None, {})
    return tower, GIT(GITShape(**TOY), VISION["hidden_size"], VISION["layer_norm_eps"])


@pytest.fixture(scope="module")
def tensors(made):
    return tensors_of(rows_of(*made))


def test_what_is_written_is_read_again(made, tensors, tmp_path):
    tower, decoder = made
    again, encoder = load_git(_written(tmp_path, tensors)), _encoder(tmp_path)
    for ours, theirs in zip([*encoder.weights, *again.weights], [*tower.weights, *decoder.weights], strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)
    assert encoder.feature_size == VISION["hidden_size"] and again.image_norm.epsilon == VISION["layer_norm_eps"]


def test_the_encoder_gives_the_class_token_and_the_patches_and_a_hash_of_what_makes_them(made, tensors, tmp_path):
    (tmp_path / "other").mkdir()
    images = np.random.default_rng(0).integers(0, 256, [2, SIDE, SIDE, 3]).astype(np.uint8)
    _written(tmp_path, tensors)
    encoder = _encoder(tmp_path)
    features = encoder(encoder.preprocess(images))
    assert features.shape == (2, 1 + (SIDE // VISION["patch_size"]) ** 2, encoder.feature_size)
    _written(tmp_path / "other", tensors, vision_config=VISION | {"hidden_act": "gelu"})
    assert encoder.weights_hash() != _encoder(tmp_path / "other").weights_hash()
    assert encoder.weights_hash() == _encoder(tmp_path).weights_hash()


def test_colours_that_transformers_5_writes_are_the_tower_s(tensors, tmp_path):
    _written(tmp_path, tensors)
    said = {"image_processor": {"image_mean": [0.5, 0.25, 0], "image_std": [1, 1, 0.5]}}
    (tmp_path / "processor_config.json").write_text(json.dumps(said), encoding="utf-8")
    vision = _encoder(tmp_path).vision
    assert vision.mean.tolist() == [0.5, 0.25, 0] and vision.deviation.tolist() == [1, 1, 0.5]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hidden_size": 13}, "hidden_size=13 and num_attention_heads=3"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0"),
        ({"num_attention_heads": "3"}, "num_attention_heads='3'"),
        ({"eos_token_id": 30}, "eos_token_id=30"),
        ({"hidden_act": "relu"}, "hidden_act='relu'"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings=True"),
        ({"pad_token_id": 3}, "pad_token_id=3"),
        ({"model_type": "clip"}, "model_type='clip'"),
        ({"num_image_with_embedding": 6}, "a GIT of videos"),
        ({"num_image_with_embedding": 6}, "num_image_with_embedding=6"),
    ],
)
def test_a_configuration_that_is_not_covered_is_refused(changes, named):
    with pytest.raises(InputError, match="toy (describes no GIT|is a GIT of videos)") as caught:
        decoder_shape_of(config(**changes), "toy")
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_a_tower_that_is_not_covered_is_refused(tensors, tmp_path):
    with pytest.raises(InputError, match=r"describes no GIT.*Received: patch_size=\[8, 8\]"):
        load_git(_written(tmp_path, tensors, vision_config=VISION | {"patch_size": [8, 8]}))
    with pytest.raises(InputError, match=r"describes no GIT.*Received: patch_size=\[8, 8\]"):
        _encoder(tmp_path)


def test_weights_of_another_size_are_refused(tensors, tmp_path):
    with pytest.raises(InputError, match="output.bias is.*30.*and not.*31"):
        load_git(_written(tmp_path, tensors, vocab_size=31))


def test_tensors_that_nothing_reads_are_refused_but_old_positions_are_not(tensors, tmp_path):
    old = {"git.embeddings.position_ids": np.arange(24)[None]}
    (tmp_path / "old").mkdir()
    load_git(_written(tmp_path / "old", {**tensors, **old}))
    with pytest.raises(InputError, match="left over: git.img_temporal_embedding.0"):
        load_git(_written(tmp_path, {**tensors, "git.img_temporal_embedding.0": np.zeros([1, 1, 15], np.float32)}))


def test_what_a_configuration_leaves_out_is_the_published_base():
    shape = decoder_shape_of({"model_type": "git"}, "toy")
    assert (shape.hidden_size, shape.num_hidden_layers, shape.num_attention_heads) == (768, 6, 12)
    assert (shape.vocab_size, shape.bos_token_id, shape.eos_token_id) == (30522, 101, 102)
    tower = GITVisionShape()
    assert (tower.hidden_size, tower.patch_size, tower.image_size) == (768, 16, 224)
