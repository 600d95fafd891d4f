"""Consensus against pycocoevalcap's Cider, and what it finds."""

import numpy as np
import pytest
from pycocoevalcap.cider.cider_scorer import CiderScorer as Published

from tfcap.errors import InputError
from tfcap.scoring.caption_consensus import CaptionConsensus
from tfcap.settings import SelectionSettings

CAPTIONS = [
    ["a dog runs on grass", "a brown dog runs", "the dog is running on the grass"],
    ["two men play chess", "two men at a table", "men play a game of chess at a table"],
    ["a red bus", "a bus in the street"],
    ["a cat sleeps on a sofa", "a cat lies on the sofa", "three boats on the sea"],
]


def _consensus(captions):
    return CaptionConsensus(SelectionSettings()).of_images(captions)


def test_each_caption_is_held_against_its_siblings_as_published():
    """The document frequencies are those of all captions: the published scorer is given them and then asked."""
    frequencies = Published()
    for captions in CAPTIONS:
        frequencies += (captions[0], captions)
    frequencies.compute_doc_freq()
    scores = [[] for _ in CAPTIONS]
    for i in range(3):
        scorer = Published()  # one candidate an image, so that it counts as many images
        for captions in CAPTIONS:
            place = min(i, len(captions) - 1)
            scorer += (captions[place], captions[:place] + captions[place + 1 :])
        scorer.document_frequency = frequencies.document_frequency
        for image, value in enumerate(scorer.compute_cider()):
            if i < len(CAPTIONS[image]):
                scores[image].append(value)
    expected = [np.mean(values) for values in scores]
    np.testing.assert_allclose(_consensus(CAPTIONS), expected, rtol=1e-5)


def test_a_caption_of_something_else_lowers_its_image():
    whole = [*CAPTIONS[:3], ["a cat sleeps on a sofa", "a cat lies on the sofa", "a cat on a sofa"]]
    assert _consensus(CAPTIONS)[3] < _consensus(whole)[3]


def test_an_image_with_one_caption_has_no_consensus():
    with pytest.raises(InputError, match="record 1 has a single caption.*at least two"):
        _consensus([["a dog", "the dog"], ["a cat"]])
