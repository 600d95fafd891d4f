"""The sheet of scores: what its charts hold, and which of them there are."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tfcap.errors import InputError
from tfcap.reporting import score_sheet as sheet
from tfcap.reporting.pictures import Example
from tfcap.reporting.score_sheet import WIDTH, ScoreView, overlap_table, score_sheet, score_table

N = 40
VALUES = np.random.default_rng(0).gamma(9.0, 0.2, N).astype(np.float32)
ORDER = np.argsort(-VALUES, kind="stable")
NOISY = np.random.default_rng(1).random(N) < 0.2
TYPES = np.random.default_rng(2).integers(0, 12, N)


def view(**changes):
    example = Example(np.zeros((8, 8, 3), np.uint8), ["a caption"], "image 1", "1.2")
    examples = {heading: [example, example] for heading in ("Highest", "Median", "Lowest")}
    made = ScoreView("loss", "nats per token", VALUES, ORDER, 10, examples, NOISY, TYPES)
    return dataclasses.replace(made, **changes)


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_the_histogram_holds_every_image_its_unit_and_the_cut():
    (axes,) = sheet._charts(view(noisy=None, types=None)).axes
    assert sum(bar.get_height() for bar in axes.patches) == N
    assert axes.get_xlabel() == "nats per token" and axes.get_ylabel() == "images"
    assert axes.lines[0].get_xdata()[0] == np.sort(VALUES)[-10] == view().cut
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["all", "highest 25 %"]


def test_known_noise_is_drawn_over_all():
    axes = sheet._charts(view()).axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == N + NOISY.sum()


@pytest.mark.parametrize(
    ("left_out", "expected"),
    [
        ({}, ["Distribution", "Wrong captions found", "Scene types shown"]),
        ({"types": None}, ["Distribution", "Wrong captions found"]),
        ({"noisy": None, "types": None}, ["Distribution"]),
    ],
)
def test_there_is_a_chart_for_each_truth_that_is_known(left_out, expected):
    assert titles(sheet._charts(view(**left_out))) == expected


def test_the_curves_are_precision_recall_and_types_of_the_highest():
    _, noise, types = sheet._charts(view()).axes
    recall, chance, precision = (line.get_ydata() for line in noise.lines)
    part = noise.lines[0].get_xdata()
    for k in (1, 7, 25, N):
        highest = np.argsort(-VALUES)[:k]
        assert part[k - 1] == k / N == chance[k - 1]
        assert recall[k - 1] == pytest.approx(NOISY[highest].sum() / NOISY.sum())
        assert precision[k - 1] == pytest.approx(NOISY[highest].mean())
        assert types.lines[0].get_ydata()[k - 1] == pytest.approx(len(set(TYPES[highest])) / len(set(TYPES)))


@pytest.mark.parametrize(("factor", "scale"), [(1, "linear"), (1000, "log")])
def test_a_long_tail_is_drawn_over_a_logarithmic_axis(factor, scale):
    values = VALUES.copy()
    values[3] *= factor
    axes = sheet._charts(view(values=values)).axes[0]
    assert axes.get_xscale() == scale


def test_infinite_scores_are_left_out_and_nothing_finite_is_an_input_error():
    values = VALUES.copy()
    values[5] = np.inf
    axes = sheet._charts(view(values=values, noisy=None)).axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == N - 1
    with pytest.raises(InputError, match="score loss has no value to draw"):
        sheet._charts(view(values=np.full(N, np.inf)))


def test_equal_scores_are_drawn():
    assert titles(sheet._charts(view(values=np.zeros(N, np.float32))))


def test_the_matrix_shows_each_pair_with_chance():
    subsets = {"a": np.arange(N) < 20, "b": np.arange(N) < 10, "c": np.arange(N) >= 20}
    (axes,) = sheet._overlap(subsets).axes
    np.testing.assert_allclose(axes.images[0].get_array(), [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    assert [text.get_text() for text in axes.texts][:3] == ["1.00", "0.50\n(0.20)", "0.00\n(0.33)"]
    assert overlap_table(subsets).splitlines() == [
        "overlap     Jaccard  by chance",
        "a        b     0.50       0.20",
        "a        c     0.00       0.33",
        "b        c     0.00       0.20",
    ]


def test_the_table_says_what_the_curves_say():
    lines = score_table(view()).splitlines()
    assert lines[0] == f"loss [nats per token]: 40 images, median {np.median(VALUES):.4g}"
    of_10 = lines[4].split()
    highest = ORDER[:10]
    assert of_10[:3] == ["25", "%", "10"] and float(of_10[3]) == pytest.approx(VALUES[highest].min(), rel=1e-3)
    assert float(of_10[4]) == pytest.approx(100 * NOISY[highest].mean(), abs=0.05)
    assert float(of_10[6]) == pytest.approx(100 * NOISY[highest].sum() / NOISY.sum(), abs=0.05)
    assert float(of_10[8]) == pytest.approx(100 * len(set(TYPES[highest])) / len(set(TYPES)), abs=0.05)
    assert "wrong" not in score_table(view(noisy=None)) and "types" not in score_table(view(types=None))


def test_the_sheet_stacks_a_block_a_score_and_the_matrix(tmp_path):
    subsets = {"a": np.arange(N) < 20, "b": np.arange(N) < 10}
    heights = []
    for views, shown in (([view()], {}), ([view(), view()], {}), ([view()], subsets), ([view()], {"a": subsets["a"]})):
        score_sheet(tmp_path / "scores.png", views, shown)
        with Image.open(tmp_path / "scores.png") as image:
            assert image.format == "PNG" and image.width == WIDTH
            heights.append(image.height)
    assert heights[1] == 2 * heights[0] and heights[2] > heights[0] == heights[3]
    assert [path.name for path in tmp_path.iterdir()] == ["scores.png"]


def test_an_error_leaves_the_old_sheet(tmp_path):
    (tmp_path / "scores.png").write_bytes(b"old")
    with pytest.raises(InputError):
        score_sheet(tmp_path / "scores.png", [view(values=np.full(N, np.inf))], {})
    assert (tmp_path / "scores.png").read_bytes() == b"old"
