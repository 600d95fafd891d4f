"""Beam search against an enumeration of every caption, and greedy search against the loop that defines it."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfcap.models.generation import BEGIN, END, PAD, UNKNOWN, beam_search

V, T = 6, 5  # two words beside the four special tokens; captions of up to four tokens after <begin>


class TableModel:
    """The next word's logits depend on the image, the last word and the position: table [B, T, V, V]."""

    def __init__(self, batch: int, seed: int, vocabulary: int = V, max_tokens: int = T) -> None:
        table = np.random.default_rng(seed).normal(0, 2, [batch, max_tokens, vocabulary, vocabulary])
        self.table = tf.constant(table, tf.float32)
        self.calls = 0

    def start(self):
        batch = self.table.shape[0]
        return [tf.range(batch)[:, None], tf.zeros([batch, 1], tf.int32)]

    def step(self, tokens, state):
        self.calls += 1
        image, t = state
        logits = tf.gather_nd(self.table, tf.concat([image, t, tokens[:, None]], axis=1))
        return logits, [image, t + 1]

    def log_probs(self, image: int, t: int, last: int) -> np.ndarray:
        """float64 [V], with <pad>, <begin> and <unk> ruled out before normalising."""
        logits = self.table[image, t, last].numpy().astype(np.float64)
        logits[[PAD, BEGIN, UNKNOWN]] = -np.inf
        return logits - np.log(np.exp(logits).sum())


def _sentences():
    """Every caption: words and then <end>, or words up to the last token."""
    for length in range(1, T):
        for words in itertools.product(range(UNKNOWN + 1, V), repeat=length - 1):
            yield [*words, END]
    yield from (list(words) for words in itertools.product(range(UNKNOWN + 1, V), repeat=T - 1))


def _exhaustive(model: TableModel, image: int, penalty: float) -> tuple[list[int], float]:
    best = ([], -np.inf)
    for sentence in _sentences():
        steps = zip(itertools.count(), [BEGIN, *sentence], sentence, strict=False)
        total = sum(model.log_probs(image, t, last)[word] for t, last, word in steps)
        score = total / len(sentence) ** penalty
        if score > best[1]:
            best = (sentence, score)
    return best


def _search(model, beams, penalty, max_tokens=T, xla=None):
    def run():
        return beam_search(model.start(), model.step, max_tokens, beams, penalty)

    tokens, scores = run() if xla is None else tf.function(run, jit_compile=xla)()
    return tokens.numpy(), scores.numpy()


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_enough_beams_find_the_best_of_all_captions(penalty, seed):
    model = TableModel(4, seed)
    tokens, scores = _search(model, beams=31, penalty=penalty)
    assert len(list(_sentences())) == 31  # 1 + 2 + 4 + 8 that end, 16 that are cut
    for image in range(4):
        sentence, score = _exhaustive(model, image, penalty)
        assert tokens[image].tolist() == [BEGIN, *sentence] + [PAD] * (T - 1 - len(sentence))
        assert scores[image] == pytest.approx(score, abs=1e-5)


def test_the_length_penalty_matters_to_these_tables():
    """Otherwise the test above would not see it."""
    found = [_search(TableModel(4, 0), 31, penalty)[0].tolist() for penalty in (0.0, 2.0)]
    assert found[0] != found[1]


def test_more_beams_are_never_worse_without_a_length_penalty():
    model = TableModel(16, 3)
    scores = np.stack([_search(model, beams, 0.0)[1] for beams in (1, 3, 31)])
    assert np.all(scores[2] >= scores[1] - 1e-5) and np.all(scores[2] >= scores[0] - 1e-5)
    assert np.any(scores[2] > scores[0] + 1e-3)


@pytest.mark.parametrize("seed", [0, 5])
def test_one_beam_is_the_greedy_loop(seed):
    model = TableModel(8, seed)
    tokens, scores = _search(model, beams=1, penalty=1.0)
    for image in range(8):
        sentence, total = [BEGIN], 0.0
        while len(sentence) < T and sentence[-1] != END:
            log_probs = model.log_probs(image, len(sentence) - 1, sentence[-1])
            sentence.append(int(log_probs.argmax()))
            total += log_probs.max()
        assert tokens[image].tolist() == sentence + [PAD] * (T - len(sentence))
        assert scores[image] == pytest.approx(total / (len(sentence) - 1), abs=1e-5)


@pytest.mark.parametrize("beams", [1, 3, 7])
def test_an_image_s_caption_does_not_depend_on_its_neighbours(beams):
    whole, alone = TableModel(5, 2), TableModel(5, 2)
    tokens, scores = _search(whole, beams, 1.0)
    for image in range(5):
        alone.table = whole.table[image : image + 1]
        one, score = _search(alone, beams, 1.0)
        assert one[0].tolist() == tokens[image].tolist()
        assert score[0] == pytest.approx(scores[image], abs=1e-6)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("xla", [False, True])
def test_a_compiled_search_equals_the_eager_one(beams, xla):
    expected = _search(TableModel(4, 1), beams, 1.0)
    tokens, scores = _search(TableModel(4, 1), beams, 1.0, xla=xla)
    np.testing.assert_array_equal(tokens, expected[0])
    np.testing.assert_allclose(scores, expected[1], atol=1e-6)


@pytest.mark.parametrize("beams", [1, 4])
def test_special_tokens_are_never_generated(beams):
    """Though the model prefers each of them to any word."""
    model = TableModel(8, 0)
    model.table = tf.where(tf.range(V) <= UNKNOWN, 10.0, model.table)
    model.table = tf.where(tf.range(V) == END, -5.0, model.table)
    tokens, scores = _search(model, beams, 1.0)
    assert np.isfinite(scores).all() and (scores > -20).all()
    assert (tokens[:, 0] == BEGIN).all()
    for row in tokens[:, 1:]:
        sentence = row[: np.flatnonzero(row == END)[0] + 1] if END in row else row
        assert np.isin(sentence, [END, *range(UNKNOWN + 1, V)]).all()
        assert (row[len(sentence) :] == PAD).all()


@pytest.mark.parametrize("beams", [1, 3])
def test_search_stops_when_every_beam_has_ended(beams):
    model = TableModel(2, 0, max_tokens=50)
    model.table = tf.where(tf.range(V) == END, 30.0, model.table)
    tokens, scores = _search(model, beams, 1.0, max_tokens=50)
    assert tokens[:, :3].tolist() == [[BEGIN, END, PAD]] * 2
    np.testing.assert_allclose(scores, 0.0, atol=1e-5)
    assert model.calls < 10


def test_a_caption_that_never_ends_fills_all_tokens():
    model = TableModel(2, 0)
    model.table = tf.where(tf.range(V) == END, -50.0, model.table)
    tokens, _ = _search(model, 2, 1.0)
    assert (tokens[:, 1:] > UNKNOWN).all()


def test_more_beams_than_words_are_no_error():
    tokens, scores = _search(TableModel(2, 0), beams=20, penalty=1.0)
    assert tokens.shape == (2, T) and tokens.dtype == np.int32 and np.isfinite(scores).all()
