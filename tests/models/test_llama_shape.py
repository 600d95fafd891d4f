"""Reading the shape of a Llama from config.json, as transformers 4 and 5 write it."""

import dataclasses

import pytest

from tests.models.toy_llama import GROUPED, PLAIN, SCALED, config
from tfcap.errors import InputError
from tfcap.models.llama_shape import LLAMA_3_2_1B, LLAMA_3_2_3B, LlamaShape, RopeScaling, shape_of

# What the published config.json of Llama-3.2-1B says, but for what is no matter of shape.
PUBLISHED = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "initializer_range": 0.02,
    "intermediate_size": 8192,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 128256,
}


def test_the_published_configurations_are_the_published_shapes():
    assert shape_of(PUBLISHED, "toy") == LLAMA_3_2_1B
    larger = {"head_dim": 128, "hidden_size": 3072, "num_attention_heads": 24, "num_hidden_layers": 28}
    assert shape_of({**PUBLISHED, **larger}, "toy") == LLAMA_3_2_3B
    instruct = {"eos_token_id": [128001, 128008, 128009]}
    shape = shape_of({**PUBLISHED, **instruct}, "toy")
    assert shape.ends == (128001, 128008, 128009)
    assert dataclasses.replace(shape, more_ends=()) == LLAMA_3_2_1B and LLAMA_3_2_1B.ends == (128001,)


def test_positions_are_those_of_the_configuration_and_longer_texts_are_refused():
    assert LLAMA_3_2_1B.max_position_embeddings == 131072 and LlamaShape().max_position_embeddings == 2048
    shape = shape_of(config(max_position_embeddings=9), "toy")
    shape.check_room(9)
    with pytest.raises(InputError, match="no positions.*Received: 10 tokens.*at most max_position_embeddings=9"):
        shape.check_room(10)


def test_scaling_is_read_from_either_place():
    new = shape_of(config(), "toy")
    assert new.rope_scaling == RopeScaling(**SCALED) and new.rope_theta == 50.0
    old = {"rope_parameters": None, "rope_scaling": {"rope_type": "llama3", **SCALED}, "rope_theta": 50}
    assert shape_of(config(**old), "toy") == new
    older = {"rope_parameters": None, "rope_scaling": {"type": "llama3", **SCALED}, "rope_theta": 50.0}
    assert shape_of(config(**older), "toy") == new


@pytest.mark.parametrize("rope", [{}, {"rope_scaling": None}, {"rope_parameters": {"rope_type": "default"}}])
def test_without_scaling_and_groups_there_is_none(rope):
    shape = shape_of({**PLAIN, **rope}, "toy")
    assert shape.rope_scaling is None and shape.rope_theta == 10000.0
    assert shape.num_key_value_heads == shape.num_attention_heads == 4 and not shape.tie_word_embeddings


def test_what_a_configuration_leaves_out_is_as_transformers_has_it():
    assert shape_of({"model_type": "llama"}, "toy") == LlamaShape()


def _scaling(**changes):
    return {"rope_parameters": {**GROUPED["rope_parameters"], **changes}}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "mistral"}, "model_type='mistral'"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ({"attention_bias": True}, "attention_bias=True"),
        ({"mlp_bias": True}, "mlp_bias=True"),
        ({"hidden_size": 26}, "hidden_size=26 and num_attention_heads=4"),
        ({"hidden_size": 20}, "hidden_size=20"),  # heads of 5
        ({"num_key_value_heads": 3}, "num_key_value_heads=3"),
        ({"head_dim": 8}, "head_dim=8"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0"),
        ({"num_attention_heads": "4"}, "num_attention_heads='4'"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings=1"),
        ({"eos_token_id": 30}, "eos_token_id=30"),
        ({"eos_token_id": []}, "eos_token_id=[]"),
        ({"eos_token_id": [30, 29]}, "eos_token_id=30"),
        ({"eos_token_id": [29, 30]}, "eos_token_id=[29, 30]"),
        ({"eos_token_id": [29, "7"]}, "eos_token_id=[29, '7']"),
        (_scaling(rope_type="yarn"), "rope_type='yarn'"),
        (_scaling(partial_rotary_factor=0.5), "partial_rotary_factor=0.5"),
        (_scaling(factor=0.0), "factor=0.0"),
        (_scaling(low_freq_factor=4.0), "low_freq_factor=4.0, high_freq_factor=4.0"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "original_max_position_embeddings=nothing"),
        ({"rope_parameters": "llama2"}, "rope_type='llama2'"),
    ],
)
def test_a_configuration_that_is_not_covered_is_refused(changes, named):
    with pytest.raises(InputError, match="config.json of toy describes no Llama") as caught:
        shape_of(config(**changes), "toy")
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_numbers_are_of_their_types_however_they_are_written():
    shape = shape_of(config(**_scaling(factor=8, rope_theta=50)), "toy")
    assert {type(value) for value in dataclasses.astuple(shape.rope_scaling)} == {float, int}
    assert type(shape.rope_theta) is type(shape.rope_scaling.factor) is float
