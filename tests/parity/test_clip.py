"""CLIP against PyTorch on the same weights: both towers, their logits, the preprocessing and the tokenizer."""

import os
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from tests.models.toy_clip import CONFIG, SIDE, TEXT, VISION, write_tokenizer
from tfcap import registry
from tfcap.data.clip_tokenizer import ClipTokenizer
from tfcap.models.dual_encoder import pretrained
from tfcap.models.weight_table import tensors_of

pytestmark = pytest.mark.parity

# Far from the values that KerasHub has built in: a norm with its own epsilon instead would be seen.
EPSILON = {"layer_norm_eps": 0.05}
TEXT = {**TEXT, "bos_token_id": TEXT["eos_token_id"] - 1}  # transformers warns of ids outside the vocabulary
TOY = {"vision_config": VISION, "text_config": TEXT, "projection_dim": CONFIG["projection_dim"]}
B32 = {"vision_config": {}, "text_config": {}, "projection_dim": 512}  # transformers' defaults are its sizes
VARIANTS = {
    "toy": TOY,
    "toy with other norms": {**TOY, "vision_config": VISION | EPSILON, "text_config": TEXT | EPSILON},
    "toy with gelu": {
        **TOY,
        "vision_config": VISION | {"hidden_act": "gelu"},
        "text_config": TEXT | {"hidden_act": "gelu"},
    },
    "toy with the old id of the end": {**TOY, "text_config": TEXT | {"eos_token_id": 2}},
    "ViT-B/32": B32,
}


def _images(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, [3, side, side, 3]).astype(np.uint8)


def _random(kind: type, config: dict) -> torch.nn.Module:
    """A model of PyTorch whose norms and biases are not those of a start."""
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] if name == "ViT-B/32" else []) for name in VARIANTS],
    ids=str,
)
def both(request, tmp_path_factory):
    """The same weights as a model of PyTorch and as ours, and the folder that both know."""
    folder = tmp_path_factory.mktemp("clip")
    theirs = _random(transformers.CLIPModel, transformers.CLIPConfig(**VARIANTS[request.param]))
    theirs.save_pretrained(folder)
    write_tokenizer(folder, theirs.config.text_config.vocab_size)
    return theirs, pretrained(str(folder)), folder


TEXTS = ["A photo depicts a red ball.", "two dogs " * 250, "naïve 日本語 🎉", "!!! ! !", ""]


def test_features_and_logits_are_those_of_pytorch(both):
    theirs, ours, _ = both
    images = _images(ours.model.vision.shape.image_size)
    tokens = ours.tokenizer.encode(TEXTS)
    pixels = np.asarray(ours.model.vision.preprocess(images))
    with torch.no_grad():
        said = {"pixel_values": torch.tensor(pixels.transpose(0, 3, 1, 2)), "input_ids": torch.tensor(tokens).long()}
        found = theirs(**said)
        image_features = theirs.visual_projection(theirs.vision_model(said["pixel_values"]).pooler_output)
        text_features = theirs.text_projection(theirs.text_model(said["input_ids"]).pooler_output)
    np.testing.assert_allclose(ours.model.vision(pixels), image_features, atol=1e-4)
    np.testing.assert_allclose(ours.model.text(tokens), text_features, atol=1e-4)
    np.testing.assert_allclose(ours.model({"images": images}), found.image_embeds, atol=1e-4)
    np.testing.assert_allclose(ours.model({"tokens": tokens}), found.text_embeds, atol=1e-4)
    np.testing.assert_allclose(ours.model.logits_per_image(images, tokens), found.logits_per_image, atol=1e-4)
    assert np.ptp(found.logits_per_image.numpy(), axis=1).min() > 1e-3  # texts of one vector would agree with anything


def test_the_table_gives_back_the_file_that_pytorch_wrote(both):
    _, ours, folder = both
    written, back = load_file(folder / "model.safetensors"), tensors_of(ours.model.rows())
    assert written.keys() == back.keys()
    for name, tensor in written.items():
        np.testing.assert_array_equal(back[name], tensor, err_msg=name)


@pytest.mark.parametrize("kind", [transformers.CLIPVisionModel, transformers.CLIPVisionModelWithProjection])
def test_an_image_tower_alone_is_an_encoder(tmp_path, kind):
    theirs = _random(kind, transformers.CLIPVisionConfig(**VISION, projection_dim=6))
    theirs.save_pretrained(tmp_path)
    whole, regions = (registry.ENCODERS["clip_vit"](str(tmp_path), SIDE, each) for each in (False, True))
    pixels = np.asarray(whole.preprocess(_images(SIDE)))
    with torch.no_grad():
        found = theirs(pixel_values=torch.tensor(pixels.transpose(0, 3, 1, 2)))
        tower = getattr(theirs, "vision_model", theirs)
        patches = tower.post_layernorm(found.last_hidden_state[:, 1:])
    pooled = found.image_embeds if kind is transformers.CLIPVisionModelWithProjection else found.pooler_output
    assert pooled.shape == (3, whole.feature_size)
    np.testing.assert_allclose(whole(pixels), pooled, atol=1e-4)
    np.testing.assert_allclose(regions(pixels), patches, atol=1e-4)


def test_a_square_of_the_right_size_is_normalised_as_by_transformers(both):
    _, ours, _ = both
    side = ours.model.vision.shape.image_size
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=side)
    expected = processor(list(_images(side)), return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(
        ours.model.vision.preprocess(_images(side)), np.asarray(expected).transpose(0, 2, 3, 1), atol=1e-5
    )


@pytest.mark.parametrize("form", ["vocab.json and merges.txt", "tokenizer.json"])
def test_tokens_are_those_of_transformers(both, tmp_path, form):
    _, _, folder = both
    theirs = transformers.AutoTokenizer.from_pretrained(shutil.copytree(folder, tmp_path / "theirs"))
    if form == "tokenizer.json":
        theirs.save_pretrained(tmp_path / "saved")
        assert not os.path.exists(tmp_path / "saved" / "vocab.json")
        folder = tmp_path / "saved"
    said = theirs(TEXTS, padding="max_length", truncation=True, max_length=77)["input_ids"]
    np.testing.assert_array_equal(ClipTokenizer(folder, 77).encode(TEXTS), said)
