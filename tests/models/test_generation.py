"""Beam search against an enumeration of every caption, and greedy search against the loop that defines it."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfcap.data.text import BEGIN, END, PAD, UNKNOWN, Marks
from tfcap.models.decoder_state import State
from tfcap.models.generation import Decoding, generate

MARKS = Marks()
V, T = 6, 5  # two words beside the four special tokens; captions of up to four tokens after <begin>


class TableModel:
    """The next word's logits depend on the image, the last word and the position: table [B, T, V, V].

    Each caption carries the number of its image, which the state's constant part must agree with.
    """

    def __init__(self, batch: int, seed: int, vocabulary: int = V, max_tokens: int = T) -> None:
        table = np.random.default_rng(seed).normal(0, 2, [batch, max_tokens, vocabulary, vocabulary])
        self.table = tf.constant(table, tf.float32)
        self.calls = 0

    def start(self):
        batch = self.table.shape[0]
        return State([tf.range(batch)[:, None], tf.zeros([batch, 1], tf.int32)], [self.table])

    def step(self, tokens, state):
        self.calls += 1
        (image, t), (table,) = state
        logits = tf.gather_nd(table, tf.concat([image, t, tokens[:, None]], axis=1))
        return logits, State([image, t + 1], [table])

    def log_probs(self, image: int, t: int, last: int) -> np.ndarray:
        """float64 [V], with <pad>, <begin> and <unk> ruled out."""
        logits = self.table[image, t, last].numpy().astype(np.float64)
        log_probs = logits - np.log(np.exp(logits).sum())
        log_probs[[0, BEGIN, UNKNOWN]] = -np.inf
        return log_probs


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


def _search(model, beams, penalty, max_tokens=T, xla=None, marks=MARKS, rows=None, **more):
    prompt = tf.fill([model.table.shape[0], 1], marks.begin)
    decoding = Decoding(beams=beams, length_penalty=penalty, **more)

    def run():
        return generate(model.start(), model.step, prompt, marks, max_tokens - 1, decoding, rows)

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


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("xla", [None, True])
def test_what_is_constant_has_no_beams_and_is_no_part_of_the_loop(beams, xla):
    model, given = TableModel(4, 0), []
    step = model.step

    def noted(tokens, state):
        given.append((tokens.shape[0], *[part.shape[0] for part in state.changing]))
        assert len(state.constant) == 1 and state.constant[0] is model.table
        return step(tokens, state)

    model.step = noted
    _search(model, beams, 1.0, xla=xla)
    assert set(given) == {(4 * beams, 4 * beams, 4 * beams)}


@pytest.mark.parametrize("beams", [1, 4])
def test_special_tokens_are_never_generated(beams):
    """Though the model prefers each of them to any word."""
    model = TableModel(8, 0)
    model.table = tf.where(tf.range(V) <= UNKNOWN, 10.0, model.table)
    model.table = tf.where(tf.range(V) == END, -5.0, model.table)
    tokens, scores = _search(model, beams, 1.0)
    assert np.isfinite(scores).all() and (scores > -60).all()
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


@pytest.mark.parametrize("early", [False, True, "never"])
def test_a_caption_that_has_ended_is_kept_apart_from_the_beams(early):
    """Two beams end at once and are better than all that follows; a search that goes on keeps them."""
    model = TableModel(2, 0)
    model.table = tf.where(tf.range(V) == END, 3.0, model.table * 0.1)
    tokens, scores = _search(model, 2, 0.0, early_stopping=early)
    assert tokens[:, 1].tolist() == [END, END]
    assert scores[0] == pytest.approx(model.log_probs(0, 0, BEGIN)[END], abs=1e-5)


def test_early_stopping_ends_a_search_sooner_and_never_finds_a_better_caption():
    calls, found = {}, {}
    for early in (True, False, "never"):
        model = TableModel(16, 3, max_tokens=20)
        model.table = tf.where(tf.range(V) == END, 1.0, model.table)
        found[early] = _search(model, 3, 1.5, max_tokens=20, early_stopping=early)[1]
        calls[early] = model.calls
    assert calls[True] < calls["never"] and calls[True] <= calls[False] <= calls["never"]
    assert np.all(found["never"] >= found[True] - 1e-5) and np.any(found["never"] > found[True] + 1e-3)


@pytest.mark.parametrize("options", [{}, {"beams": 3}, {"temperature": 1.5}])
def test_no_n_gram_occurs_twice_where_that_is_forbidden(options):
    model = TableModel(8, 0, max_tokens=12)
    model.table = tf.where(tf.range(V) == END, -5.0, model.table)
    options = {"beams": 1, "penalty": 1.0, "max_tokens": 12, **options}
    repeated = {}
    for size in (0, 2):
        tokens, scores = _search(model, no_repeat_ngram=size, **options)
        assert np.isfinite(scores).all()
        repeated[size] = 0
        for row in tokens:
            row = row[row != PAD]
            pairs = list(zip(row, row[1:], strict=False))
            repeated[size] += len(pairs) - len(set(pairs))
    assert repeated[0] > 0 and repeated[2] == 0


def _longer(seed=0):
    return TableModel(6, seed, vocabulary=12, max_tokens=8)


@pytest.mark.parametrize("xla", [None, True])
def test_drawn_captions_depend_on_seed_and_row_and_not_on_the_batch(xla):
    rows = tf.constant([7, 3, 9, 100, 0, 1])
    options = {"beams": 1, "penalty": 1.0, "max_tokens": 8, "temperature": 1.0, "top_p": 0.95}
    model = _longer()
    tokens, scores = _search(model, rows=rows, xla=xla, **options)
    np.testing.assert_array_equal(_search(_longer(), rows=rows, **options)[0], tokens)
    assert (_search(_longer(), rows=rows, seed=1, **options)[0] != tokens).any()
    assert (_search(_longer(), rows=rows + 1, **options)[0] != tokens).any()
    for first in (0, 2, 4):
        part = _longer()
        part.table = model.table[first : first + 2]
        found, its_scores = _search(part, rows=rows[first : first + 2], **options)
        np.testing.assert_array_equal(found, tokens[first : first + 2])
        np.testing.assert_allclose(its_scores, scores[first : first + 2], atol=1e-5)


def test_a_drawn_caption_s_score_is_the_model_s_and_not_of_the_nucleus():
    model = _longer()
    tokens, scores = _search(model, 1, 0.0, max_tokens=8, temperature=2.0, top_p=0.8)
    for image, row in enumerate(tokens):
        length = int((row != PAD).sum())
        total = sum(model.log_probs(image, t, row[t])[row[t + 1]] for t in range(length - 1))
        assert scores[image] == pytest.approx(total, abs=1e-4)


def test_a_narrow_nucleus_and_a_low_temperature_are_greedy_search():
    expected, _ = _search(_longer(), 1, 1.0, max_tokens=8)
    for options in ({"temperature": 1.0, "top_p": 1e-6}, {"temperature": 1e-4}):
        np.testing.assert_array_equal(_search(_longer(), 1, 1.0, max_tokens=8, **options)[0], expected)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_prompt_comes_first_and_counts_for_n_grams_but_not_for_the_length(beams):
    model = TableModel(4, 0, max_tokens=10)
    model.table = tf.where(tf.range(V) == END, -5.0, model.table)
    prompt = tf.constant([[BEGIN, 4, 5, 4]] * 4)
    (images, _), constant = model.start()
    state = State([images, tf.fill([4, 1], 3)], constant)  # as after three tokens
    decoding = Decoding(beams=beams, no_repeat_ngram=2)
    tokens, scores = generate(state, model.step, prompt, Marks(), 5, decoding)
    assert tokens.shape == (4, 9) and np.array_equal(tokens[:, :4], prompt)
    tokens, scores = tokens.numpy(), scores.numpy()
    assert (tokens[:, 4] != 5).all()  # 4 5 was there
    for image, row in enumerate(tokens):
        length = int((row != PAD).sum())
        total = sum(model.log_probs(image, t, row[t])[row[t + 1]] for t in range(3, length - 1))
        assert scores[image] == pytest.approx(total / (length - 4), abs=1e-4)


def test_marks_may_coincide_and_have_any_id():
    """As GPT-2's, whose one mark begins, ends and pads."""
    mark = V - 1
    model = TableModel(6, 1, max_tokens=8)
    for beams in (1, 3):
        tokens, _ = _search(model, beams, 1.0, max_tokens=8, marks=Marks(mark, mark, never=()))
        assert (tokens[:, 0] == mark).all()
        for row in tokens[:, 1:]:
            ends = np.flatnonzero(row == mark)
            assert not len(ends) or (row[ends[0] + 1 :] == PAD).all()


def test_beams_do_not_sample():
    with pytest.raises(ValueError, match="Sampling takes one beam"):
        Decoding(beams=2, temperature=1.0)
