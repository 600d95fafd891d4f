import numpy as np
import pytest
from PIL import Image

from tfcap.errors import InputError
from tfcap.reporting import curves
from tfcap.reporting.curves import Values, training_curves

HISTORY: dict[str, Values] = {
    "loss": [3.0, 2.0, 1.5],
    "val_loss": [None, 2.5, float("nan")],
    "val_CIDEr": [None, 0.4, 0.3],
    "learning_rate": [1e-3, 5e-4, 0.0],
    "seconds": [1.0, 1.0, 1.0],
}


def width(path, history):
    training_curves(path, history)
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.width


def test_quantities_are_sorted_into_panels_and_scores_are_times_100():
    panels = dict(curves._panels(HISTORY))
    assert {title: list(series) for title, series in panels.items()} == {
        "Loss": ["training", "validation"],
        "Validation score x 100": ["CIDEr"],
        "Learning rate": ["learning_rate"],
    }
    np.testing.assert_allclose(panels["Validation score x 100"]["CIDEr"], [np.nan, 40.0, 30.0])
    np.testing.assert_array_equal(np.isnan(panels["Loss"]["validation"]), [True, False, True])


def test_one_panel_for_each_kind_that_was_measured(tmp_path):
    all_three = width(tmp_path / "curves.png", HISTORY)
    losses = width(tmp_path / "curves.png", {"loss": [3.0], "val_CIDEr": [None], "learning_rate": [float("inf")]})
    assert all_three == 3 * losses


def test_many_epochs_are_drawn(tmp_path):
    assert width(tmp_path / "curves.png", {"loss": list(np.linspace(3, 1, 1000))})


@pytest.mark.parametrize("history", [{}, {"loss": []}, {"loss": [None]}, {"seconds": [1.0]}])
def test_nothing_to_draw_is_an_input_error(tmp_path, history):
    with pytest.raises(InputError, match="nothing to draw"):
        training_curves(tmp_path / "curves.png", history)
    assert not list(tmp_path.iterdir())
