"""CLIP's towers, the dual encoder made of them and the encoders of captioners; equality with PyTorch: tests/parity."""

import json

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from tests.models.toy_clip import CONFIG, END, HIDDEN, PATCHES, SIDE, TEXT, VISION, D, toy_clip, write_clip
from tfcap import registry
from tfcap.errors import InputError
from tfcap.models import clip
from tfcap.models.build import build_captioner
from tfcap.models.dual_encoder import pretrained
from tfcap.models.weight_table import tensors_of
from tfcap.settings import Settings
from tfcap.training.step import values_of

IMAGES = np.random.default_rng(0).integers(0, 256, [3, SIDE, SIDE, 3]).astype(np.uint8)
TOKENS = np.array([[END - 1, 5, 9, END, END, END], [END - 1, 7, 0, 3, 4, END]], np.int32)
# Of CLIP's weights but the image tower's, for a checkpoint of that tower alone.
OTHER = ("text_model.", "text_projection", "logit_scale")


@pytest.fixture(scope="module")
def model():
    return toy_clip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "whole")


def test_pixels_are_normalised_by_the_published_mean_and_deviation(model):
    ends = np.array([[[[0, 0, 0], [255, 255, 255]]]], np.uint8)
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    found = np.asarray(model.vision.preprocess(ends))[0, 0]
    np.testing.assert_allclose(found[0], -np.array(mean) / deviation, rtol=1e-6)
    np.testing.assert_allclose(found[1], (1 - np.array(mean)) / deviation, rtol=1e-6)


def test_vectors_have_length_one_and_a_text_s_is_that_at_its_first_end(model):
    images, texts = model({"images": IMAGES}), model({"tokens": TOKENS})
    assert images.shape == (3, D) and texts.shape == (2, D) and images.dtype == texts.dtype == tf.float32
    for found in (images, texts):
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    shorter = np.asarray(model({"tokens": TOKENS[:1, :4]}))
    np.testing.assert_allclose(texts[:1], shorter, atol=1e-5)
    after = TOKENS.copy()
    after[0, 4:] = 11
    np.testing.assert_allclose(model({"tokens": after}), texts, atol=1e-5)
    before = TOKENS.copy()
    before[0, 2] = 11
    assert np.abs(np.asarray(model({"tokens": before}))[0] - texts[0]).max() > 1e-3


def test_the_logits_are_cosines_times_the_scale(model):
    cosines = np.asarray(model({"images": IMAGES})) @ np.asarray(model({"tokens": TOKENS})).T
    expected = np.exp(float(model.logit_scale.numpy())) * cosines
    np.testing.assert_allclose(model.logits_per_image(IMAGES, TOKENS), expected, rtol=1e-4)


@pytest.mark.parametrize("xla", [False, True])
def test_a_compiled_call_is_the_same(model, xla):
    parameters, state = values_of(model.trainable_variables), values_of(model.non_trainable_variables)

    @tf.function(jit_compile=xla)
    def forward(inputs):
        return model.stateless_call(parameters, state, inputs)[0]

    for inputs in ({"images": IMAGES}, {"tokens": TOKENS}):
        constants = {name: tf.constant(array) for name, array in inputs.items()}
        np.testing.assert_allclose(forward(constants), model(inputs), atol=1e-5)


def test_mixed_precision_leaves_the_dual_encoder_alone(model, folder):
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = pretrained(str(folder)).model({"tokens": TOKENS})
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(found, model({"tokens": TOKENS}), atol=1e-5)


def test_a_checkpoint_is_what_was_written_and_has_an_identity(model, folder, tmp_path):
    found = pretrained(str(folder))
    written = load_file(folder / "model.safetensors")
    for name, tensor in tensors_of(found.model.rows()).items():
        np.testing.assert_array_equal(tensor, written[name])
    np.testing.assert_array_equal(found.model({"images": IMAGES}), model({"images": IMAGES}))
    other = write_clip(tmp_path / "other", {**written, "logit_scale": np.array(1, np.float32)})
    assert pretrained(str(folder)).identity == found.identity != pretrained(str(other)).identity


def test_what_old_checkpoints_say_and_hold_besides(folder, tmp_path):
    """Positions as buffers, a configuration that is said twice, 2 for the end of text, colours of their own."""
    tensors = load_file(folder / "model.safetensors")
    buffers = {f"{tower}_model.embeddings.position_ids": np.arange(5)[None] for tower in ("vision", "text")}
    wrong = {**TEXT, "hidden_size": 64, "eos_token_id": 2}
    right = {"hidden_size": TEXT["hidden_size"]}
    old = write_clip(tmp_path / "old", {**tensors, **buffers}, text_config=wrong, text_config_dict=right)
    colours = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.25, 0.5]}
    (old / "preprocessor_config.json").write_text(json.dumps(colours), encoding="utf-8")
    found = pretrained(str(old)).model
    np.testing.assert_allclose(found({"tokens": TOKENS}), toy_clip()({"tokens": TOKENS}), atol=1e-6)
    white = np.full([1, 1, 1, 3], 255, np.uint8)
    np.testing.assert_allclose(found.vision.preprocess(white)[0, 0, 0], [1, 2, 1])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "bert"}, "image tower and a text tower.*model_type 'bert'.*vision_config and text_config"),
        ({"model_type": "clip_vision_model"}, "image tower and a text tower.*'clip_vision_model'"),
        ({"text_config": None}, "image tower and a text tower.*and vision in its config.json"),
        ({"vision_config": {**VISION, "hidden_size": "many"}}, "describes no CLIP.*hidden_size='many'.*int above 0"),
        ({"vision_config": {**VISION, "num_hidden_layers": 0}}, "describes no CLIP.*num_hidden_layers=0"),
        ({"vision_config": {**VISION, "hidden_act": "relu"}}, "hidden_act='relu'.*quick_gelu or gelu"),
        ({"vision_config": {**VISION, "num_attention_heads": 5}}, "hidden_size=12 and num_attention_heads=5"),
        ({"vision_config": {**VISION, "num_channels": 1}}, "describes no CLIP.*num_channels=1"),
        ({"vision_config": {**VISION, "patch_size": 5}}, "image_size=16 and patch_size=5"),
        ({"vision_config": {**VISION, "num_hidden_layers": 3}}, "missing: vision_model.encoder.layers.2.*and 10 more"),
        ({"text_config": {**TEXT, "num_hidden_layers": 1}}, "missing: none; left over: text_model.encoder.layers.1"),
        ({"projection_dim": D + 1}, r"of another shape: text_projection.weight is \[6, 8\] and not \[7, 8\]"),
        ({"projection_dim": "wide"}, "projection_dim='wide'"),
        ({"text_config": {**TEXT, "vocab_size": 99}}, "is not that of its text tower.*at most 99 tokens"),
        ({"text_config": {**TEXT, "eos_token_id": 7}}, "is not that of its text tower.*and 7 for the end of text"),
    ],
)
def test_a_checkpoint_of_something_else_is_an_error_of_one_line(folder, tmp_path, config, words):
    other = write_clip(tmp_path / "other", load_file(folder / "model.safetensors"), **config)
    with pytest.raises(InputError, match=words) as raised:
        pretrained(str(other))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("colours", [{"image_std": [1, 1]}, {"image_std": [1, 0, 1]}, {"image_mean": [0.5]}])
def test_colours_that_cannot_be_are_an_error(folder, tmp_path, colours):
    other = write_clip(tmp_path / "other", load_file(folder / "model.safetensors"))
    (other / "preprocessor_config.json").write_text(json.dumps(colours), encoding="utf-8")
    with pytest.raises(InputError, match="no mean and deviation of colours.*three numbers each"):
        pretrained(str(other))


def test_colours_that_transformers_5_writes_are_those_of_both_towers(folder, tmp_path):
    other = write_clip(tmp_path / "other", load_file(folder / "model.safetensors"))
    said = {"image_processor": {"image_mean": [0.5, 0.25, 0], "image_std": [1, 1, 0.5]}}
    (other / "processor_config.json").write_text(json.dumps(said), encoding="utf-8")
    for vision in (pretrained(str(other)).model.vision, _encoder(other).vision):
        assert vision.mean.tolist() == [0.5, 0.25, 0] and vision.deviation.tolist() == [1, 1, 0.5]


# As the encoder of a captioner.


def _encoder(folder, regions=False, size=SIDE, name="clip_vit"):
    return registry.ENCODERS[name](str(folder), size, regions)


def test_the_encoder_gives_the_projected_embedding_or_the_patches(model, folder):
    whole, regions = _encoder(folder), _encoder(folder, regions=True)
    found, patches = (np.asarray(made(made.preprocess(IMAGES))) for made in (whole, regions))
    assert found.shape == (3, D) and whole.feature_size == D
    assert patches.shape == (3, PATCHES, HIDDEN) and regions.feature_size == HIDDEN
    unit = np.asarray(model({"images": IMAGES}))
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), unit, atol=1e-5)
    assert np.ptp(np.linalg.norm(found, axis=1)) > 1e-4  # its length is kept
    np.testing.assert_allclose(patches, model.vision.patches(model.vision.preprocess(IMAGES))[:, 1:], atol=1e-6)
    assert whole.weights_hash() != regions.weights_hash()


@pytest.mark.parametrize("prefix", ["vision_model.", ""])
@pytest.mark.parametrize("projected", [True, False])
def test_an_image_tower_alone_is_enough(model, folder, tmp_path, prefix, projected):
    tensors = load_file(folder / "model.safetensors")
    alone = {name.replace("vision_model.", prefix): w for name, w in tensors.items() if not name.startswith(OTHER)}
    if not projected:
        del alone["visual_projection.weight"]
    config = {**VISION, "projection_dim": D, "model_type": "clip_vision_model"}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(alone, tmp_path / "model.safetensors")
    encoder = _encoder(tmp_path)
    pixels = encoder.preprocess(IMAGES)
    expected = model.vision(pixels) if projected else model.vision.patches(pixels)[:, 0]
    np.testing.assert_allclose(encoder(pixels), expected, atol=1e-6)
    assert encoder.feature_size == (D if projected else HIDDEN)


def test_the_hash_is_of_colours_and_activation_too(folder, tmp_path):
    tensors = load_file(folder / "model.safetensors")
    other = write_clip(tmp_path / "other", tensors, vision_config={**VISION, "hidden_act": "gelu"})
    first, second = _encoder(folder).weights_hash(), _encoder(other).weights_hash()
    (other / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0]}', encoding="utf-8")
    assert len({first, second, _encoder(other).weights_hash()}) == 3


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"folder": "imagenet"}, "read from a checkpoint.*--encoder_weights=imagenet.*hf://user/name"),
        ({"folder": "none"}, "read from a checkpoint.*--encoder_weights=none"),
        ({"folder": "/absent"}, "There is no checkpoint.*--encoder_weights=/absent"),
        ({"size": 32}, "images of another size.*--image_size=32.*--image_size=16"),
        ({"name": "clip_vit_b32"}, "is no ViT-B/32.*patches of 8, 2 layers of 12.*--encoder=clip_vit takes any"),
        ({"name": "clip_vit_b32", "folder": "imagenet"}, "read from a checkpoint"),
    ],
)
def test_weights_that_cannot_be_the_encoder_s_are_an_error(folder, said, words):
    with pytest.raises(InputError, match=words):
        _encoder(**{"folder": folder, **said})


def test_another_model_s_folder_is_no_encoder(tmp_path, folder):
    other = write_clip(tmp_path / "other", load_file(folder / "model.safetensors"), model_type="vit")
    with pytest.raises(InputError, match="is no CLIP with an image tower.*'vit'.*'clip_vision_model'"):
        _encoder(other)


def test_b32_is_what_its_name_says():
    encoder = registry.ENCODERS["clip_vit_b32"]("none", 64)
    images = np.zeros([1, 64, 64, 3], np.uint8)
    assert encoder(encoder.preprocess(images)).shape == (1, 512) and encoder.feature_size == 512
    published = clip.VisionShape()
    encoder.PROMISE.check(published, "published")
    count = sum(int(np.prod(variable.shape)) for variable in encoder.vision.weights)
    assert count == 87_849_216 - (50 - 5) * 768  # of openai/clip-vit-base-patch32, less the positions of 64 pixels


@pytest.mark.parametrize("attention", [False, True])
def test_a_captioner_takes_it_frozen_or_not(folder, attention):
    said = {"encoder": "clip_vit", "encoder_weights": str(folder), "image_size": SIDE, "attention": attention}
    said |= {"units": 4, "embedding_size": 3}
    frozen = build_captioner(Settings().replace(**said).resolve(), 9)
    trained = build_captioner(Settings().replace(**said, freeze_encoder=False).resolve(), 9)
    more = len(trained.trainable_variables) - len(frozen.trainable_variables)
    assert more == len(trained.encoder.vision.weights)
    inputs = {"images": IMAGES[:2], "tokens": np.array([[1, 4, 2], [1, 5, 2]], np.int32)}
    losses, _ = frozen({name: tf.constant(array) for name, array in inputs.items()})
    assert losses.shape == (2, 2) and np.isfinite(losses).all()
    assert CONFIG["projection_dim"] == D  # what the first features are wide
