import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrecords_builder.toy import encoded
from tfrecords_builder import images


def _decoded(data):
    return tf.io.decode_image(data, channels=3, expand_animations=False).numpy()


@pytest.mark.parametrize(
    ("mode", "form"),
    [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("1", "PNG")],
)
def test_bytes_that_tensorflow_decodes_are_kept(mode, form):
    source = encoded(mode=mode, form=form)
    stored = images.prepare(source)
    assert stored.encoded == source and not stored.reencoded
    assert (stored.height, stored.width) == (16, 24) == _decoded(source).shape[:2]


def test_progressive_jpeg_and_a_jpeg_of_several_pictures_are_jpegs():
    several = encoded(form="MPO", save_all=True, append_images=[images.Image.new("RGB", (24, 16))])
    for source in (encoded(progressive=True), several):
        assert images.prepare(source).encoded == source
    assert min(images.prepare(several, 8).encoded[:2]) == 0xD8


@pytest.mark.parametrize("cut", [2, 10, 100, 0.5, 0.9])
def test_a_jpeg_cut_short_is_bad(cut):
    source = encoded(size=(64, 64))
    kept = len(source) - (cut if isinstance(cut, int) else int(cut * len(source)))
    for shorter_side in (0, 8):
        with pytest.raises(images.BadImage, match="does not decode|broken header|neither"):
            images.prepare(source[:kept], shorter_side)


def test_a_png_without_its_end_is_stored_anew_so_that_tensorflow_decodes_it():
    source = encoded(form="PNG")
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.io.decode_png(source[:-12])
    stored = images.prepare(source[:-12])
    assert stored.reencoded
    np.testing.assert_array_equal(_decoded(stored.encoded), _decoded(source))


@pytest.mark.parametrize("source", [None, b"", b"hello, no image", b"GIF89a" + bytes(50), b"\xff\xd8\xff", b"\x89PNG"])
def test_what_is_no_image_is_bad(source):
    with pytest.raises(images.BadImage):
        images.prepare(source)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [7_100, 12_000, 60_000])
def test_a_png_that_would_decode_to_too_many_pixels_is_refused_by_its_header(side, monkeypatch):
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(1000)))
    framed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(framed)
    monkeypatch.setattr(tf.io, "decode_png", None)  # nothing may decode it
    with pytest.raises(images.BadImage, match="50,000,000 pixels"):
        images.prepare(bomb)


@pytest.mark.parametrize(("form", "magic"), [("JPEG", b"\xff\xd8"), ("PNG", b"\x89P")])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "RGBA", "LA"])
def test_a_larger_image_is_resized_to_its_shorter_side_in_its_own_format(form, magic, mode):
    if (form, mode) in {("JPEG", "P"), ("JPEG", "RGBA"), ("JPEG", "LA"), ("PNG", "CMYK")}:
        pytest.skip("no such files")
    stored = images.prepare(encoded(size=(90, 60), mode=mode, form=form), 20)
    assert (stored.height, stored.width) == (20, 30) == _decoded(stored.encoded).shape[:2]
    assert stored.encoded.startswith(magic)


def test_a_smaller_image_is_never_enlarged():
    source = encoded(size=(90, 20))
    assert images.prepare(source, 20).encoded == source
    assert images.prepare(source, 64).encoded == source


def test_resizing_is_antialiased():
    checkers = np.indices((64, 64)).sum(0) % 2 * 255
    buffer = images.io.BytesIO()
    images.Image.fromarray(checkers.astype(np.uint8)).save(buffer, "PNG")
    small = _decoded(images.prepare(buffer.getvalue(), 16).encoded)
    np.testing.assert_allclose(small, 128, atol=4)


def test_sixteen_bits_become_the_high_byte_as_tensorflow_decodes_them():
    values = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40) * 40
    buffer = images.io.BytesIO()
    images.Image.fromarray(values).save(buffer, "PNG")
    small = _decoded(images.prepare(buffer.getvalue(), 20).encoded)[..., 0].astype(int)
    large = tf.image.resize(_decoded(buffer.getvalue())[..., :1].astype(np.float32), (20, 20), antialias=True)[..., 0]
    np.testing.assert_allclose(small[2:-2, 2:-2], large[2:-2, 2:-2], atol=3)
