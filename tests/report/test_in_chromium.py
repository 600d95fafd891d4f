"""The report as a reader meets it, in headless Chromium: no errors, no network, filters, keyboard, narrow screens."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.toy_study import HOSTILE, write_study
from tfcap.report import __main__ as report
from tfcap.report import samples

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHONE = {"width": 390, "height": 844}
CONTROLS = "a[href], button, select, input, summary, [tabindex='0']"


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser (requirements-dev.txt)")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report on a toy study whose data set is there: grey pictures and hostile human captions."""
    here = tmp_path_factory.mktemp("reports")
    study = write_study(here / "toy", methods=("random", "loss"))
    written = io.BytesIO()
    Image.new("RGB", (8, 8), "grey").save(written, "PNG")

    def of_data(found, images, data_dir):
        picture = samples._thumbnail(np.asarray(Image.open(written)))
        return dict.fromkeys(images, picture), {image: [HOSTILE, f"what people say of {image}"] for image in images}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "_of_data", of_data)
        report.main(["report", str(study), f"--out={here / 'report'}", "--title=A toy"])
    return here / "report"


@pytest.fixture
def page(browser, folder):
    """The report, opened; whatever the browser finds wrong with it fails the test, and so does any request."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    opened = context.new_page()
    wrong, asked = [], []
    opened.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto((folder / "index.html").as_uri())
    yield opened
    context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [(folder / "index.html").as_uri()]


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A report on a study with both protocols and on another with the same test images."""
    here = tmp_path_factory.mktemp("reports")
    places = [write_study(here / "both", fractions=(0.5,), protocols=("false", "true"))]
    places.append(write_study(here / "another", methods=("random",), fractions=(0.5,)) / "study.json")
    report.main(["report", *map(str, places), f"--out={here / 'report'}", "--pictures=2"])
    return here / "report"


def test_parts_stand_by_themselves_also_on_a_phone(browser, several):
    page = browser.new_page(viewport=PHONE)
    wrong = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((several / "index.html").as_uri())
    links = page.locator("nav.parts a")
    assert links.all_inner_texts()[-3:] == ["both, equal epochs", "both, equal steps", "study"]
    links.nth(links.count() - 2).press("Enter")
    steps = page.locator(":target")
    assert steps.locator("h2").inner_text() == "both, equal steps" and steps.locator(".warning").first.is_visible()
    assert set(steps.locator("figure .label").all_inner_texts()) == {"equal steps"}
    before = page.locator("svg [data-series]:visible").count()
    steps.locator(".chip").first.click()
    assert 0 < page.locator("svg [data-series]:visible").count() < before
    assert steps.locator(".shown").inner_text() == "2 of 3"
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.close()
    assert wrong == []


def test_of_classes_it_says_right_or_wrong(browser, tmp_path):
    study = write_study(tmp_path / "pictures", model="classifier", seeds=(0,))
    report.main(["report", str(study), f"--out={tmp_path / 'report'}", "--pictures=4"])
    page = browser.new_page()
    wrong = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((tmp_path / "report" / "index.html").as_uri())
    assert page.locator(".card thead").first.inner_text().split() == ["method", "class"]
    rows = [text.split()[-2:] for text in page.locator(".card tbody tr").all_inner_texts()]
    assert {tuple(row) for row in rows} == {("airplane", "right"), ("bird", "wrong")}
    assert page.locator(".count").inner_text() == "4 of 4 pictures."
    page.close()
    assert wrong == []


def _cards(page):
    return page.locator(".card").count()


def test_it_opens_with_its_pictures_and_takes_no_orders_from_captions(page):
    assert page.title() == "A toy"
    assert _cards(page) == 12 and page.locator(".card img").first.evaluate("image => image.naturalWidth") == 8
    assert page.get_by_text(HOSTILE.split()[0]).count() > 0
    assert page.locator(".panel svg").count() > 8


def test_search_finds_captions_and_says_how_many(page):
    page.locator("[data-search]").fill("BICYCLE")
    assert _cards(page) == 1 and page.locator(".count").inner_text().startswith("1 of 1 pictures with “bicycle”")
    assert page.locator(".card mark").all_inner_texts() == ["bicycle"]
    page.locator("[data-search]").fill("no such word")
    assert _cards(page) == 0


def test_methods_are_shown_and_hidden_in_charts_and_samples(page):
    loss = page.locator("svg [data-series='0']").first
    rows = page.locator(".card").nth(3).locator("tbody tr")
    before = rows.count()
    assert loss.is_visible() and page.locator(".shown").inner_text() == "3 of 3"
    page.locator(".chip", has_text="loss").click()
    assert not loss.is_visible() and page.locator(".shown").inner_text() == "2 of 3"
    assert rows.count() == before - 1
    page.locator("[data-search]").fill("bicycle")
    assert _cards(page) == 0
    page.get_by_role("button", name="As at first").click()
    assert _cards(page) == 1 and loss.is_visible()


def test_the_part_that_was_kept_is_chosen(page):
    rows = page.locator(".card").first.locator("tbody tr")
    assert rows.count() == 3  # two methods at one fraction, and all the data
    page.locator("[data-fraction]").select_option("any")
    assert rows.count() == 5
    page.locator("[data-full]").uncheck()
    assert rows.count() == 4


def test_a_table_is_sorted_by_a_button(page):
    table = page.locator("[data-table='quality_by_fraction']")
    methods = table.locator("tbody th")
    head = table.get_by_role("button", name="50 %")
    head.press("Enter")
    assert table.locator("th[aria-sort='descending']").inner_text().startswith("50 %")
    assert methods.all_inner_texts() == ["loss", "random", "full"]  # what is absent comes last
    head.press("Enter")
    assert methods.all_inner_texts() == ["random", "loss", "full"]
    table.get_by_role("button", name="method").press("Enter")
    assert methods.all_inner_texts() == ["full", "loss", "random"]


@pytest.mark.parametrize(("form", "ending"), [("CSV", "csv"), ("LaTeX", "tex"), ("Markdown", "md")])
def test_a_table_is_downloaded_as_its_file(page, folder, form, ending):
    table = page.locator("[data-table='quality_by_fraction']")
    table.locator("[data-form]").select_option(form)
    with page.expect_download() as started:
        table.get_by_role("button", name="Download").click()
    assert started.value.suggested_filename == f"toy-quality_by_fraction.{ending}"
    expected = (folder / "toy" / "tables" / f"quality_by_fraction.{ending}").read_bytes()
    with open(started.value.path(), "rb") as file:
        assert file.read() == expected


def test_one_heat_map_is_shown_at_a_time(page):
    maps = page.locator(".panels.one .panel")
    assert [maps.nth(place).is_visible() for place in range(2)] == [True, False]
    page.locator(".choice input").nth(1).check()
    assert [maps.nth(place).is_visible() for place in range(2)] == [False, True]


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(page):
    visible = f"[...document.querySelectorAll({CONTROLS!r})].filter(one => one.checkVisibility())"
    expected = page.evaluate(f"{visible}.filter(one => one.type !== 'radio' || one.checked).length")
    page.evaluate(f"{visible}.forEach((one, place) => {{ one.dataset.place = place; }})")
    seen = set()
    for _ in range(expected + 5):
        page.keyboard.press("Tab")
        place, outlined = page.evaluate(
            "(() => { const one = document.activeElement, ring = (e) => getComputedStyle(e).outlineStyle !== 'none';"
            " return [one.dataset.place, ring(one) || ring(one.closest('label') || one)]; })()"
        )
        if place is not None:
            seen.add(place)
            assert outlined, place
    assert len(seen) == expected


def test_a_method_is_hidden_by_the_keyboard(page):
    page.locator(".chip input").first.focus()
    page.keyboard.press("Space")
    assert page.locator(".shown").inner_text() == "2 of 3"


def test_colours_follow_the_system_and_the_switch(page):
    def ground():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = ground()
    page.emulate_media(color_scheme="dark")
    dark = ground()
    assert light != dark
    page.locator("#theme").select_option("light")
    assert ground() == light
    page.emulate_media(color_scheme="light")
    page.locator("#theme").select_option("dark")
    assert ground() == dark


def test_a_phone_scrolls_down_and_not_across(page):
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.locator("[data-fraction]").select_option("any")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
