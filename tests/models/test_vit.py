"""ViT and the encoders made of it; equality with PyTorch: tests/parity."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.models.toy_vit import HIDDEN, PATCHES, SHAPE, SIDE, toy_vit, write_vit
from tfcap import registry
from tfcap.errors import InputError
from tfcap.models.build import build_captioner
from tfcap.models.transformer_shapes import ImageShape
from tfcap.models.vit import VitB16
from tfcap.models.weight_table import tensors_of
from tfcap.settings import Settings

IMAGES = np.random.default_rng(0).integers(0, 256, [3, SIDE, SIDE, 3]).astype(np.uint8)


@pytest.fixture(scope="module")
def tower():
    return toy_vit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_vit(tmp_path_factory.mktemp("vit") / "alone")


def _encoder(folder, regions=False, size=SIDE, name="vit"):
    return registry.ENCODERS[name](str(folder), size, regions)


def test_it_gives_the_class_token_or_all_tokens_with_it_in_front(tower, folder):
    whole, regions = _encoder(folder), _encoder(folder, regions=True)
    found, tokens = (np.asarray(made(made.preprocess(IMAGES))) for made in (whole, regions))
    assert found.shape == (3, HIDDEN) and tokens.shape == (3, 1 + PATCHES, HIDDEN)
    assert whole.feature_size == regions.feature_size == HIDDEN
    np.testing.assert_allclose(tokens[:, 0], found, atol=1e-6)
    np.testing.assert_allclose(tokens, tower.patches(tower.preprocess(IMAGES)), atol=1e-6)


def test_a_patch_is_known_by_its_place(tower):
    """Two images of the same patches in another order have other tokens."""
    turned = np.concatenate([IMAGES[:, 8:], IMAGES[:, :8]], axis=1)
    before, after = (np.asarray(tower.patches(tower.preprocess(images))) for images in (IMAGES, turned))
    assert np.abs(before[:, [3, 4, 1, 2]] - after[:, 1:]).max() > 1e-2


@pytest.mark.parametrize(
    ("said", "low", "high"),
    [({}, -1, 1), ({"image_mean": [0.5, 0, 0], "image_std": [0.25, 1, 1]}, [-2, 0, 0], [2, 1, 1])],
)
def test_pixels_are_normalised_as_the_checkpoint_says_or_to_between_minus_one_and_one(tmp_path, said, low, high):
    encoder = _encoder(write_vit(tmp_path))
    if said:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(said), encoding="utf-8")
        encoder = _encoder(tmp_path)
    found = np.asarray(encoder.preprocess(np.array([[[[0, 0, 0], [255, 255, 255]]]], np.uint8)))[0, 0]
    np.testing.assert_allclose(found, np.broadcast_arrays(low, high, np.zeros(3))[:2], atol=1e-6)


def test_what_transformers_5_writes_of_images_is_read(tmp_path):
    said = {"image_processor": {"image_mean": [0.5, 0, 0], "image_std": [0.25, 1, 1], "rescale_factor": 1 / 255}}
    encoder = _encoder(write_vit(tmp_path))
    first = encoder.weights_hash()
    (tmp_path / "processor_config.json").write_text(json.dumps(said), encoding="utf-8")
    encoder = _encoder(tmp_path)
    assert encoder.vision.mean.tolist() == [0.5, 0, 0] and encoder.vision.deviation.tolist() == [0.25, 1, 1]
    assert encoder.weights_hash() != first


@pytest.mark.parametrize("factor", [1.0, 0.0039, "1/255"])
def test_pixels_of_another_range_are_refused(tmp_path, factor):
    write_vit(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text('{"rescale_factor": 0.00392156862745098}', encoding="utf-8")  # as it is published
    _encoder(tmp_path)
    path.write_text(json.dumps({"rescale_factor": factor}), encoding="utf-8")
    with pytest.raises(InputError, match=f"another range. Received: rescale_factor={factor}. Expected: 1/255"):
        _encoder(tmp_path)


POOLER = {"pooler.dense.weight": np.ones([HIDDEN, HIDDEN], np.float32), "pooler.dense.bias": np.ones(HIDDEN, "f")}
HEAD = {"classifier.weight": np.ones([5, HIDDEN], np.float32), "classifier.bias": np.ones(5, np.float32)}
MASKED = {"vit.embeddings.mask_token": np.ones([1, 1, HIDDEN], np.float32), "decoder.0.bias": np.ones(192, np.float32)}
DECODER = {f"encoder.{name}": tensor for name, tensor in POOLER.items()}
DECODER |= {"decoder.transformer.wpe.weight": np.ones([7, 6], np.float32), "enc_to_dec_proj.bias": np.ones(6, "f")}


@pytest.mark.parametrize(
    ("prefix", "more"), [("", {}), ("", POOLER), ("vit.", HEAD), ("vit.", MASKED), ("encoder.", DECODER)]
)
def test_whatever_stands_around_it_it_is_the_same(tower, tmp_path, prefix, more):
    config = {"model_type": "vision-encoder-decoder", "encoder": {"model_type": "vit", **SHAPE}}
    tensors = {**tensors_of(tower.rows(prefix)), **more}
    encoder = _encoder(write_vit(tmp_path, tensors, **(config if prefix == "encoder." else {})))
    np.testing.assert_array_equal(encoder(encoder.preprocess(IMAGES)), tower(tower.preprocess(IMAGES)))


def test_queries_keys_and_values_may_be_without_biases(tmp_path):
    bare = toy_vit(qkv_bias=False)
    tensors = tensors_of(bare.rows())
    assert "encoder.layer.1.attention.attention.key.bias" not in tensors
    assert "encoder.layer.1.attention.output.dense.bias" in tensors
    encoder = _encoder(write_vit(tmp_path, tensors, qkv_bias=False))
    np.testing.assert_array_equal(encoder(encoder.preprocess(IMAGES)), bare(bare.preprocess(IMAGES)))
    with pytest.raises(InputError, match=r"missing: encoder.layer.0.attention.attention.key.bias.*left over: none"):
        _encoder(write_vit(tmp_path, tensors))


def test_what_is_not_known_of_a_checkpoint_is_an_error(tower, tmp_path):
    tensors = tensors_of(tower.rows())
    with pytest.raises(InputError, match="left over: layers.0.scale"):
        _encoder(write_vit(tmp_path, {**tensors, "layers.0.scale": np.ones(HIDDEN, np.float32)}))
    del tensors["embeddings.cls_token"]
    with pytest.raises(InputError, match="missing: embeddings.cls_token; left over: none"):
        _encoder(write_vit(tmp_path, tensors))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "deit"}, "is no ViT.*model_type 'deit'.*'vit', alone or of the encoder"),
        ({"model_type": "vision-encoder-decoder", "encoder": {"model_type": "swin"}}, "is no ViT.*model_type 'swin'"),
        ({"model_type": "vision-encoder-decoder"}, "is no ViT.*model_type None"),
        ({"qkv_bias": 1}, "describes no ViT.*qkv_bias=1.*true or false"),
        ({"num_channels": 1}, "describes no ViT.*num_channels=1. Expected: num_channels=3"),
        ({"hidden_act": "relu"}, "describes no ViT.*hidden_act='relu'.*quick_gelu or gelu"),
        ({"layer_norm_eps": 0.0}, "describes no ViT.*layer_norm_eps=0.0.*float above 0"),
        ({"patch_size": 5}, "describes no ViT.*image_size=16 and patch_size=5"),
        ({"intermediate_size": 9}, r"of another shape: .*intermediate.dense.bias is \[16\] and not \[9\]"),
    ],
)
def test_a_checkpoint_of_something_else_is_an_error_of_one_line(tower, tmp_path, config, words):
    with pytest.raises(InputError, match=words) as raised:
        _encoder(write_vit(tmp_path, tensors_of(tower.rows()), **config))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"folder": "none"}, "read from a checkpoint of ViT.*--encoder_weights=none"),
        ({"folder": "imagenet", "name": "vit_b16"}, "read from a checkpoint of ViT.*hf://user/name"),
        ({"size": 32}, "images of another size.*--image_size=32.*--image_size=16"),
        ({"name": "vit_b16"}, "is no ViT-B/16.*patches of 8, 2 layers of 12.*--encoder=vit takes any ViT"),
        ({"name": "vit_b16", "folder": "none", "size": 40}, "patches of 16 pixels.*--image_size=40.*multiple of 16"),
    ],
)
def test_weights_that_cannot_be_the_encoder_s_are_an_error(folder, said, words):
    with pytest.raises(InputError, match=words):
        _encoder(**{"folder": folder, **said})


def test_the_hash_is_of_colours_and_epsilon_too(tmp_path, folder):
    other = write_vit(tmp_path, layer_norm_eps=1e-3)
    first, second = _encoder(folder).weights_hash(), _encoder(other).weights_hash()
    (other / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0]}', encoding="utf-8")
    assert len({first, second, _encoder(other).weights_hash()}) == 3


def test_b16_is_what_its_name_says():
    encoder = _encoder("none", size=32, name="vit_b16")
    count = sum(int(np.prod(variable.shape)) for variable in encoder.trainable_weights)
    assert count == 86_389_248 - (768 + 1) * 768 - (197 - 5) * 768  # as published, less pooler and positions
    promise = VitB16.PROMISE
    promise.check(ImageShape(layer_norm_eps=1e-6), "published")
    with pytest.raises(InputError, match="is no ViT-B/16.*images of 384.*images of 224"):
        promise.check(ImageShape(image_size=384), "larger")


@pytest.mark.parametrize("attention", [False, True])
def test_a_captioner_takes_it_frozen_or_not(folder, attention):
    said = {"encoder": "vit", "encoder_weights": str(folder), "image_size": SIDE, "attention": attention}
    said |= {"units": 4, "embedding_size": 3}
    frozen = build_captioner(Settings().replace(**said).resolve(), 9)
    trained = build_captioner(Settings().replace(**said, freeze_encoder=False).resolve(), 9)
    assert len(trained.trainable_variables) - len(frozen.trainable_variables) == len(trained.encoder.vision.weights)
    inputs = {"images": IMAGES[:2], "tokens": np.array([[1, 4, 2], [1, 5, 2]], np.int32)}
    losses, _ = frozen({name: tf.constant(array) for name, array in inputs.items()})
    assert losses.shape == (2, 2) and np.isfinite(losses).all()
