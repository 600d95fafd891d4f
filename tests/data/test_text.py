"""Captions to word ids and back, in Python and in a TensorFlow graph."""

import numpy as np
import pytest
import tensorflow as tf

from tfcap.data.text import BEGIN, END, PAD, SPECIAL, UNKNOWN, WordTokenizer, words_of
from tfcap.errors import InputError

CAPTIONS = ["A red ball.", "a blue ball", "Ein Mädchen läuft", "Ein Mädchen!", "二 猫 二 猫", "Владимир и Владимир"]


@pytest.fixture
def tokenizer():
    return WordTokenizer.fit(CAPTIONS, min_count=1, max_tokens=8)


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A man, riding a wave.", ["a", "man", "riding", "a", "wave"]),
        ("The dog's ball", ["the", "dog's", "ball"]),
        ("The dog’s 'ball'", ["the", "dog’s", "ball"]),
        ("ÉCOLE", ["école"]),
        ("cafe\u0301", ["caf\u00e9"]),  # two code points for one letter become one
        ("2 cats & 3dogs", ["2", "cats", "3dogs"]),
        ("... !?", []),
        ("", []),
    ],
)
def test_words_of(caption, words):
    assert words_of(caption) == words


def test_vocabulary_is_the_special_tokens_and_then_words_by_falling_frequency():
    tokenizer = WordTokenizer.fit(["b c a", "c b", "c"], min_count=1, max_tokens=8)
    assert tokenizer.words == (*SPECIAL, "c", "b", "a")
    assert len(tokenizer) == 7


def test_equal_frequencies_are_in_alphabetical_order():
    assert WordTokenizer.fit(["b a", "a b"], 1, 8).words[4:] == ("a", "b")


def test_rare_words_become_unknown():
    tokenizer = WordTokenizer.fit(["c b", "c"], min_count=2, max_tokens=6)
    assert tokenizer.words[4:] == ("c",)
    assert tokenizer.encode(["b c d"]).tolist() == [[BEGIN, UNKNOWN, 4, UNKNOWN, END, PAD]]


def test_encoded_captions_are_int32_between_begin_and_end(tokenizer):
    (row,) = tokenizer.encode(["a red ball"])
    assert row.dtype == np.int32 and row.shape == (8,)
    ids = [tokenizer.words.index(word) for word in ("a", "red", "ball")]
    assert row.tolist() == [BEGIN, *ids, END, PAD, PAD, PAD]


def test_a_caption_of_500_words_loses_its_last_words_and_keeps_its_end(tokenizer):
    (row,) = tokenizer.encode([" ".join(["a", "red"] * 250)])
    assert row[-1] == END and row[0] == BEGIN and (row == END).sum() == 1
    assert tokenizer.decode(row[None]) == ["a red a red a red"]


def test_an_empty_caption_is_begin_and_end(tokenizer):
    assert tokenizer.encode(["!"])[0, :3].tolist() == [BEGIN, END, PAD]


def test_decode_is_the_inverse_of_encode(tokenizer):
    expected = ["a red ball", "a blue ball", "ein mädchen läuft", "ein mädchen", "二 猫 二 猫", "владимир и владимир"]
    assert tokenizer.decode(tokenizer.encode(CAPTIONS)) == expected


def test_decode_stops_at_the_first_end_and_skips_pad_and_begin(tokenizer):
    rows = np.array([[BEGIN, 5, END, 6, END], [BEGIN, 5, PAD, 6, UNKNOWN], [BEGIN, END, 5, 5, 5]])
    five, six = tokenizer.words[5], tokenizer.words[6]
    assert tokenizer.decode(rows) == [five, f"{five} {six} <unk>", ""]


@pytest.mark.parametrize("compiled", [False, True])
def test_decode_in_graph_equals_decode(tokenizer, compiled):
    random = np.random.default_rng(0).integers(0, len(tokenizer), [50, 8]).astype(np.int32)
    rows = np.concatenate([tokenizer.encode([*CAPTIONS, "", "unheard words"]), random])
    decode = tf.function(tokenizer.decode_in_graph) if compiled else tokenizer.decode_in_graph
    assert [text.decode() for text in decode(tf.constant(rows)).numpy()] == tokenizer.decode(rows)


def test_save_and_load_give_the_same_tokenizer(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "vocabulary.txt")
    loaded = WordTokenizer.load(tmp_path / "vocabulary.txt", 8)
    assert loaded.words == tokenizer.words and loaded.hash == tokenizer.hash
    np.testing.assert_array_equal(loaded.encode(CAPTIONS), tokenizer.encode(CAPTIONS))


def test_hash_depends_on_the_words_and_the_length(tokenizer):
    others = [WordTokenizer(tokenizer.words, 9), WordTokenizer(tokenizer.words[:-1], 8)]
    assert len({tokenizer.hash, *(other.hash for other in others)}) == 3


def test_no_frequent_word_is_an_error_that_says_so():
    with pytest.raises(InputError, match="No word is frequent enough.*--min_word_count=3 and 2 distinct words"):
        WordTokenizer.fit(["a b", "a b"], min_count=3, max_tokens=8)


def test_a_vocabulary_without_the_special_tokens_is_refused(tmp_path):
    (tmp_path / "words.txt").write_text("the\na\nof\nin\n")
    with pytest.raises(InputError, match="starts with the special tokens.*the"):
        WordTokenizer.load(tmp_path / "words.txt", 8)
