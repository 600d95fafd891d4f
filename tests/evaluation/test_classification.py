"""Accuracy of predicted classes and its intervals, against counts by hand and the definition of Wilson 1927."""

import json

import pytest

from tfcap.errors import InputError
from tfcap.evaluation.classification import evaluate
from tfcap.evaluation.quality import ACCURACY, quality_of

TRUTH = {7: ["猫"], 3: ["dog"], 9: ["dog"], 1: ["a bird"], 4: ["dog"]}
SAID = {1: "a bird", 3: "dog", 4: "猫", 7: "dog", 9: "dog"}


def test_accuracy_is_the_part_whose_class_is_right_and_each_image_keeps_its_own():
    found = evaluate(TRUTH, SAID)
    assert found.metrics[ACCURACY]["value"] == 3 / 5 and quality_of(found.metrics) == ACCURACY
    assert found.ids == (7, 3, 9, 1, 4)
    assert {name: values.tolist() for name, values in found.per_image.items()} == {ACCURACY: [0, 1, 1, 1, 0]}
    assert found.per_image[ACCURACY].dtype == "float64"


def test_each_class_has_its_own_in_alphabetical_order():
    per_class = evaluate(TRUTH, SAID).metrics["per_class"]
    assert {name: one["value"] for name, one in per_class.items()} == {"a bird": 1, "dog": 2 / 3, "猫": 0}
    assert list(per_class) == sorted(per_class)


def test_a_prediction_that_is_the_beginning_of_the_class_is_wrong():
    found = evaluate({1: ["cat"], 2: ["dog"], 3: ["pickup truck"]}, {1: "catfish", 2: "do", 3: "truck"})
    assert found.metrics[ACCURACY]["value"] == 0


@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 1), (0, 7), (7, 7), (3, 7), (41, 50), (500, 1000)])
def test_the_interval_is_wilson_s(right, count):
    """Its two ends are the proportions from which what was found is 1.96 standard deviations away."""
    truth = {number: ["dog"] for number in range(count)}
    said = {number: "dog" if number < right else "cat" for number in range(count)}
    metrics = evaluate(truth, said).metrics
    for found in (metrics[ACCURACY], metrics["per_class"]["dog"]):
        assert found["value"] == right / count
        assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1 and found["low"] < found["high"]
        assert (found["low"] == 0) == (right == 0) and (found["high"] == 1) == (right == count)
        for end in (found["low"], found["high"]):
            variance = end * (1 - end) / count
            assert (end - right / count) ** 2 == pytest.approx(1.959964**2 * variance, rel=1e-5, abs=1e-12)


def test_what_is_found_can_be_written_as_json():
    metrics = evaluate(TRUTH, SAID).metrics
    assert json.loads(json.dumps(metrics)) == metrics


@pytest.mark.parametrize(
    ("references", "predictions", "words"),
    [
        ({}, {}, "needs its class and a prediction. Received: 0 classes and 0 predictions"),
        (TRUTH, {**SAID, 8: "dog"}, "Received: 5 classes and 6 predictions. Expected: the same images"),
        (TRUTH, {**{key: SAID[key] for key in (1, 3, 4, 7)}, 8: "dog"}, "Received: 5 classes and 5 predictions"),
        ({**TRUTH, 3: ["dog", "cat"]}, SAID, "Image 3 is not of one class. Received: .*'dog', 'cat'"),
        ({**TRUTH, 3: []}, SAID, "Image 3 is not of one class"),
    ],
)
def test_what_cannot_be_compared_is_refused(references, predictions, words):
    with pytest.raises(InputError, match=words):
        evaluate(references, predictions)
