import io
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from tfcap.reporting.charts import Chart, Panel, series_name
from tfcap.reporting.palette import COLOURS, MARKERS, SERIES, Style, themed, variables

NAMES = ["$x$ <b> & co", "b"]


def _draw(axes):
    for place, name in enumerate(NAMES):
        style = Style(place)
        axes.plot(
            [0, 1], [0.125, 1 + place], color=style.colour, marker=style.marker, gid=series_name(place), label=name
        )
    axes.set_xlabel(NAMES[0])


CHART = Chart(
    "toy",
    "A toy",
    "",
    [Panel("one", 'words "<b>" & more', _draw), Panel("two", "words", _draw)],
    (200, 150),
    {name: Style(place) for place, name in enumerate(NAMES)},
)


def test_a_panel_is_an_element_in_the_page_s_colours_and_font():
    one, two = CHART.inline("part-")
    root = ElementTree.fromstring(one)
    assert root.get("aria-label") == 'words "<b>" & more' and root.get("role") == "img"
    assert root.get("width") is None and root.get("viewBox")
    assert "var(--series-0)" in one and COLOURS["series-0"][0] not in one and "DejaVu" not in one
    assert "$x$ &lt;b&gt; &amp; co" in one  # no formula, no markup
    assert {element.get("data-series") for element in root.iter()} - {None} == {"0", "1"}
    ids = [{element.get("id") for element in ElementTree.fromstring(svg).iter()} - {None} for svg in (one, two)]
    assert ids[0] and not ids[0] & ids[1]


def test_files_have_all_panels_the_same_bytes_and_no_series_that_is_hidden():
    files = CHART.files()
    assert list(files) == ["toy.svg", "toy.png"] and files == CHART.files()
    assert COLOURS["series-0"][0].encode() in files["toy.svg"] and b"two" in files["toy.svg"]
    with Image.open(io.BytesIO(files["toy.png"])) as image:
        assert image.width > 2 * image.height
    hidden = Chart(CHART.name, "", "", CHART.panels, CHART.size, CHART.key, hidden=[1]).files()["toy.svg"]
    assert COLOURS["series-1"][0].encode() in files["toy.svg"]
    assert COLOURS["series-1"][0].encode() not in hidden


def test_styles_are_told_apart_without_colour():
    looks = {(style.marker, style.dash_array, style.name) for style in map(Style, range(105))}
    assert len(looks) == 105
    assert len({(Style(place).marker, Style(place).dash_array) for place in range(0, 105, SERIES)}) == 15
    plain = Style(3, plain=True)
    assert plain.name == "ink" and plain.marker not in MARKERS  # told from every series without its colour
    assert plain.outline not in MARKERS.values()


def _luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
def test_words_and_series_stand_out_from_the_paper(dark):
    paper = _luminance(COLOURS["paper"][dark])
    for name, of_theme in COLOURS.items():
        if name in ("paper", "line"):
            continue
        low, high = sorted([paper, _luminance(of_theme[dark])])
        assert (high + 0.05) / (low + 0.05) >= (4.5 if name in ("ink", "muted") else 3), name


def test_no_two_colours_are_equal_on_light_ground():
    assert len({light for light, _ in COLOURS.values()}) == len(COLOURS)
    assert themed("fill: #ffffff") == "fill: var(--paper)" and "--paper:#171a20;" in variables(dark=True)
