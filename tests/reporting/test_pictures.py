import numpy as np
import pytest
from PIL import Image

from tfcap.errors import InputError
from tfcap.reporting import pictures
from tfcap.reporting.pictures import BOX, CARD_WIDTH, GAP, MARGIN, Sample, samples_sheet, sheet_pixels

RED = (200, 40, 40)


def sample(size=(8, 8), prediction="a red picture", references=("all of it is red",), score=0.5, label="red.png"):
    return Sample(np.full((*size, 3), RED, np.uint8), prediction, references, score, label)


def written(path, samples):
    samples_sheet(path, samples)
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def extent(sheet, colour=RED):
    """Returns the height and width of the bounding box of one colour."""
    rows, columns = np.nonzero((sheet == np.array(colour, np.uint8)).all(-1))
    return np.ptp(rows) + 1, np.ptp(columns) + 1


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 4), (5, 3), (12, 4), (20, 6), (100, 6)])
def test_the_grid_holds_every_sample(tmp_path, count, columns):
    sheet = written(tmp_path / "samples.png", [sample()] * count)
    assert sheet.shape[1] == 2 * MARGIN + columns * CARD_WIDTH + (columns - 1) * GAP
    red = (sheet == np.array(RED, np.uint8)).all(-1)
    assert red.sum() == count * BOX * BOX


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((8, 8), (BOX, BOX)),
        ((2000, 2000), (BOX, BOX)),
        ((480, 640), (BOX * 3 // 4, BOX)),
        ((640, 160), (BOX, BOX // 4)),
        ((1, 3000), (1, BOX)),
    ],
)
def test_pictures_fill_the_box_and_keep_their_aspect(tmp_path, size, shown):
    assert extent(written(tmp_path / "samples.png", [sample(size)])) == shown


def test_a_longer_caption_takes_more_room_up_to_a_limit(tmp_path):
    heights = [
        written(tmp_path / "samples.png", [sample(prediction="word " * words)]).shape[0] for words in (2, 10, 500, 5000)
    ]
    assert heights[0] < heights[1] < heights[2] == heights[3]


def test_a_long_prediction_is_cut_with_an_ellipsis():
    card = pictures._card(sample(prediction="word " * 500), 0)
    assert len(card.prediction.lines) == 4
    assert card.prediction.lines[-1].endswith("…")


def test_three_references_that_say_something_and_the_score_times_100():
    card = pictures._card(sample(references=["one", " ", "two", "three", "four"], score=1.234), 0)
    assert [paragraph.lines for paragraph in card.references] == [["one"], ["two"], ["three"]]
    assert card.score.lines == ["CIDEr 123.4"]


def test_a_long_label_leaves_the_score_its_room():
    card = pictures._card(sample(label="x" * 300), 0)
    width = card.label.font.getlength(card.label.lines[0]) + card.score.font.getlength(card.score.lines[0])
    assert len(card.label.lines) == 1
    assert width < BOX


def test_an_empty_prediction_and_an_unknown_score_are_said():
    card = pictures._card(sample(prediction=" ", score=float("nan")), 0)
    assert card.prediction.lines == ["(no words)"]
    assert card.score.lines == ["CIDEr -"]


@pytest.mark.parametrize(
    "text", ["一只棕色的狗在草地上奔跑" * 9, "🐶🎾 👩‍👩‍👧", "كلب بني", "\ud800\x00\x1b[31m", "\u200d", "क्या"]
)
def test_any_unicode_is_drawn_without_a_warning(tmp_path, text):
    written(tmp_path / "samples.png", [sample(prediction=text, references=[text], label=text)])


def test_the_same_samples_give_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        samples_sheet(tmp_path / name, [sample()])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_the_pixels_are_those_of_the_file(tmp_path):
    samples = [sample(), sample((4, 9), prediction="another")]
    np.testing.assert_array_equal(sheet_pixels(samples), written(tmp_path / "samples.png", samples))


@pytest.mark.parametrize("count", [0, 101])
def test_a_count_out_of_range_is_an_input_error(tmp_path, count):
    with pytest.raises(InputError, match=f"Received: {count} samples. Expected: 1 to 100"):
        samples_sheet(tmp_path / "samples.png", [sample()] * count)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_a_wrong_image_is_an_input_error_and_leaves_the_old_sheet(tmp_path, image):
    path = tmp_path / "samples.png"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match="at sample 1"):
        samples_sheet(path, [sample(), Sample(image, "", (), 0.0)])
    assert path.read_bytes() == b"old"
