"""The table and the picture of a search."""

import numpy as np
from PIL import Image

from tfcap.reporting.quality import ACCURACY, CIDER
from tfcap.reporting.search import TrialFound, search_chart, search_table


def _found(number, value, reason="", validations=(0.1, 0.2), **params):
    params = {"learning_rate": 10.0 ** -(1 + number % 3), "units": 8, "attention": number % 2 == 0, **params}
    return TrialFound(number, params, value, list(validations), reason)


FOUND = [
    _found(0, 0.5),
    _found(1, None, "pruned"),
    _found(2, 0.75, learning_rate=0.00123456),
    _found(3, None, "diverged: at step 3", validations=()),
    _found(4, 0.75),
]


def test_the_best_come_first_the_earlier_of_equals_before_the_later():
    lines = [line.split() for line in search_table(FOUND, CIDER).splitlines()]
    assert lines[0] == ["trial", "val", "CIDEr", "x", "100", "learning_rate", "units", "attention"]
    assert lines[1] == ["2", "75.0", "0.00123", "8", "true"]
    assert [line[0] for line in lines[1:4]] == ["2", "4", "0"]
    ended = "3 of 5 trials ran to their end, 1 were pruned, 1 diverged, had no memory or could not be"
    assert ended in search_table(FOUND, CIDER)


def test_the_table_holds_ten():
    assert len(search_table([_found(number, number / 20) for number in range(15)], CIDER).splitlines()) == 1 + 10 + 1


def test_what_a_stopped_trial_has_seen_is_its_best_validation():
    assert [one.seen for one in FOUND] == [0.5, 0.2, 0.75, None, 0.75]


def test_the_picture_has_a_panel_for_the_way_and_one_for_each_flag(tmp_path):
    sizes = []
    for count in (1, 3):
        found = [
            TrialFound(one.number, dict(list(one.params.items())[:count]), one.value, one.validations, one.reason)
            for one in FOUND
        ]
        search_chart(tmp_path / "a.png", found, CIDER, ["learning_rate"])
        with Image.open(tmp_path / "a.png") as image:
            sizes.append(image.size)
            pixels = np.asarray(image.convert("L"))
        assert (pixels < 200).mean() > 0.002  # something is drawn
    (narrow, low), (wide, high) = sizes
    assert wide > narrow and high > low


def test_a_search_without_an_end_is_a_picture_too(tmp_path):
    search_chart(tmp_path / "a.png", [FOUND[3]], CIDER)
    assert (tmp_path / "a.png").exists()


def test_of_classifiers_it_is_accuracy():
    assert search_table(FOUND, ACCURACY).splitlines()[0].split()[:4] == ["trial", "val", "accuracy,", "%"]
