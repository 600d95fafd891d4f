"""From settings to a selector: options reach it, and what cannot be had is said before anything runs."""

import dataclasses

import pytest

from tfcap import registry
from tfcap.chosen_selector import chosen_selector
from tfcap.errors import InputError
from tfcap.selection.class_balanced import ClassBalanced
from tfcap.selection.d2 import D2
from tfcap.selection.deduplication import Deduplication
from tfcap.selection.facility_location import FacilityLocation
from tfcap.selection.k_center import KCenter
from tfcap.selection.k_means import KMeansPrototypes
from tfcap.selection.mixed import Mixed
from tfcap.selection.random import Random
from tfcap.selection.ranked import Easiest, Hardest, Median
from tfcap.selection.stratified import Stratified
from tfcap.settings import SelectionSettings, Settings


def _chosen(**said):
    return chosen_selector(Settings().replace(dataset="flickr8k", **said).resolve())  # a frozen encoder


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, Random()),
        ({"selector": "loss", "selection_score": "gradient_norm"}, Hardest("loss")),
        ({"selector": "gradient_norm"}, Hardest("gradient_norm")),
        ({"selector": "hardest", "selection_score": "gradient_norm"}, Hardest("gradient_norm")),
        ({"selector": "easiest"}, Easiest("loss")),
        ({"selector": "median"}, Median("loss")),
        ({"selector": "stratified", "noise_cut": 0.0, "strata": 7}, Stratified("loss", 7, 0.0)),
        ({"selector": "k_means", "clusters": 9}, KMeansPrototypes(9)),
        ({"selector": "deduplication", "clusters": 9}, Deduplication(9)),
        ({"selector": "facility_location", "neighbours": 3}, FacilityLocation(3)),
        ({"selector": "d2", "neighbours": 3, "selection_score": "gradient_norm"}, D2("gradient_norm", 3)),
        ({"selector": "mixed"}, Mixed(((Hardest("loss"), 0.5), (Random(), 0.3), (KCenter(), 0.2)))),
        (
            {"selector": "mixed", "mixture": "stratified:1, k_means:3", "strata": 4, "clusters": 2},
            Mixed(((Stratified("loss", 4), 1.0), (KMeansPrototypes(2), 3.0))),
        ),
    ],
)
def test_options_reach_the_selector(said, expected):
    assert _chosen(**said) == expected


@pytest.mark.parametrize("name", registry.SELECTORS)
def test_with_nothing_said_options_are_the_published_ones(name):
    if name != "mixed":
        assert _chosen(selector=name) == registry.SELECTORS[name]()


def test_settings_and_selectors_have_the_same_defaults():
    ours, theirs = SelectionSettings(), Stratified()
    assert (ours.selection_score, ours.strata, ours.noise_cut) == dataclasses.astuple(theirs)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"selector": "random", "class_balanced": True},
            "Captions are of no class.*--selector=random --class_balanced --model=resnet50_lstm.*--model=classifier",
        ),
        ({"selector": "mixed", "mixture": "loss:1,best:1"}, "--mixture cannot be read.*among random, .*influence"),
        *(
            ({"selector": "mixed", "mixture": mixture}, "--mixture cannot be read")
            for mixture in (
                "",
                "loss",
                "loss:",
                "loss:x",
                "loss:0",
                "loss:-1",
                "loss:nan",
                "loss:inf",
                "loss:1,",
                "mixed:1",
            )
        ),
        ({"selector": "mixed", "mixture": "loss:1,loss:2"}, "--mixture cannot be read"),
    ],
)
def test_what_cannot_be_had_is_an_error_of_one_line(said, words):
    with pytest.raises(InputError, match=words) as caught:
        chosen_selector(Settings().replace(**{"dataset": "flickr8k", **said}).resolve())
    assert "\n" not in str(caught.value) and "Expected: " in str(caught.value)


def test_several_scores_may_come_from_one_captioner():
    mixture = {"selector": "mixed", "mixture": "loss:1,gradient_norm:1"}
    assert (
        _chosen(**mixture, proxy_epochs=3).scores
        == _chosen(**mixture, teacher="run").scores
        == ("loss", "gradient_norm")
    )


def test_a_classifier_s_selector_can_be_class_balanced():
    """One cluster for each image that a class keeps, unless --clusters says otherwise."""
    classifier = {"model": "classifier", "class_balanced": True}
    assert _chosen(selector="loss", **classifier) == ClassBalanced(Hardest("loss"))
    assert _chosen(selector="k_means", **classifier) == ClassBalanced(KMeansPrototypes(clusters=0))
    assert _chosen(selector="k_means", clusters=4, **classifier) == ClassBalanced(KMeansPrototypes(4))
