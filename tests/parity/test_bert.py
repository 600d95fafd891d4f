"""BERT as a text encoder against PyTorch on the same weights: tokens, hidden states, and what becomes of them."""

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from tests.data import toy_subwords
from tests.models.toy_bert import MEAN, SHAPE, pooled
from tests.parity.sequences import with_noise
from tfcap import registry
from tfcap.data.text import PAD
from tfcap.models.weight_table import tensors_of

pytestmark = pytest.mark.parity

TEXTS = ["A red dog runs!", "two dogs " * 250, "naïve 日本語 🎉", "!!! ! !", "", "The cat's ball isn't red, is it?"]
# Far from the values that a library has built in: a norm with its own epsilon instead would be seen.
VARIANTS = {
    "toy": {},
    "toy with other norms": {"layer_norm_eps": 0.05},
    "BERT-base": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] if name == "BERT-base" else []) for name in VARIANTS],
    ids=str,
)
def both(request, tmp_path_factory):
    """A model of PyTorch, its tokenizer, and the folder that it wrote."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = transformers.BertConfig(**{**SHAPE, **VARIANTS[request.param]})
    # Of a base size the noise of a toy would make attention a choice of one token.
    theirs = with_noise(transformers.BertModel(config), 0.02 if request.param == "BERT-base" else 0.3)
    theirs.save_pretrained(folder)
    toy_subwords.bert(folder)
    return theirs, transformers.BertTokenizerFast(str(folder / "vocab.txt")), folder


def _theirs(model, tokenizer):
    """Their ids with PAD behind a text, their hidden states and which are of tokens."""
    said = tokenizer(
        TEXTS, padding="max_length", truncation=True, max_length=SHAPE["max_position_embeddings"], return_tensors="pt"
    )
    with torch.no_grad():
        hidden = model(**said).last_hidden_state
    return np.where(said["attention_mask"] == 1, said["input_ids"], PAD), hidden, said["attention_mask"][..., None]


def test_tokens_and_the_first_one_s_vector_are_those_of_pytorch(both):
    model, tokenizer, folder = both
    ours = registry.TEXT_ENCODERS["bert"](str(folder), 512)
    ids, hidden, real = _theirs(model, tokenizer)
    np.testing.assert_array_equal(ours.tokens(TEXTS), ids)
    np.testing.assert_allclose(ours(ids), hidden[:, 0], atol=1e-4)
    np.testing.assert_allclose(ours.bert(ids) * real.numpy(), hidden * real, atol=1e-4)
    assert np.ptp(hidden[:, 0].numpy(), axis=0).max() > 1e-2  # texts of one vector would agree with anything


def test_the_mean_of_length_1_is_that_of_pytorch(both):
    model, tokenizer, folder = both
    ours = registry.TEXT_ENCODERS["bert"](str(pooled(folder, *MEAN)), 512)
    ids, hidden, real = _theirs(model, tokenizer)
    expected = torch.nn.functional.normalize((hidden * real).sum(1) / real.sum(1), dim=-1)
    np.testing.assert_allclose(ours(ids), expected, atol=1e-4)


def test_the_table_gives_back_the_file_that_pytorch_wrote(both):
    _, _, folder = both
    ours = registry.TEXT_ENCODERS["bert"](str(folder), 512)
    written, back = load_file(folder / "model.safetensors"), tensors_of(ours.bert.rows())
    assert {name for name in written if not name.startswith("pooler.")} == back.keys()
    for name, tensor in back.items():
        np.testing.assert_array_equal(written[name], tensor, err_msg=name)
