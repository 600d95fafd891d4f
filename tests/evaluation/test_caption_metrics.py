"""The whole evaluation against pycocoevalcap and the recorded scores, with and without Java."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.captions import CANDIDATES, REFERENCES
from tfcap.errors import InputError
from tfcap.evaluation import caption_metrics, confidence, meteor
from tfcap.evaluation.caption_metrics import evaluate
from tfcap.evaluation.tokenizer import jar, java_available, tokenize

needs_java = pytest.mark.skipif(not java_available(), reason="no Java runtime")
NAMES = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr"]
RECORDED = {name: name.replace("BLEU-", "Bleu_").replace("-", "_") for name in NAMES}
WITHOUT_METEOR = [name for name in NAMES if name != "METEOR"]


@pytest.fixture(scope="module")
def without_java():
    return evaluate(REFERENCES, CANDIDATES, java="never")


def _published(references, candidates):
    """Scores tokens by pycocoevalcap's classes: {metric: (value, [N])}."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    bleu, bleus = Bleu(4).compute_score(references, candidates, verbose=0)
    scores = {f"BLEU-{n}": (bleu[n - 1], bleus[n - 1]) for n in range(1, 5)}
    return scores | {
        "ROUGE-L": Rouge().compute_score(references, candidates),
        "CIDEr": Cider().compute_score(references, candidates),
    }


def test_values_are_those_of_pycocoevalcap(without_java):
    references, _ = tokenize(REFERENCES, "never")
    candidates, _ = tokenize({key: [caption] for key, caption in CANDIDATES.items()}, "never")
    published = _published(references, candidates)
    for name, (value, scores) in published.items():
        assert without_java.metrics[name]["value"] == pytest.approx(value, abs=1e-12)
        if name in without_java.per_image:
            np.testing.assert_allclose(without_java.per_image[name], scores, atol=1e-12)
    assert without_java.ids == (10, 11, 12, 13)
    assert without_java.tokenizer == "ptb-regex"


def test_metrics_are_in_the_form_of_metrics_json(without_java):
    metrics = without_java.metrics
    assert list(metrics) == [*NAMES, "METEOR_missing"]
    assert metrics["METEOR"] is None and "Java" in metrics["METEOR_missing"]
    for name in WITHOUT_METEOR:
        assert list(metrics[name]) == ["value", "low", "high"]
        assert metrics[name]["low"] <= metrics[name]["value"] <= metrics[name]["high"]
    assert json.loads(json.dumps(metrics)) == metrics


@needs_java
def test_meteor_is_there_with_java_and_nothing_is_printed(capfd):
    evaluation = evaluate(REFERENCES, CANDIDATES, java="require", resamples=50)
    assert capfd.readouterr() == ("", "")
    assert list(evaluation.metrics) == NAMES
    assert evaluation.tokenizer == "ptb-java"
    # What pycocoevalcap's Meteor gives these four captions.
    assert evaluation.metrics["METEOR"]["value"] == pytest.approx(0.36676254102253897, abs=1e-12)
    np.testing.assert_allclose(evaluation.per_image["METEOR"], METEOR_SEGMENTS, atol=1e-12)


METEOR_SEGMENTS = [0.43505220726112315, 0.3570152626393899, 0.3447100653769359, 0.34509803921568627]


# An equal, a partial, a disjoint, an empty and again an equal candidate: what the jar says to SCORE.
METEOR_REFERENCES = [
    ["a cat sat on the mat", "the dog"],
    ["a red bus", "two buses"],
    ["birds fly"],
    ["a tree"],
    ["a dog"],
]
METEOR_CANDIDATES = ["a cat sat on the mat", "some red busses on a road", "nothing here", "", "a dog"]
METEOR_LINES = """\
6.0 6.0 3.0 3.0 3.0 3.0 3.0 3.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 1.0 6.0 6.0
6.0 3.0 3.0 1.0 1.0 1.0 1.0 1.0 0.0 0.0 0.0 0.0 1.0 1.0 0.0 0.0 0.0 0.0 0.0 0.0 2.0 3.0 3.0
2.0 2.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0
0.0 2.0 0.0 1.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0
2.0 2.0 1.0 1.0 1.0 1.0 1.0 1.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 1.0 2.0 2.0
"""


def test_meteor_from_sums_is_the_jars_own_evaluation(monkeypatch, tmp_path):
    done = subprocess.CompletedProcess([], 0, METEOR_LINES.encode(), b"")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_keywords: done)
    statistics = meteor.meteor_statistics(tmp_path / "meteor.jar", METEOR_REFERENCES, METEOR_CANDIDATES)
    # What the jar answers when EVAL gives it these lines: each segment, then the corpus.
    np.testing.assert_allclose(meteor.meteor_from_sums(statistics), [1, 0.36891685418195685, 0, 0, 1], atol=1e-12)
    assert float(meteor.meteor_from_sums(statistics.sum(0))) == pytest.approx(0.387417399204693, abs=1e-12)


@needs_java
@pytest.mark.slow
def test_the_jar_still_says_so():
    lines = [[float(value) for value in line.split()] for line in METEOR_LINES.splitlines()]
    expected = np.array(lines)
    expected[[0, 4], 20] = 0  # equal candidates have no chunk in sums
    path = jar("meteor/meteor-1.5.jar")
    assert path is not None
    statistics = meteor.meteor_statistics(path, METEOR_REFERENCES, METEOR_CANDIDATES)
    np.testing.assert_array_equal(statistics, expected)


@pytest.mark.parametrize("java", ["never", pytest.param("require", marks=[needs_java, pytest.mark.slow])])
@pytest.mark.parametrize(
    "name",
    ["coco_fakecap_126", "flickr8k_test_human_loo", "flickr8k_test_constant", "flickr8k_test_shuffled",
     "coco_val2017_human_loo"],
)  # fmt: skip
def test_recorded_scores(shared_data: Path, name, java):
    recorded = json.loads((shared_data / "metrics_reference" / f"{name}.json").read_text(encoding="utf-8"))
    evaluation = evaluate(recorded["refs"], recorded["cands"], java=java, resamples=100)
    for metric in NAMES if java == "require" else WITHOUT_METEOR:
        assert evaluation.metrics[metric]["value"] == pytest.approx(recorded["scores"][RECORDED[metric]], abs=1e-6)


def test_the_identity_resample_gives_the_corpus_scores(monkeypatch, without_java):
    monkeypatch.setattr(confidence, "resampled_sums", lambda statistics, *_: statistics.sum(0, keepdims=True))
    metrics = evaluate(REFERENCES, CANDIDATES, java="never").metrics
    for name in WITHOUT_METEOR:
        assert metrics[name]["low"] == pytest.approx(without_java.metrics[name]["value"], abs=1e-12)


def test_resamples_are_corpus_scores_of_the_drawn_images(without_java):
    """Low bounds lie on scores that pycocoevalcap gives to some multiset of the images."""
    rng = np.random.default_rng(5)
    references, _ = tokenize(REFERENCES, "never")
    candidates, _ = tokenize({key: [caption] for key, caption in CANDIDATES.items()}, "never")
    keys = list(REFERENCES)
    drawn = [keys[row] for row in rng.integers(4, size=4)]
    copies = {f"{place}": key for place, key in enumerate(drawn)}
    published = _published({c: references[k] for c, k in copies.items()}, {c: candidates[k] for c, k in copies.items()})
    truth, guesses = list(references.values()), [texts[0] for texts in candidates.values()]
    _, _, counts = caption_metrics._published_scores(truth, guesses)
    scores = confidence.bleu_from_sums(counts[[keys.index(key) for key in drawn]].sum(0))
    np.testing.assert_allclose(scores, [published[f"BLEU-{n}"][0] for n in range(1, 5)], atol=1e-12)


def test_the_seed_decides_the_intervals_only(without_java):
    other = evaluate(REFERENCES, CANDIDATES, java="never", seed=1)
    assert evaluate(REFERENCES, CANDIDATES, java="never").metrics == without_java.metrics
    assert other.metrics != without_java.metrics
    assert other.metrics["BLEU-4"]["value"] == without_java.metrics["BLEU-4"]["value"]


@pytest.mark.parametrize("java", ["never", pytest.param("require", marks=[needs_java, pytest.mark.slow])])
def test_empty_and_odd_candidates_keep_their_places(java):
    candidates = {10: "", 11: " \n ", 12: "...", 13: CANDIDATES[13] + "\n||| extra"}
    evaluation = evaluate(REFERENCES, candidates, java=java, resamples=20)
    for scores in evaluation.per_image.values():
        assert np.all(scores[:3] < 1e-6) and scores[3] > 0.1
    assert all(np.isfinite(list(v.values())).all() for v in evaluation.metrics.values() if isinstance(v, dict))


def test_one_image_has_scores_and_cider_zero():
    metrics = evaluate({1: ["a cat on a mat"]}, {1: "a cat on a mat"}, java="never").metrics
    assert metrics["CIDEr"] == {"value": 0, "low": 0, "high": 0}
    for name in ("BLEU-1", "BLEU-4", "ROUGE-L"):
        assert metrics[name]["value"] == pytest.approx(1, abs=1e-6)
        assert metrics[name]["low"] == pytest.approx(metrics[name]["high"])


def test_nothing_is_printed(capfd):
    evaluate(REFERENCES, CANDIDATES, java="never", resamples=10)
    assert capfd.readouterr() == ("", "")


def test_a_failing_meteor_is_missing_with_auto_and_an_error_when_required(monkeypatch):
    def fails(*_args, **_keywords):
        raise meteor.MeteorError("METEOR's jar ran out of memory")

    monkeypatch.setattr(caption_metrics, "meteor_statistics", fails)
    monkeypatch.setattr(caption_metrics, "java_available", lambda: True)
    monkeypatch.setattr(caption_metrics, "tokenize", lambda captions, java: tokenize(captions, "never"))
    metrics = evaluate(REFERENCES, CANDIDATES, java="auto", resamples=10).metrics
    assert metrics["METEOR"] is None and "memory" in metrics["METEOR_missing"]
    with pytest.raises(InputError, match="memory"):
        evaluate(REFERENCES, CANDIDATES, java="require", resamples=10)


@pytest.mark.parametrize(
    "done",
    [
        subprocess.CompletedProcess([], 1, b"", b"Error: no memory\n"),
        subprocess.CompletedProcess([], 0, b"1.0 2.0\n", b""),
        subprocess.CompletedProcess([], 0, b"not a number\n", b""),
    ],
)
def test_an_odd_answer_of_the_jar_is_a_meteor_error(monkeypatch, tmp_path, done):
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_keywords: done)
    with pytest.raises(meteor.MeteorError, match="for 1 captions"):
        meteor.meteor_statistics(tmp_path / "meteor.jar", [["a"]], ["a"])


def test_a_jar_that_hangs_is_ended(monkeypatch, tmp_path):
    def hangs(*_args, **keywords):
        raise subprocess.TimeoutExpired("java", keywords["timeout"])

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(meteor.MeteorError, match="did not answer"):
        meteor.meteor_statistics(tmp_path / "meteor.jar", [["a"]], ["a"], timeout=1)


@pytest.mark.parametrize(
    ("references", "candidates", "words"),
    [
        ({}, {}, "No image"),
        ({1: ["a"]}, {}, "Image 1 has no candidate"),
        ({1: ["a"]}, {1: "a", 2: "b"}, "Image 2 has no reference"),
        ({1: ["a"], 2: []}, {1: "a", 2: "b"}, "Image 2 has no reference"),
        ({1: "a cat"}, {1: "a"}, "not a list of captions"),
        ({1: ["a"]}, {1: ["a"]}, "not a caption"),
        ({1: ["..."]}, {1: "a"}, "no words"),
    ],
)
def test_users_mistakes_are_named(references, candidates, words):
    with pytest.raises(InputError, match=words):
        evaluate(references, candidates, java="never")
    with pytest.raises(InputError, match="resamples"):
        evaluate(REFERENCES, CANDIDATES, java="never", resamples=0)
