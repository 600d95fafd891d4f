"""CIDEr against cooked references equals pycocoevalcap's on the same tokens."""

import time

import numpy as np
import pytest

from tests.evaluation.captions import CANDIDATES, REFERENCES
from tfcap.errors import InputError
from tfcap.evaluation.cider import CiderScorer, cider
from tfcap.evaluation.tokenizer import tokenize

published = pytest.importorskip("pycocoevalcap.cider.cider")


def _published(references, candidates):
    return published.Cider().compute_score(references, {key: [text] for key, text in candidates.items()})


def test_equals_pycocoevalcap_on_the_same_tokens():
    references, _ = tokenize(REFERENCES, "never")
    candidates = {key: texts[0] for key, texts in tokenize({k: [c] for k, c in CANDIDATES.items()}, "never")[0].items()}
    value, scores = _published(references, candidates)
    for scorer, captions in (
        (CiderScorer(REFERENCES), CANDIDATES),
        (CiderScorer(references, tokenized=True), candidates),
    ):
        ours, per_image = scorer.score(captions)
        assert ours == pytest.approx(value, abs=1e-9)
        np.testing.assert_allclose(per_image, scores, atol=1e-9)
    assert cider(REFERENCES, CANDIDATES) == pytest.approx(value, abs=1e-9)
    assert value > 0.5


def _random_captions(images, references, words=2000, seed=0):
    rng = np.random.default_rng(seed)
    texts = [" ".join(f"w{int(w)}" for w in rng.zipf(1.3, size=rng.integers(0, 16)) % words) for _ in range(images * 6)]
    return (
        {row: texts[row * 6 : row * 6 + references] for row in range(images)},
        {row: texts[row * 6 + 5] for row in range(images)},
    )


def test_equals_pycocoevalcap_on_random_words_and_empty_captions():
    references, candidates = _random_captions(80, 5)
    value, scores = _published(references, candidates)
    ours, per_image = CiderScorer(references, tokenized=True).score(candidates)
    assert ours == pytest.approx(value, abs=1e-9)
    np.testing.assert_allclose(per_image, scores, atol=1e-9)


def test_scores_follow_the_ids_not_the_order():
    scorer = CiderScorer(REFERENCES)
    backwards = dict(reversed(CANDIDATES.items()))
    np.testing.assert_array_equal(scorer.score(CANDIDATES)[1], scorer.score(backwards)[1])


def test_a_caption_scores_more_on_its_own_image():
    keys = list(CANDIDATES)
    moved = dict(zip(keys, [CANDIDATES[key] for key in [*keys[1:], keys[0]]], strict=True))
    scorer = CiderScorer(REFERENCES)
    assert scorer.score(CANDIDATES)[0] > 5 * scorer.score(moved)[0]


def test_one_image_alone_scores_zero():
    assert cider({1: ["a cat on a mat"]}, {1: "a cat on a mat"}) == 0


def test_a_thousand_images_score_within_a_second():
    references, candidates = _random_captions(1000, 5)
    scorer = CiderScorer(references, tokenized=True)
    start = time.perf_counter()
    scorer.score(candidates)
    assert time.perf_counter() - start < 2  # a tenth of this on an idle core


def test_users_mistakes_are_named():
    with pytest.raises(InputError, match="No image"):
        CiderScorer({})
    with pytest.raises(InputError, match="Image 2 has no reference"):
        CiderScorer({1: ["a"], 2: []})
    with pytest.raises(InputError, match="Image 2 has no candidate"):
        cider({1: ["a"], 2: ["b"]}, {1: "a"})
    with pytest.raises(InputError, match="Image 3 has no reference"):
        cider({1: ["a"]}, {1: "a", 3: "b"})
