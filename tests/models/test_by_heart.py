"""Every captioner learns eight real pictures by heart, and its gradient norms are exact on them.

The captioners are those of the contract test: small decoders from a random start behind an encoder that learns too.
"""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.contract.test_captioners import ROWS
from tfcap.data.text import WordTokenizer
from tfcap.models.build import build_captioner
from tfcap.models.generation import Decoding
from tfcap.scoring.gradient_norms import GradientNorm
from tfcap.settings import SelectionSettings, Settings
from tfcap.training.step import SummedAdamW, example_gradient_norms, train_step, values_of

SIDE, COUNT, STEPS = 64, 8, 400
every = pytest.mark.parametrize("name", ROWS)


@pytest.fixture(scope="module")
def pictures(shared_data):
    """Eight photographs of COCO, uint8 [8, SIDE, SIDE, 3], and the first caption of each."""
    folder = shared_data / "coco_mini"
    found = json.loads((folder / "annotations" / "captions_train2017.json").read_text(encoding="utf-8"))
    captions = {}
    for annotation in found["annotations"]:
        captions.setdefault(annotation["image_id"], annotation["caption"])
    chosen = sorted(found["images"], key=lambda image: image["id"])[:COUNT]
    paths = [folder / "train2017" / image["file_name"] for image in chosen]
    images = [tf.io.decode_jpeg(path.read_bytes(), channels=3) for path in paths]
    small = [tf.cast(tf.image.resize(image, [SIDE, SIDE], antialias=True), tf.uint8).numpy() for image in images]
    return np.stack(small), [captions[image["id"]] for image in chosen]


def _made(name, pictures):
    images, texts = pictures
    tokenizer = WordTokenizer.fit(texts, min_count=1, max_tokens=2 + max(len(text.split()) for text in texts))
    said = {**ROWS[name].settings, "model": name.split()[0], "image_size": SIDE, "dropout": 0.0}
    if "units" in said:
        said |= {"units": 64, "embedding_size": 64}  # 24 are few for so many words
    model = build_captioner(Settings().replace(**said).resolve(), len(tokenizer))
    batch = {"images": images, "tokens": tokenizer.encode(texts), "weights": np.ones(COUNT, np.float32)}
    return model, tokenizer, {key: tf.constant(value) for key, value in batch.items()}


@pytest.mark.slow
@every
def test_eight_captions_come_back_word_for_word(name, pictures):
    model, tokenizer, batch = _made(name, pictures)
    falling = keras.optimizers.schedules.CosineDecay(ROWS[name].rate, STEPS)  # or it might be judged at a bad moment
    optimizer = SummedAdamW(falling, weight_decay=0.0)
    optimizer.build(model.trainable_variables)
    strategy = tf.distribute.get_strategy()
    step = train_step(model, optimizer, seed=0, clip_norm=1.0, xla=False, strategy=strategy)
    for number in range(STEPS):
        step(batch, tf.constant(number))
    tokens, _ = model.generate(model.encode(batch["images"]), tokenizer.max_tokens, Decoding())
    captions = [text.strip(" .").lower() for text in pictures[1]]  # the words that a vocabulary has of these
    assert len(set(captions)) == COUNT
    assert tokenizer.decode(tokens.numpy()) == captions


@pytest.mark.slow
@every
def test_gradient_norms_are_those_of_one_gradient_at_a_time(name, pictures):
    model, _, batch = _made(name, pictures)
    pairs = {**batch, "tokens": batch["tokens"][:, None], "weights": batch["weights"][:, None]}
    values = values_of(model.trainable_variables), values_of(model.non_trainable_variables)
    expected, _ = example_gradient_norms(model, xla=False)(*values, pairs)
    found = GradientNorm(SelectionSettings()).compute(model, xla=False)(*values, pairs)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
