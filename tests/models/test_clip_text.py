"""CLIP's text tower as a text encoder: it is that of the dual encoder, which tests/parity holds against PyTorch."""

import numpy as np
import pytest

from tests.models.toy_bert import write_bert
from tests.models.toy_clip import D, write_clip
from tfcap import registry
from tfcap.errors import InputError
from tfcap.models.dual_encoder import pretrained

TEXTS = ["the cat and the dog", "a", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "toy")


def _made(folder, most=77):
    return registry.TEXT_ENCODERS["clip_text"](str(folder), most)


def test_an_embedding_is_the_projected_text_of_the_dual_encoder(folder):
    ours, whole = _made(folder, 200), pretrained(str(folder))
    tokens = ours.tokens(TEXTS)
    assert ours.width == D and ours.most_tokens == 77 and tokens.shape[1] < 77
    np.testing.assert_allclose(ours(tokens), whole.model.text(whole.tokenizer.encode(TEXTS)), atol=1e-5)


def test_a_long_text_keeps_its_end(folder):
    tokens = _made(folder, 8).tokens(["the " * 100])
    assert tokens.shape == (1, 8) and tokens[0, -1] == _made(folder).tokenizer.end


def test_its_identity_is_of_the_length_too(folder):
    assert _made(folder).identity() != _made(folder, 8).identity()


def test_another_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match="image tower and a text tower.*--text_weights=.*'bert'"):
        _made(write_bert(tmp_path))
