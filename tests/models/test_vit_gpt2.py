"""The cross-attention captioner: what its words see, its cache; and the checkpoints that it refuses."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from tests.models.toy_gpt2 import END, FEATURES, REGIONS, ROOM, TOY, captions, config, cross_captioner, decoder
from tfcap.errors import InputError
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.encoders import Encoder
from tfcap.models.generation import Decoding
from tfcap.models.vit_gpt2 import CrossAttentionCaptioner, load_vision_encoder_decoder
from tfcap.models.weight_table import check_table, tensors_of

SIZES = [FEATURES, TOY["n_embd"]]  # with a projection between, and without
TOKENS = captions(4)


def _features(size=FEATURES, seed=0):
    return np.random.default_rng(seed).normal(0, 2, [4, REGIONS, size]).astype(np.float32)


@pytest.fixture(scope="module")
def made():
    return {size: cross_captioner(size) for size in SIZES}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("xla", [False, True])
def test_steps_with_the_cache_are_the_pass_without_it(made, size, xla):
    model = made[size]

    @tf.function(jit_compile=xla)
    def run(features, tokens):
        state, found = model.start(features), []
        for t in range(TOKENS.shape[1]):
            logits, state = model.step(tokens[:, t], state)
            found.append(logits)
        return tf.stack(found, axis=1)

    expected = model.decoder_logits(_features(size), TOKENS, training=False)
    np.testing.assert_allclose(run(_features(size), tf.constant(TOKENS)), expected, atol=1e-4)


def test_a_step_does_not_compute_the_memory_again(made):
    """Its keys and values are computed once: a step gives them on as they are."""
    state = made[FEATURES].start(_features())
    _, after = made[FEATURES].step(tf.constant(TOKENS[:, 0]), state)
    assert len(state.constant) == 2 * TOY["n_layer"]
    for memory, same in zip(state.constant, after.constant, strict=True):
        assert memory is same and memory.shape == (4, TOY["n_head"], REGIONS, TOY["n_embd"] // TOY["n_head"])


@pytest.mark.parametrize("size", SIZES)
def test_every_word_depends_on_every_region(made, size):
    before = made[size].decoder_logits(_features(size), TOKENS, training=False).numpy()
    for region in range(REGIONS):
        changed = _features(size)
        changed[:, region] *= -1
        after = made[size].decoder_logits(changed, TOKENS, training=False).numpy()
        assert np.abs(after - before).max(axis=-1).min() > 1e-4, region


def test_a_pooled_feature_is_one_region(made):
    one = _features()[:, :1]
    np.testing.assert_array_equal(
        made[FEATURES].decoder_logits(one[:, 0], TOKENS, training=False),
        made[FEATURES].decoder_logits(one, TOKENS, training=False),
    )


@pytest.mark.parametrize("no_repeat", [0, 2])
@pytest.mark.parametrize("beams", [1, 3])
def test_captions_begin_and_end_with_their_marks_and_differ_by_image(made, beams, no_repeat):
    decoding = Decoding(beams=beams, no_repeat_ngram=no_repeat)
    tokens, scores = made[FEATURES].generate(_features(), ROOM, decoding)
    tokens = tokens.numpy()
    assert (tokens[:, 0] == END).all() and np.isfinite(scores).all() and len({tuple(row) for row in tokens}) > 1
    for row in tokens:
        ends = np.flatnonzero(row[1:] == END)
        length = ends[0] + 2 if len(ends) else ROOM
        assert (row[:length] >= 0).all() and (row[length:] == -1).all()


@pytest.mark.parametrize("training", [False, True])
def test_dropout_is_of_features_and_words_in_training_alone(training):
    plain = cross_captioner().decoder_logits(_features(), TOKENS, training=training).numpy()
    for options in ({"dropout": 0.5}, {"image_dropout": 0.5}):
        found = cross_captioner(**options).decoder_logits(_features(), TOKENS, training=training).numpy()
        assert (np.abs(found - plain).max(axis=(1, 2)) > 1e-3).all() == training, options


class _Encoder(Encoder):
    feature_size = FEATURES


def _folder(tmp_path, model, generation=None, leave_out="", **changes):
    tensors = {name: value for name, value in tensors_of(model.rows()).items() if name != leave_out}
    tensors["encoder.embeddings.cls_token"] = np.zeros([1, 1, 2], np.float32)  # the encoder's own business
    tensors["decoder.transformer.h.0.crossattention.bias"] = np.ones([1, 1, 4, 4], np.float32)
    save_file(tensors, tmp_path / "model.safetensors")
    said = {
        "model_type": "vision-encoder-decoder",
        "encoder": {"model_type": "vit"},
        "decoder": config(add_cross_attention=True),
        **changes,
    }
    (tmp_path / "config.json").write_text(json.dumps(said), encoding="utf-8")
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    return Checkpoint(tmp_path, "toy")


def _loaded(checkpoint):
    return load_vision_encoder_decoder(checkpoint, _Encoder(), ROOM)


def test_the_table_fills_every_weight_and_both_directions_agree(made, tmp_path):
    model = made[FEATURES]
    check_table(model.rows(), model.trainable_variables)
    again = _loaded(_folder(tmp_path, model))
    for ours, theirs in zip(again.trainable_variables, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)


@pytest.mark.parametrize(
    ("changes", "generation", "marks"),
    [
        ({}, None, (END, END)),
        ({"decoder_start_token_id": 3, "eos_token_id": 4}, None, (3, 4)),
        ({"decoder_start_token_id": 3, "eos_token_id": 4}, {"decoder_start_token_id": 5, "eos_token_id": 6}, (5, 6)),
        ({"decoder_start_token_id": None, "bos_token_id": 7}, {}, (7, END)),
    ],
)
def test_begin_and_end_are_those_of_generation(made, tmp_path, changes, generation, marks):
    found = _loaded(_folder(tmp_path, made[FEATURES], generation, **changes)).marks
    assert (found.begin, found.end) == marks


def test_a_missing_tensor_is_named(made, tmp_path):
    name = "decoder.transformer.h.1.crossattention.q_attn.weight"
    with pytest.raises(InputError, match=f"missing: {name}; left over: none"):
        _loaded(_folder(tmp_path, made[FEATURES], leave_out=name))


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "gpt2"},
        {"decoder": None},
        {"decoder": config()},
        {"decoder": {**config(add_cross_attention=True), "model_type": "bert"}},
    ],
)
def test_another_model_is_refused(made, tmp_path, changes):
    with pytest.raises(InputError, match="toy is no image encoder with a GPT-2 that attends to it"):
        _loaded(_folder(tmp_path, made[FEATURES], **changes))


def test_more_tokens_than_positions_are_refused():
    model = CrossAttentionCaptioner(keras.layers.Identity(), FEATURES, decoder(cross=True), 33)
    with pytest.raises(InputError, match="33 tokens.*n_positions=32"):
        model.start(_features())
