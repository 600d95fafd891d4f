"""CLIP's tokenizer: where a text ends, what is cut, and which files it is made from. Its ids: tests/parity."""

import shutil

import numpy as np
import pytest

from tests.models.toy_clip import END, write_tokenizer
from tfcap.data.clip_tokenizer import ClipTokenizer
from tfcap.data.text_batches import TextBatches
from tfcap.errors import InputError

TEXTS = ["a cat and the dog", "the " * 500, "naïve 日本語 🎉\n\ttab", "", "!!!"]


@pytest.fixture
def folder(tmp_path):
    write_tokenizer(tmp_path)
    return tmp_path


@pytest.fixture
def tokenizer(folder):
    return ClipTokenizer(folder, 77)


def test_every_text_begins_and_ends(tokenizer):
    tokens = tokenizer.encode(TEXTS)
    assert tokens.shape == (5, 77) and tokens.dtype == np.int32
    assert (tokens[:, 0] == END - 1).all() and tokenizer.end == tokenizer.highest == END
    for row, length in zip(tokens, tokenizer.lengths(tokens), strict=True):
        assert (row[length - 1 :] == END).all() and (row[: length - 1] != END).all()
    assert tokenizer.lengths(tokens)[1] == 77 and tokenizer.lengths(tokens)[3] == 2
    assert tokenizer.encode([]).shape == (0, 77)


def test_case_and_spaces_do_not_count_and_merges_do(tokenizer):
    tokens = tokenizer.encode(["The  CAT", "the cat", "thecat"])
    np.testing.assert_array_equal(tokens[0], tokens[1])
    assert tokenizer.lengths(tokens).tolist() == [6, 6, 7]  # "the" is one token, and in "thecat" "th" is


def test_the_hash_is_of_the_files_and_the_length(folder, tokenizer):
    assert ClipTokenizer(folder, 77).hash == tokenizer.hash != ClipTokenizer(folder, 20).hash
    (folder / "merges.txt").write_text("#version: 0.2\nt h\n", encoding="utf-8")
    assert ClipTokenizer(folder, 77).hash != tokenizer.hash


def test_the_hash_is_of_the_marks_too(folder, tokenizer):
    (folder / "tokenizer_config.json").write_text('{"pad_token": "the</w>"}', encoding="utf-8")
    other = ClipTokenizer(folder, 77)
    assert (other.encode(["the cat"]) != tokenizer.encode(["the cat"])).any() and other.hash != tokenizer.hash


def test_the_real_vocabulary(shared_weights, tmp_path):
    for name, ours in {"clip-vocab.json": "vocab.json", "clip-merges.txt": "merges.txt"}.items():
        shutil.copy(shared_weights / "tokenizers" / name, tmp_path / ours)
    tokenizer = ClipTokenizer(tmp_path, 77)
    tokens = tokenizer.encode(["a photo of a cat", "dog " * 500, "日本語 🎉"])
    assert tokens[0, :8].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407, 49407]
    assert tokenizer.lengths(tokens)[1] == 77 and (tokens[1, 1:76] == tokens[1, 1]).all()
    assert (tokens < 49408).all() and tokenizer.lengths(tokens)[2] > 5


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("merges.txt", None, "has no tokenizer.*vocab.json and merges.txt, or tokenizer.json"),
        ("vocab.json", "{", "cannot be read"),
        ("vocab.json", '{"a": 0, "b": 1, "c": 2}', "cannot be read|is of another model"),
    ],
)
def test_files_that_are_missing_or_of_something_else_are_an_error(folder, name, content, words):
    (folder / name).unlink() if content is None else (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        ClipTokenizer(folder, 77)


def test_batches_hold_texts_of_like_length_after_the_prompt(tokenizer):
    texts = ["the " * (1 + 5 * index % 19) for index in range(11)]
    batches = TextBatches(texts, tokenizer, 4, "and ")
    found = list(batches.start(0))
    assert len(batches) == len(found) == 3 and sorted(np.concatenate(batches.blocks)) == list(range(11))
    for batch, block in zip(found, batches.blocks, strict=True):
        np.testing.assert_array_equal(batch["position"][: len(block)], block)
        whole = tokenizer.encode(["and " + texts[position] for position in batch["position"]])
        length = batch["tokens"].shape[1]
        np.testing.assert_array_equal(batch["tokens"], whole[:, :length])
        assert length % 8 == 0 and length - 8 < tokenizer.lengths(whole).max() <= length
        assert (batch["tokens"] == END).any(axis=1).all()
    np.testing.assert_array_equal(list(batches.start(2))[0]["tokens"], found[2]["tokens"])
