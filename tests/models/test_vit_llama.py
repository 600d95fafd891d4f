"""The captioner with a Llama: adapters that train alone, are saved alone and go into the decoder that is written."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from tests.models import toy_llama, toy_vit
from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.models.build import build_captioner
from tfcap.models.llama import Llama
from tfcap.models.llama_shape import shape_of
from tfcap.models.weight_table import tensors_of
from tfcap.scoring.gradient_norms import GradientNorm
from tfcap.settings import SelectionSettings, Settings
from tfcap.training import checkpoint
from tfcap.training.loop import optimizer_of
from tfcap.training.step import SummedAdamW, example_gradient_norms, train_step, values_of

V, T, B = toy_llama.VOCABULARY, 8, 4
LORA = {"train": "lora", "lora_rank": 2}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Of a captioner whose two halves come out of folders."""
    language, vision = tmp_path_factory.mktemp("llama"), tmp_path_factory.mktemp("vit")
    said = toy_llama.config()
    save_file(tensors_of(Llama(shape_of(said, "toy")).rows()), language / "model.safetensors")
    (language / "config.json").write_text(json.dumps(said), encoding="utf-8")
    toy_vit.write_vit(vision)
    return Settings().replace(
        model="vit_llama",
        checkpoint=str(language),
        encoder="vit",
        encoder_weights=str(vision),
        image_size=toy_vit.SIDE,
        prefix_length=2,
        max_tokens=T,
        dropout=0.0,
    )


def _batch():
    rng = np.random.default_rng(0)
    features = rng.normal(size=[B, toy_vit.HIDDEN]).astype(np.float32)
    tokens = rng.integers(3, V, [B, T]).astype(np.int32)
    return {"features": tf.constant(features), "tokens": tf.constant(tokens), "weights": tf.ones([B])}


def _trained(model, steps=3):
    optimizer = SummedAdamW(1e-2, weight_decay=0.0)
    optimizer.build(model.trainable_variables)
    step = train_step(model, optimizer, seed=0, clip_norm=1.0, xla=False, strategy=tf.distribute.get_strategy())
    for number in range(steps):
        step(_batch(), tf.constant(number))
    return optimizer


def _logits(model):
    batch = _batch()
    return model.decoder_logits(batch["features"], batch["tokens"], training=False).numpy()


def test_adapters_and_mapper_train_and_nothing_else(settings):
    model = build_captioner(settings.replace(**LORA).resolve(), V)
    trained = {variable.path for variable in model.trainable_variables}
    assert trained and all("/down/" in path or "/up/" in path or "mapper" in path for path in trained)
    frozen = [variable for variable in model.variables if variable.path not in trained and "float" in variable.dtype]
    before = [variable.numpy() for variable in frozen]
    _trained(model)
    for old, new in zip(before, frozen, strict=True):
        np.testing.assert_array_equal(new.numpy(), old, err_msg=new.path)
    assert model.parameters_trained == sum(np.prod(variable.shape) for variable in model.trainable_variables)


def test_what_is_saved_are_the_adapters_and_restoring_them_gives_the_captioner_back(settings, tmp_path):
    resolved = settings.replace(**LORA).resolve()
    model = build_captioner(resolved, V)
    optimizer = _trained(model)
    checkpoint.save(tmp_path, model, optimizer, {"step": 3, "epoch": 1}, best=True, writes=True)
    best = checkpoint.find(tmp_path, checkpoint.BEST)
    saved = {name.removeprefix("model/") for name in load_file(best / "state.safetensors") if name.startswith("model/")}
    adapters = {variable.path for pair in model.decoder.pairs for variable in (pair.down.kernel, pair.up.kernel)}
    assert saved == adapters | {variable.path for variable in model.mapper.variables}
    assert len(adapters) == 2 * 4 * toy_llama.GROUPED["num_hidden_layers"]  # of query, key, value and output
    again = build_captioner(resolved, V)
    assert np.abs(_logits(again) - _logits(model)).max() > 1e-3
    checkpoint.restore(best, again)
    np.testing.assert_allclose(_logits(again), _logits(model), atol=1e-6)


def test_the_written_decoder_computes_what_the_adapted_one_did(settings):
    model = build_captioner(settings.replace(**LORA).resolve(), V)
    unadapted = _logits(model)
    _trained(model)
    before = _logits(model)
    assert np.abs(before - unadapted).max() > 1e-2
    form = model.hugging_face()
    assert form.config["model_type"] == "llama" and "mapper" in form.left_out
    plain = Llama(shape_of(toy_llama.config(), "toy")).rows()
    assert [one.name for one in form.rows] == [one.name for one in plain]
    np.testing.assert_allclose(_logits(model), before, atol=1e-5)


@pytest.mark.parametrize("said", [LORA, {"train": "projection"}, {"train": "decoder"}], ids=lambda said: said["train"])
def test_gradient_norms_are_those_of_one_gradient_at_a_time(settings, said):
    model = build_captioner(settings.replace(**said).resolve(), V)
    _trained(model)  # before that the adapters' first halves have a gradient of 0
    batch = _batch()
    pairs = {**batch, "tokens": batch["tokens"][:, None], "weights": batch["weights"][:, None]}
    values = values_of(model.trainable_variables), values_of(model.non_trainable_variables)
    expected, _ = example_gradient_norms(model, xla=False)(*values, pairs)
    found = GradientNorm(SelectionSettings()).compute(model, xla=False)(*values, pairs)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.fixture
def mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def _logits(model):
    batch = _batch()
    return model.decoder_logits(batch["features"], batch["tokens"], training=False).numpy()


@pytest.mark.parametrize("train", ["lora", "projection"])
def test_in_mixed_precision_what_is_frozen_takes_two_bytes_and_what_trains_four(
    settings, mixed_precision, tmp_path, train
):
    resolved = settings.replace(train=train, mixed_precision=True).resolve()
    model = build_captioner(resolved, V)
    frozen = [variable for variable in model.decoder.non_trainable_variables if "float" in variable.dtype]
    assert {variable.dtype for variable in frozen} == {"bfloat16"}
    assert sum("kernel" in variable.path for variable in frozen) == 2 * 7
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    optimizer = _trained(model)
    losses, _ = model(_batch())
    assert np.isfinite(losses).all()
    checkpoint.save(tmp_path, model, optimizer, {"step": 3, "epoch": 1}, best=True, writes=True)
    saved = load_file(checkpoint.find(tmp_path, checkpoint.BEST) / "state.safetensors")
    assert {array.dtype for name, array in saved.items() if name.startswith("model/")} == {np.dtype(np.float32)}

    keras.config.set_dtype_policy("float32")
    exact = build_captioner(resolved, V)
    assert {variable.dtype for variable in exact.decoder.weights if "float" in variable.dtype} == {"float32"}
    checkpoint.restore(checkpoint.find(tmp_path, checkpoint.BEST), exact)
    expected = _logits(exact)
    np.testing.assert_allclose(_logits(model), expected, atol=2e-2 * np.abs(expected).max())


@pytest.mark.parametrize("train", ["all", "decoder"])
def test_in_mixed_precision_a_llama_that_trains_is_float32(settings, mixed_precision, train):
    model = build_captioner(settings.replace(train=train, mixed_precision=True, augment="none").resolve(), V)
    assert {variable.dtype for variable in model.decoder.weights} == {"float32"}
    assert model.decoder.compute_dtype == "bfloat16"


def test_marks_and_words_that_do_not_fit_the_checkpoint_are_refused(settings):
    resolved = settings.replace(**LORA).resolve()
    with pytest.raises(InputError, match="begins and ends captions otherwise.*begin 7 and end 8"):
        build_captioner(resolved, V, marks=Marks(7, 8))
    with pytest.raises(InputError, match="more tokens than the checkpoint"):
        build_captioner(resolved, V + 1)
    own = build_captioner(resolved, V - 2)
    assert {V - 2, V - 1} <= set(own.marks.never)


def _with(settings, folder, **said):
    folder.joinpath("config.json").write_text(json.dumps(toy_llama.config(**said)), encoding="utf-8")
    folder.joinpath("model.safetensors").symlink_to(f"{settings.model.checkpoint}/model.safetensors")
    return settings.replace(**LORA, checkpoint=str(folder)).resolve()


def test_of_several_ends_the_tokenizer_s_is_the_captioner_s_and_all_are_written(settings, tmp_path):
    ends = [toy_llama.END, 27, 28]
    resolved = _with(settings, tmp_path, eos_token_id=ends)
    model = build_captioner(resolved, V, marks=Marks(0, 28))
    assert model.marks.end == 28 and model.hugging_face().config["eos_token_id"] == ends
    assert build_captioner(resolved, V).marks.end == toy_llama.END
    with pytest.raises(InputError, match="begin 0 and end 26. Expected: begin 0 and end 29 or 27 or 28"):
        build_captioner(resolved, V, marks=Marks(0, 26))


def test_prefix_and_captions_beyond_its_positions_are_refused(settings, tmp_path):
    said = {"max_position_embeddings": 2 + T}
    build_captioner(_with(settings, tmp_path, **said), V)
    with pytest.raises(InputError, match=f"no positions.*Received: {3 + T} tokens.*={2 + T}"):
        build_captioner(settings.replace(**LORA, checkpoint=str(tmp_path), prefix_length=3).resolve(), V)


def test_a_frozen_random_mapper_is_refused(settings):
    with pytest.raises(InputError, match="mapper of vit_llama.*--train=encoder"):
        build_captioner(settings.replace(train="encoder", augment="none").resolve(), V)


def test_neither_biases_nor_the_weights_of_norms_decay(settings):
    """A step without a gradient moves what decays, which is what has more than one axis."""
    resolved = settings.replace(train="decoder", warmup_fraction=0.0, weight_decay=0.5).resolve()
    variables = build_captioner(resolved, V).trainable_variables
    optimizer = optimizer_of(resolved, total_steps=10)
    optimizer.build(variables)
    before = [variable.numpy() for variable in variables]
    optimizer.apply_gradients([(tf.zeros(variable.shape), variable) for variable in variables])
    kept = {one.path for one, old in zip(variables, before, strict=True) if np.array_equal(one.numpy(), old)}
    assert kept == {variable.path for variable in variables if len(variable.shape) == 1}
    assert sum(path.endswith("scale") for path in kept) == 2 * toy_llama.GROUPED["num_hidden_layers"] + 1
