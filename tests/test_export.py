"""The exported model captions as the Python path does, in any batch, with TensorFlow alone; bad bytes are refused."""

import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import plain_tensorflow
from tests.test_bad_input import _png_header
from tests.tfrecords_builder.toy import encoded
from tfcap.data.images import decode
from tfcap.data.text import WordTokenizer
from tfcap.export import CaptioningService, save
from tfcap.models.build import build_captioner
from tfcap.models.generation import Decoding
from tfcap.settings import Settings

SIZE, DECODING = 16, Decoding(beams=3, length_penalty=0.7)
WORDS = ["a red ball in the snow", "zwei Mädchen laufen", "二 猫"]


@pytest.fixture(scope="module")
def tokenizer():
    return WordTokenizer.fit(WORDS, min_count=1, max_tokens=8)


@pytest.fixture(scope="module")
def model(tokenizer):
    """A captioner whose random weights are large enough for its captions to depend on the picture."""
    made = build_captioner(Settings().replace(image_size=SIZE, units=8, embedding_size=4).resolve(), len(tokenizer))
    rng = np.random.default_rng(0)
    for variable in made.trainable_variables[-8:]:
        variable.assign(rng.normal(0, 1.5, variable.shape))
    return made


@pytest.fixture(scope="module")
def folder(model, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "saved_model"
    save(folder, model, tokenizer, DECODING, image_size=SIZE)
    return folder


@pytest.fixture(scope="module")
def signature(folder):
    loaded = tf.saved_model.load(str(folder))
    yield loaded.signatures["serving_default"]
    del loaded


def _sixteen_bits() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 2**16, [20, 30]).astype(np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


PICTURES = {
    "jpeg": encoded(0),
    "another jpeg": encoded(1, (40, 90)),
    "png": encoded(2, form="PNG"),
    "png of the model's size": encoded(3, (SIZE, SIZE), form="PNG"),
    "grey jpeg": encoded(4, mode="L"),
    "grey png": encoded(5, mode="L", form="PNG"),
    "png with alpha": encoded(6, mode="RGBA", form="PNG"),
    "png with a palette": encoded(7, mode="P", form="PNG"),
    "16-bit png": _sixteen_bits(),
    "larger image": encoded(8, (1500, 1000)),
    "progressive jpeg": encoded(9, (64, 64), progressive=True),
}


def _expected(model, tokenizer, pictures):
    """Caption and score of each picture by the Python path, one at a time."""
    images = [decode(tf.constant(picture), SIZE)[None] for picture in pictures]
    found = [model.generate(model.encode(image), tokenizer.max_tokens, DECODING) for image in images]
    return [tokenizer.decode(np.asarray(tokens))[0] for tokens, _ in found], [float(score[0]) for _, score in found]


def _captions(answer) -> list[str]:
    return [text.decode() for text in answer["caption"].numpy()]


def test_captions_and_scores_equal_those_of_the_python_path(model, tokenizer, signature):
    captions, scores = _expected(model, tokenizer, PICTURES.values())
    answer = signature(image_bytes=tf.constant(list(PICTURES.values())))
    assert dict(zip(PICTURES, _captions(answer), strict=True)) == dict(zip(PICTURES, captions, strict=True))
    np.testing.assert_allclose(answer["score"], scores, rtol=1e-4)
    assert len(set(captions)) > 3  # or equal captions would say little


@pytest.mark.parametrize("batch", [1, 3])
def test_any_batch_size_gives_the_same(signature, batch):
    pictures = list(PICTURES.values())
    whole = signature(image_bytes=tf.constant(pictures))
    for start in range(0, 6, batch):
        answer = signature(image_bytes=tf.constant(pictures[start : start + batch]))
        assert _captions(answer) == _captions(whole)[start : start + batch]
        np.testing.assert_allclose(answer["score"], whole["score"][start : start + batch], rtol=1e-4)


def test_drawn_captions_depend_on_the_picture_and_the_seed_and_not_on_the_batch(model, tokenizer):
    found = []
    for seed in (0, 0, 1):
        decoding = Decoding(temperature=2.0, top_p=0.99, seed=seed)
        service = CaptioningService(model, tokenizer, decoding, image_size=SIZE)
        found.append(_captions(service.caption(tf.constant(list(PICTURES.values())))))
    assert found[0] == found[1] != found[2]
    alone = [_captions(service.caption(tf.constant([picture])))[0] for picture in PICTURES.values()]
    assert alone == found[2]


def test_the_signature_is_what_the_documentation_says(signature):
    _, inputs = signature.structured_input_signature
    assert inputs["image_bytes"].shape.as_list() == [None] and inputs["image_bytes"].dtype == tf.string
    outputs = signature.structured_outputs
    assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in outputs.items()} == {
        "caption": (tf.string, [None]),
        "score": (tf.float32, [None]),
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected JPEG or PNG"),
        (b"hello", "expected JPEG or PNG"),
        (encoded(0, form="GIF"), "expected JPEG or PNG"),
        (encoded(0, form="BMP"), "expected JPEG or PNG"),
        (_png_header(60_000, 60_000), "too many pixels"),
        (_png_header(50_000_001, 1), "too many pixels"),
        (_png_header(8, 8), "PNG|png"),
        (b"\x89PNG\r\n\x1a\n", "expected JPEG or PNG"),
        (_png_header(8, 8)[:23], "expected JPEG or PNG"),
        (encoded(0)[:40], "JPEG|jpeg"),
        (b"\xff\xd8\xff" + bytes(64 * 2**20), "too large"),
    ],
    ids=[
        "empty",
        "text",
        "gif",
        "bmp",
        "bomb",
        "wide",
        "cut png",
        "signature alone",
        "cut header",
        "cut jpeg",
        "64 MB",
    ],
)
def test_bytes_that_are_no_picture_are_refused(signature, content, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        signature(image_bytes=tf.constant([content]))


def test_a_refused_picture_does_not_spoil_the_next_call(signature):
    before = _captions(signature(image_bytes=tf.constant([PICTURES["jpeg"]])))
    with pytest.raises(tf.errors.InvalidArgumentError):
        signature(image_bytes=tf.constant([PICTURES["jpeg"], b"hello"]))
    assert _captions(signature(image_bytes=tf.constant([PICTURES["jpeg"]]))) == before


def test_it_loads_with_tensorflow_alone(folder, signature, tmp_path):
    pictures = [PICTURES["jpeg"], PICTURES["grey png"]]
    assert plain_tensorflow.captions(folder, pictures, tmp_path) == _captions(
        signature(image_bytes=tf.constant(pictures))
    )


def test_an_experiment_s_export_captions_its_test_split_as_its_captions_json_says(finished_run, scenes):
    from tfcap.data.records import Records

    records = Records(scenes, "test")
    parsed = [tf.train.Example.FromString(raw).features.feature for raw in records.raw(range(len(records)))]
    pictures = [feature["image"].bytes_list.value[0] for feature in parsed]
    serve = tf.saved_model.load(str(finished_run / "saved_model")).signatures["serving_default"]
    expected = json.loads((finished_run / "captions.json").read_text())
    found = _captions(serve(image_bytes=tf.constant(pictures)))
    assert [{"image_id": int(i), "caption": c} for i, c in zip(records.ids, found, strict=True)] == expected


def test_no_file_of_the_export_is_a_pickle_or_keras_archive(folder):
    assert not [path for path in Path(folder).rglob("*") if path.suffix in (".pkl", ".pickle", ".keras", ".h5")]
    assert keras.__version__  # Keras made it, and reading it needs none
