"""The chart of retrieval: what it draws is what was found, and its words say it too."""

import re

from tfcap.evaluation.crossed import Estimate
from tfcap.reporting.retrieval_chart import retrieval_chart


def _cell(image_to_text, text_to_image, seeds=3):
    def estimates(value):
        return {"R@1": Estimate(value, value - 0.01, value + 0.02, seeds)}

    return {"image_to_text": estimates(image_to_text), "text_to_image": estimates(text_to_image)}


FOUND = {
    "random": {100: _cell(0.02, 0.03), 1000: _cell(0.07, 0.08)},
    "whitened": {100: _cell(0.14, 0.12)},
    "all pairs": {6000: _cell(0.19, 0.15)},
}


def _drawn(found, panel=0):
    chart = retrieval_chart(found, "all pairs")
    return chart, chart._figure([chart.panels[panel]]).axes[0]


def test_a_line_a_method_in_percent_and_one_across_for_all_pairs():
    for panel, wanted in enumerate([[2, 7, 14, 19], [3, 8, 12, 15]]):
        _, axes = _drawn(FOUND, panel)
        drawn = [value for line in axes.lines for value in set(line.get_ydata())]
        assert sorted(round(value, 6) for value in drawn) == sorted(wanted)


def test_intervals_are_drawn_where_there_are_several_seeds_alone():
    _, axes = _drawn(FOUND)
    bars = [segment[:, 1] for bar in axes.collections for segment in bar.get_segments()]
    assert sorted((round(low, 6), round(high, 6)) for low, high in bars) == [(1, 4), (6, 9), (13, 16)]
    _, axes = _drawn({"random": {100: _cell(0.02, 0.03, seeds=1)}})
    assert not axes.collections


def test_methods_do_not_lie_on_each_other_and_the_ticks_are_the_sizes():
    chart, axes = _drawn(FOUND)
    first = {line.get_xdata()[0] for line in axes.lines[:2]}
    assert len(first) == 2 and all(abs(place / 100 - 1) < 0.1 for place in first)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100", "1,000"]
    assert chart.key["random"].plain and not chart.key["whitened"].plain and "all pairs" not in chart.key


def test_its_words_are_for_those_who_cannot_see_it():
    chart, _ = _drawn(FOUND)
    assert "whitened 100: 14.0" in chart.panels[0].words and "all pairs 6000: 15.0" in chart.panels[1].words
    assert set(chart.files()) == {"recall.svg", "recall.png"}
    assert re.search(rb"whitened", chart.files()["recall.svg"])
