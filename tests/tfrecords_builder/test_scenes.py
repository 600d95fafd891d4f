"""What the rendered data set promises: known redundancy, known noise, captions that fit, equal bytes."""

import collections
import io

import numpy as np
import pytest
from PIL import Image

from tfcap.settings import DataSettings
from tfrecords_builder import scene_plan, scene_world
from tfrecords_builder.scene_captions import MOST_WORDS, SYNONYMS, write_captions
from tfrecords_builder.scene_drawing import render
from tfrecords_builder.scene_world import AIR_KINDS, COLOURS, KINDS, SETTING_NAMES, Column, SceneObject, SceneType, Size

SIZE = 200  # 160 / 20 / 20


@pytest.fixture(scope="module")
def train() -> list[scene_plan.Scene]:
    return list(scene_plan.generate(SIZE, 0, "train"))


def _pixels(scene: scene_plan.Scene) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(scene.image)), np.float32)


def _says(caption: str, word: str) -> bool:
    return not {word, SYNONYMS.get(word, word)}.isdisjoint(caption.rstrip(".").replace(",", "").split())


def _samples(count: int) -> list[SceneType]:
    return [scene_world.sample_type(scene_plan.generator(0, 9, index)) for index in range(count)]


def test_images_are_small_rgb_jpegs(train):
    picture = Image.open(io.BytesIO(train[0].image))
    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (96, 96))


@pytest.mark.parametrize("size", [10, 19, 2500, 99_999])
def test_sizes_add_up_and_every_split_has_a_scene(size):
    sizes = scene_plan.split_sizes(size)
    assert sum(sizes.values()) == size
    assert min(sizes.values()) >= 1
    assert sizes["validation"] == sizes["test"] == size // 10


def test_smallest_data_set_has_consecutive_ids():
    scenes = [scene for split in scene_plan.SPLITS for scene in scene_plan.generate(10, 3, split)]
    assert [scene.image_id for scene in scenes] == list(range(10))
    assert [number for scene in scenes for number in scene.caption_ids] == list(range(50))


def test_equal_arguments_give_equal_bytes(train):
    assert list(scene_plan.generate(SIZE, 0, "train")) == train


def test_another_seed_gives_another_data_set(train):
    other = next(scene_plan.generate(SIZE, 1, "train"))
    assert other.image != train[0].image
    assert other.content != train[0].content


def test_an_image_does_not_depend_on_the_size(train):
    smaller = list(scene_plan.generate(20, 0, "train"))
    assert [scene.image for scene in smaller] == [scene.image for scene in train[: len(smaller)]]


@pytest.mark.parametrize("size", [10, 100, 200, 2500])
def test_exactly_a_twentieth_of_train_is_noisy(size):
    types = scene_plan.split_types(size, 0, "train")
    sources = scene_plan.caption_sources(types, 0)
    assert len(sources) == round(0.05 * len(types))
    assert all(types[source] != types[index] for index, source in sources.items())
    assert not sources.keys() & set(sources.values())


def test_noise_needs_a_scene_of_another_type():
    (only,) = _samples(1)
    assert scene_plan.caption_sources([only] * 40, 0) == {}


def test_noisy_captions_are_the_recorded_source_s(train):
    noisy = [scene for scene in train if scene.noisy]
    assert len(noisy) == 8
    for scene in noisy:
        assert scene.captions == train[scene.caption_source].captions
        assert scene.content != train[scene.caption_source].content


@pytest.mark.parametrize("split", ["validation", "test"])
def test_only_train_is_noisy(split):
    assert not any(scene.noisy for scene in scene_plan.generate(SIZE, 0, split))


def test_copies_count_the_train_images_of_a_type(train):
    counts = collections.Counter(scene.content for scene in train)
    assert all(scene.copies == counts[scene.content] for scene in train)
    test = list(scene_plan.generate(SIZE, 0, "test"))
    assert all(scene.copies == counts[scene.content] for scene in test)


@pytest.mark.parametrize("seed", [0, 1])
def test_frequencies_follow_a_power_law(seed):
    counts = collections.Counter(scene_plan.split_types(2500, seed, "train"))
    descending = sorted(counts.values(), reverse=True)
    assert 0.4 < sum(descending[: len(descending) // 10]) / 2000 < 0.6
    assert 20 <= descending[0] <= 80
    singles = descending.count(1)
    assert 0.3 < singles / 2000 < 0.45
    # Of the types past the flat head, the number seen at least n times falls as a power of n.
    at_least = np.asarray([sum(count >= n for count in descending) for n in (2, 4, 8, 16)])
    slopes = np.diff(np.log(at_least)) / np.log(2)
    assert np.all((slopes > -1.6) & (slopes < -0.4))


def test_test_split_mixes_known_and_new_types():
    known = set(scene_plan.split_types(2500, 0, "train"))
    new = np.mean([content not in known for content in scene_plan.split_types(2500, 0, "test")])
    assert 0.25 < new < 0.5


def test_code_is_unique_and_reads_back():
    types = set(_samples(2000))
    assert len({content.code for content in types}) == len(types)
    assert all(SceneType.from_code(content.code) == content for content in types)
    assert max(content.code for content in types) < 2**63


def test_objects_of_a_scene_never_share_a_kind_or_a_place():
    for content in _samples(500):
        assert len({item.kind for item in content.objects}) == len(content.objects)
        assert len({(item.column, item.in_air) for item in content.objects}) == len(content.objects)
        assert content.objects[0].size > Size.SMALL
        assert all(item.size == Size.SMALL for item in content.objects[1:])


def test_captions_name_what_is_drawn():
    for number, content in enumerate(_samples(500)):
        captions = write_captions(content, scene_plan.generator(1, number))
        main, *others = content.objects
        assert all(_says(caption, main.kind) for caption in captions)
        assert sum(_says(caption, main.colour) for caption in captions) >= 4
        for item in others:
            assert sum(_says(caption, item.kind) and _says(caption, item.colour) for caption in captions) >= 2
        absent = set(KINDS) - {item.kind for item in content.objects}
        if content.setting == "room":  # "inside a house" says where
            absent -= {"house"}
        assert not any(_says(caption, kind) for caption in captions for kind in absent)


def test_clean_images_carry_their_own_captions(train):
    for scene in train:
        if not scene.noisy:
            assert all(_says(caption, scene.content.objects[0].kind) for caption in scene.captions)


def test_captions_read_like_captions():
    for number, content in enumerate(_samples(500)):
        captions = write_captions(content, scene_plan.generator(2, number))
        assert len(captions) == 5
        assert len(set(captions)) >= 3
        for caption in captions:
            assert caption == caption.lower().strip()
            assert caption.endswith(".")
            assert "  " not in caption
            assert len(caption.split()) <= MOST_WORDS
            assert not {"a orange", "an red", "a umbrella"} & {caption[i:][:10].rstrip() for i in range(len(caption))}


def _one_object(kind: str, size: Size, column: Column, colour: str = "red", setting: str = "meadow") -> SceneType:
    return SceneType(setting, (SceneObject(kind, colour, size, column),))


@pytest.mark.parametrize("column", list(Column))
@pytest.mark.parametrize("kind", ["ball", "balloon"])
def test_objects_are_drawn_where_the_scene_says(kind, column):
    rows, columns = [], []
    for number in range(5):
        pixels = render(_one_object(kind, Size.MEDIUM, column), scene_plan.generator(3, number)).astype(int)
        red = (pixels[:, :, 0] > 140) & (pixels[:, :, 1:].max(axis=2) < 90)
        assert red.sum() > 150
        at = np.argwhere(red).mean(axis=0)
        rows.append(at[0])
        columns.append(at[1])
    assert np.mean(columns) == pytest.approx({0: 18, 1: 48, 2: 78}[column], abs=6)
    assert (np.mean(rows) < 48) == (kind in AIR_KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_differ_in_area(kind):
    """Compares the pixels that change when the object is repainted, so texture and clutter cancel."""
    areas = []
    for size in Size:
        pictures = [
            render(_one_object(kind, size, Column.MIDDLE, colour), scene_plan.generator(4, 0)).astype(int)
            for colour in ("red", "blue")
        ]
        areas.append(np.sum(np.abs(pictures[0] - pictures[1]).max(axis=2) > 60))
    assert areas[0] * 1.5 < areas[1] and areas[1] * 1.4 < areas[2]
    assert areas[0] > 30


def test_near_duplicates_are_alike_but_differ(train):
    by_type = collections.defaultdict(list)
    for scene in train:
        by_type[scene.content].append(_pixels(scene))
    families = [pictures for pictures in by_type.values() if len(pictures) > 2]
    assert families
    within, across = [], []
    for family, other in zip(families, families[1:] + families[:1], strict=True):
        within.append(np.abs(family[0] - family[1]).mean())
        across.append(np.abs(family[0] - other[0]).mean())
    assert min(within) > 5
    assert np.mean(within) < 0.8 * np.mean(across)


@pytest.mark.parametrize("setting", SETTING_NAMES)
def test_every_colour_stands_out_from_every_setting(setting):
    """An object's outline must be visible even where its paint is close to the ground's."""
    for colour in COLOURS:
        contents = [_one_object("ball", Size.LARGE, Column.MIDDLE, c, setting) for c in (colour, "red", "blue")]
        with_it, *repainted = (render(content, scene_plan.generator(5, 0)).astype(int) for content in contents)
        inside = np.max([np.abs(with_it - other).max(axis=2) > 60 for other in repainted], axis=0)
        paint, ground = with_it[inside], with_it[56:][~inside[56:]]
        assert inside.sum() > 700
        assert np.abs(paint.mean(axis=0) - ground.mean(axis=0)).max() > 15


@pytest.mark.filterwarnings("ignore:label:DeprecationWarning")  # TFDS reading its own protocol buffers
def test_builder_writes_the_truth(tmp_path):
    import tensorflow_datasets as tfds

    from tfrecords_builder import build

    folder = build(DataSettings(scenes_size=40, scenes_seed=7, data_dir=str(tmp_path)), progress=False)
    assert folder == tmp_path / "scenes" / "n40-s7" / "1.0.0"
    expected = [scene for split in scene_plan.SPLITS for scene in scene_plan.generate(40, 7, split)]
    builder = tfds.builder_from_directory(str(folder))
    records = [record for split in scene_plan.SPLITS for record in tfds.as_numpy(builder.as_dataset(split=split))]
    assert [int(record["image/id"]) for record in records] == [scene.image_id for scene in expected]
    for record, scene in zip(records, expected, strict=True):
        assert [text.decode() for text in record["captions/text"]] == list(scene.captions)
        assert SceneType.from_code(int(record["truth/scene_type"])) == scene.content
        assert int(record["truth/copies"]) == scene.copies
        assert int(record["truth/noisy"]) == scene.noisy
        assert int(record["truth/caption_source"]) == scene.caption_source
    assert sum(scene.noisy for scene in expected) == 2
