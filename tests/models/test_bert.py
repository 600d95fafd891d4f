"""BERT as a text encoder, and what is said of folders that are none; equality with PyTorch: tests/parity."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.models.toy_bert import MEAN, SHAPE, pooled, toy_bert, write_bert
from tfcap import registry
from tfcap.data.text import PAD
from tfcap.errors import InputError
from tfcap.models.checkpoints import open_checkpoint
from tfcap.models.contents import contents_behind

TEXTS = ["a red dog runs", "a cat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("bert") / "toy")


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def _made(folder, most=32):
    return registry.TEXT_ENCODERS["bert"](str(folder), most)


def _embedded(encoder):
    return np.asarray(encoder(encoder.tokens(TEXTS)))


def test_by_itself_an_embedding_is_the_first_token_s(folder):
    encoder = _made(folder)
    hidden = np.asarray(toy_bert()(encoder.tokens(TEXTS)))
    np.testing.assert_allclose(_embedded(encoder), hidden[:, 0], atol=1e-6)


@pytest.mark.parametrize("way", ["cls", "mean", "max"])
@pytest.mark.parametrize("unit", [False, True])
def test_pooling_is_what_the_folder_says(copied, way, unit):
    modules = {kind: path for kind, path in MEAN[0].items() if unit or kind != "Normalize"}
    others = {"pooling_mode_mean_sqrt_len_tokens": False, "word_embedding_dimension": 12}
    encoder = _made(pooled(copied, modules, {f"pooling_mode_{way}_token{'s' * (way != 'cls')}": True, **others}))
    tokens = encoder.tokens(TEXTS)
    hidden = np.asarray(encoder.bert(tokens))
    texts = [row[ids != PAD] for row, ids in zip(hidden, tokens, strict=True)]
    pool = {"cls": lambda row: row[0], "mean": lambda row: row.mean(axis=0), "max": lambda row: row.max(axis=0)}[way]
    expected = np.stack([pool(row) for row in texts])
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True) if unit else expected
    np.testing.assert_allclose(_embedded(encoder), expected, atol=1e-5)


def test_its_identity_is_of_pooling_tokenizer_and_length_too(folder, copied):
    ids = {_made(folder).identity(), _made(folder, 16).identity(), _made(pooled(copied, *MEAN)).identity()}
    lines = (copied / "vocab.txt").read_text(encoding="utf-8").split("\n")
    (copied / "vocab.txt").write_text("\n".join([*lines[:-3], lines[-2], lines[-3], ""]), encoding="utf-8")
    assert len(ids | {_made(copied).identity()}) == 4


def test_what_lies_behind_a_name_is_the_pooling_too(copied):
    pooled(copied, *MEAN)
    before = contents_behind({"text_weights": str(copied)})
    pooled(copied, MEAN[0], {"pooling_mode_cls_token": True})
    assert contents_behind({"text_weights": str(copied)}) != before


@pytest.mark.parametrize(
    "name",
    [
        lambda name: f"bert.{name}",
        lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
    ],
    ids=["of a model with a head", "of the first release"],
)
def test_older_names_are_read_and_heads_are_left_out(folder, copied, name):
    tensors = {name(key): value for key, value in load_file(folder / "model.safetensors").items()}
    heads = {"cls.predictions.bias": np.zeros(3, np.float32), "bert.pooler.dense.bias": np.zeros(12, np.float32)}
    buffers = {"bert.embeddings.position_ids": np.arange(40)[None]}
    save_file({**tensors, **heads, **buffers}, copied / "model.safetensors")
    np.testing.assert_allclose(_embedded(_made(copied)), _embedded(_made(folder)), atol=1e-6)


def test_there_are_no_more_tokens_than_places_and_the_end_is_kept(folder):
    encoder = _made(folder, 512)
    tokens = encoder.tokens(["the cat " * 300])
    assert encoder.most_tokens == 40 and tokens.shape == (1, 40)
    assert tokens[0, -1] == encoder.tokenizer.marks.end and encoder(tokens).shape == (1, SHAPE["hidden_size"])


def test_a_mark_that_is_spelled_out_is_text(folder):
    encoder = _made(folder)
    marks = encoder.tokenizer.marks
    found = encoder.tokens(["the [SEP] cat [CLS]"])[0]
    assert (found == marks.end).sum() == (found == marks.begin).sum() == 1


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "roberta"}, "describes no BERT.*model_type='roberta'"),
        ({"hidden_act": "relu"}, "hidden_act='relu'.*hidden_act='gelu'"),
        ({"position_embedding_type": "relative_key"}, "relative_key.*absolute"),
        ({"is_decoder": True}, "is_decoder=True"),
        ({"num_attention_heads": 5}, "hidden_size=12 and num_attention_heads=5"),
        ({"vocab_size": 90}, "tokenizer.*not that of its BERT.*tokens.*vocab_size=90"),
        ({"num_hidden_layers": 3}, "weights.*another model.*missing: encoder.layer.2"),
    ],
)
def test_another_model_is_refused(copied, config, expected):
    (copied / "config.json").write_text(json.dumps({"model_type": "bert", **SHAPE, **config}), encoding="utf-8")
    with pytest.raises(InputError, match=expected):
        _made(copied)


@pytest.mark.parametrize(
    ("modules", "pooling", "expected"),
    [
        (MEAN[0], {"pooling_mode_weightedmean_tokens": True}, "Received: pooling_mode_weightedmean_tokens"),
        (MEAN[0], {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "cls_token and .*mean_tokens"),
        (MEAN[0], {}, "Received: none. Expected: one of pooling_mode_cls_token"),
        ({**MEAN[0], "Dense": "3_Dense"}, MEAN[1], "not covered.*Normalize and Dense.*Transformer and Pooling"),
    ],
)
def test_another_pooling_is_refused(copied, modules, pooling, expected):
    with pytest.raises(InputError, match=expected):
        _made(pooled(copied, modules, pooling))


def test_a_pooling_that_is_named_and_missing_or_a_damaged_list_is_an_error(copied):
    (pooled(copied, *MEAN) / "1_Pooling" / "config.json").unlink()
    with pytest.raises(InputError, match="1_Pooling.*is missing"):
        _made(copied)
    (copied / "modules.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="modules.json is damaged"):
        _made(copied)


def test_a_text_without_room_for_a_word_is_an_error(folder):
    with pytest.raises(InputError, match="no room for a word.*2 tokens"):
        _made(folder, 2)


def test_a_folder_that_is_not_there_is_an_error_that_names_the_flag(tmp_path):
    with pytest.raises(InputError, match="no checkpoint.*--text_weights="):
        _made(tmp_path / "none")


def test_from_a_hub_comes_the_pooling_and_no_other_folder(monkeypatch, tmp_path):
    import huggingface_hub
    from huggingface_hub.utils import filter_repo_objects

    files = ["config.json", "model.safetensors", "modules.json", "1_Pooling/config.json", "vocab.txt"]
    others = [
        "onnx/model.json",
        "onnx/model.safetensors",
        "1_Dense/model.safetensors",
        "pytorch_model.bin",
        "a/1_P.json",
    ]

    def snapshot(name, *, revision, allow_patterns, ignore_patterns, endpoint):
        kept = filter_repo_objects([*files, *others], allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)
        assert list(kept) == files
        return str(write_bert(tmp_path / "downloaded"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert open_checkpoint("hf://user/name", "text_weights").config["model_type"] == "bert"
