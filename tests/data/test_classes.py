"""Names of classes as a vocabulary: names to numbers and back, in Python and in a TensorFlow graph."""

import numpy as np
import pytest
import tensorflow as tf

from tfcap.data.classes import ClassNames
from tfcap.data.subwords import tokenizer_in
from tfcap.data.text import Marks, WordTokenizer
from tfcap.errors import InputError

NAMES = ["zug", "Äpfel", "pickup truck", "猫", "bird"]
ORDER = ("bird", "pickup truck", "zug", "Äpfel", "猫")


@pytest.fixture
def names():
    return ClassNames.of([[name] for name in [*NAMES, *NAMES[::-1]]])


def test_the_classes_are_the_captions_each_once_in_alphabetical_order(names):
    assert names.names == ORDER and len(names) == 5
    assert names.max_tokens == 1 and names.marks == Marks()


def test_a_caption_is_one_number_and_decoding_is_the_inverse(names):
    numbers = names.encode(["猫", "bird", "猫", "zug"])
    assert numbers.dtype == np.int32 and numbers.tolist() == [[4], [0], [4], [2]]
    assert names.decode(numbers) == ["猫", "bird", "猫", "zug"]
    assert names.encode([]).shape == (0, 1) and names.decode(np.zeros([0, 1], int)) == []


@pytest.mark.parametrize("in_graph", [False, True])
def test_tensorflow_decodes_as_python_does(names, in_graph):
    decode = tf.function(names.decode_in_graph) if in_graph else names.decode_in_graph
    tokens = np.array([[3], [0], [4], [1], [2]], np.int32)
    assert [text.decode() for text in decode(tf.constant(tokens)).numpy()] == names.decode(tokens)


def test_what_is_saved_is_what_is_loaded(names, tmp_path):
    names.save(tmp_path / "classes.txt")
    assert (tmp_path / "classes.txt").read_text(encoding="utf-8") == "".join(f"{name}\n" for name in ORDER)
    loaded = ClassNames.load(tmp_path / "classes.txt")
    assert loaded.names == names.names and loaded.hash == names.hash
    assert loaded.hash != ClassNames(ORDER[:-1]).hash != ClassNames(ORDER[1::-1]).hash


def test_a_folder_with_classes_has_them_as_its_tokenizer(names, tmp_path):
    names.save(tmp_path / ClassNames.saved_as)
    found = tokenizer_in(tmp_path, 32)
    assert isinstance(found, ClassNames) and found.names == names.names
    (tmp_path / ClassNames.saved_as).unlink()
    WordTokenizer.fit(NAMES, 1, 8).save(tmp_path / WordTokenizer.saved_as)
    assert isinstance(tokenizer_in(tmp_path, 8), WordTokenizer)


@pytest.mark.parametrize(
    ("captions", "words"),
    [
        ([["cat"], ["a cat", "one cat"]], "one caption each.* Received: 2 captions, the first being 'a cat'"),
        ([["cat"], []], "one caption each.* Received: 0 captions"),
        ([["cat"], ["cat"]], "nothing to tell apart. Received: cat. Expected: two classes or more"),
        ([], "nothing to tell apart. Received: no class"),
    ],
)
def test_a_data_set_without_classes_is_refused(captions, words):
    with pytest.raises(InputError, match=words):
        ClassNames.of(captions)


def test_a_name_twice_is_refused():
    with pytest.raises(InputError, match="nothing to tell apart. Received: cat, dog, cat"):
        ClassNames(["cat", "dog", "cat"])


def test_a_name_that_is_no_class_is_refused(names):
    with pytest.raises(InputError, match="no picture of train shows. Received: 'boat'. Expected: bird, pickup truck"):
        names.encode(["bird", "boat", "ship"])
