"""Any JPEG or PNG becomes the same RGB square, eagerly and in a graph; augmentation depends on its seed alone."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfcap.data.images import Augmentation, decode, resize


def _gradient(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, 0 * x + 60], -1).astype(np.uint8))


def _encode(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _kinds() -> dict[str, bytes]:
    image = _gradient(40, 24)
    alpha = image.convert("RGBA")
    alpha.putalpha(128)
    return {
        "jpeg": _encode(image, "JPEG", quality=95),
        "progressive jpeg": _encode(image, "JPEG", quality=95, progressive=True),
        "grey jpeg": _encode(image.convert("L"), "JPEG", quality=95),
        "cmyk jpeg": _encode(image.convert("CMYK"), "JPEG", quality=95),
        "png": _encode(image, "PNG"),
        "grey png": _encode(image.convert("L"), "PNG"),
        "alpha png": _encode(alpha, "PNG"),
        "palette png": _encode(image.convert("P"), "PNG"),
        "one bit png": _encode(image.convert("1"), "PNG"),
        "grey alpha png": _encode(image.convert("LA"), "PNG"),
    }


KINDS = _kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_decode_gives_the_picture_of_every_kind(kind):
    """Not resized, so that what is compared is decoding alone. Palette and one-bit pictures were dithered before."""
    source = Image.open(io.BytesIO(KINDS[kind]))
    expected = np.asarray(source.convert("RGB").resize((24, 24), Image.Resampling.BILINEAR), float)
    decoded = decode(tf.constant(KINDS[kind]), 24).numpy()
    assert decoded.shape == (24, 24, 3) and decoded.dtype == np.uint8
    assert np.abs(decoded - expected).mean() < 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_decodes_as_eager_mode_does(kind):
    in_graph = tf.function(lambda encoded: decode(encoded, 16), input_signature=[tf.TensorSpec([], tf.string)])
    np.testing.assert_array_equal(in_graph(KINDS[kind]), decode(tf.constant(KINDS[kind]), 16))


@pytest.mark.parametrize("kind", ["grey jpeg", "grey png"])
def test_grey_pictures_have_three_equal_channels(kind):
    decoded = decode(tf.constant(KINDS[kind]), 24).numpy()
    assert np.ptp(decoded, axis=-1).max() == 0 and np.ptp(decoded) > 30


def test_a_png_of_the_size_asked_for_is_left_alone():
    image = _gradient(24, 24)
    np.testing.assert_array_equal(decode(tf.constant(_encode(image, "PNG")), 24), np.asarray(image))


def test_resize_is_antialiased_and_keeps_the_mean():
    stripes = np.tile(np.array([0, 255], np.uint8), [64, 32])[..., None].repeat(3, -1)
    resized = resize(tf.constant(stripes), 8).numpy().astype(int)
    assert np.abs(resized - 127).max() < 20


def test_resize_squashes_the_whole_picture():
    """Each corner's colour is still in its corner: nothing is cut off."""
    image = np.zeros([20, 60, 3], np.uint8)
    for channel, (rows, columns) in enumerate([(slice(10), slice(30)), (slice(10), slice(30, 60))]):
        image[rows, columns, channel] = 200
    small = resize(tf.constant(image), 8).numpy()
    assert small[0, 0].tolist() == [200, 0, 0] and small[0, 7].tolist() == [0, 200, 0]
    assert small[7].max() == 0


# Augmentation.

SIZE = 32
PICTURE = np.random.default_rng(0).integers(0, 256, [SIZE + SIZE // 8, SIZE + SIZE // 8, 3]).astype(np.uint8)


def _augmented(kind: str, seed: tuple[int, int]) -> np.ndarray:
    augmentation = Augmentation(kind, SIZE)
    size = augmentation.decoded_size
    return augmentation(tf.constant(PICTURE[:size, :size]), tf.constant(seed, tf.int32)).numpy()


def test_crop_is_a_window_of_the_picture_at_every_corner_in_time():
    corners = set()
    for number in range(60):
        cropped = _augmented("crop", (number, 5))
        assert cropped.shape == (SIZE, SIZE, 3) and cropped.dtype == np.uint8
        windows = np.lib.stride_tricks.sliding_window_view(PICTURE, (SIZE, SIZE, 3))[:, :, 0]
        (found,) = np.argwhere((windows == cropped).all(axis=(2, 3, 4)))
        corners.add(tuple(found.tolist()))
    assert {row for row, _ in corners} == {column for _, column in corners} == {0, 1, 2, 3, 4}


def test_pad_crop_shifts_by_up_to_an_eighth_of_the_side_into_zeros():
    """The picture is not enlarged, and no pixel of its middle is ever lost."""
    assert Augmentation("pad_crop", SIZE).decoded_size == Augmentation("pad_crop_flip", SIZE).decoded_size == SIZE
    plain, margin = PICTURE[:SIZE, :SIZE] // 2 + 100, SIZE // 8  # no zero in it
    padded = np.pad(plain, [(margin, margin), (margin, margin), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (SIZE, SIZE, 3))[:, :, 0]
    augmentation, corners = Augmentation("pad_crop", SIZE), set()
    for number in range(150):
        shifted = augmentation(tf.constant(plain), tf.constant([number, 5], tf.int32)).numpy()
        assert shifted.shape == (SIZE, SIZE, 3) and shifted.dtype == np.uint8
        (found,) = np.argwhere((windows == shifted).all(axis=(2, 3, 4)))
        rows, columns = (SIZE - abs(int(place) - margin) for place in found)
        assert (shifted > 0).sum() == 3 * rows * columns
        corners.add(tuple(found.tolist()))
    assert {row for row, _ in corners} == {column for _, column in corners} == set(range(2 * margin + 1))


def test_flip_mirrors_about_half_of_the_pictures():
    plain = PICTURE[:SIZE, :SIZE]
    flipped = 0
    for number in range(100):
        seen = _augmented("flip", (number, 9))
        flipped += np.array_equal(seen, plain[:, ::-1])
        assert np.array_equal(seen, plain) or np.array_equal(seen, plain[:, ::-1])
    assert 30 < flipped < 70


def test_crop_and_flip_are_drawn_apart():
    """Among pictures with one corner both mirrored and plain ones occur."""
    windows = np.lib.stride_tricks.sliding_window_view(PICTURE, (SIZE, SIZE, 3))[:, :, 0]
    seen = set()
    for number in range(80):
        cropped = _augmented("crop_flip", (number, 1))
        for mirrored, candidate in ((False, cropped), (True, cropped[:, ::-1])):
            for row, _ in np.argwhere((windows == candidate).all(axis=(2, 3, 4))):
                seen.add((int(row), mirrored))
    assert seen == {(row, mirrored) for row in range(5) for mirrored in (False, True)}


@pytest.mark.parametrize("kind", ["crop", "flip", "crop_flip", "pad_crop", "pad_crop_flip"])
def test_a_graph_augments_as_eager_mode_does_and_a_seed_repeats_itself(kind):
    augmentation = Augmentation(kind, SIZE)
    picture = tf.constant(PICTURE[: augmentation.decoded_size, : augmentation.decoded_size])
    in_graph = tf.function(augmentation)
    for seed in ((3, 4), (-5, 2**31 - 1), (0, 0)):
        expected = _augmented(kind, seed)
        np.testing.assert_array_equal(in_graph(picture, tf.constant(seed, tf.int32)), expected)
        np.testing.assert_array_equal(_augmented(kind, seed), expected)


def test_pad_crop_and_flip_mirrors_about_half_of_what_pad_crop_gives():
    shifted, both = ([_augmented(kind, (number, 5)) for number in range(40)] for kind in ("pad_crop", "pad_crop_flip"))
    mirrored = [np.array_equal(ours, theirs[:, ::-1]) for ours, theirs in zip(both, shifted, strict=True)]
    assert 10 < sum(mirrored) < 30
    assert all(np.array_equal(both[i], shifted[i]) for i in range(40) if not mirrored[i])


def test_augmentation_does_not_depend_on_the_order_of_calls():
    augmentation = Augmentation("crop_flip", SIZE)
    seeds = [tf.constant([number, 7], tf.int32) for number in range(5)]
    forth = [augmentation(tf.constant(PICTURE), seed).numpy() for seed in seeds]
    back = [augmentation(tf.constant(PICTURE), seed).numpy() for seed in reversed(seeds)]
    np.testing.assert_array_equal(forth, back[::-1])
    assert len({one.tobytes() for one in forth}) > 1
