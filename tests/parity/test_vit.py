"""ViT against PyTorch on the same weights: every token, the table in both directions and the preprocessing."""

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from tests.models.toy_vit import HIDDEN, SHAPE, SIDE
from tfcap import registry
from tfcap.models.weight_table import tensors_of

pytestmark = pytest.mark.parity

VARIANTS = {
    "toy": SHAPE,
    "toy with other norms": SHAPE | {"layer_norm_eps": 0.05},
    "toy with quick_gelu": SHAPE | {"hidden_act": "quick_gelu"},
    "toy without biases of q, k, v": SHAPE | {"qkv_bias": False},
    "ViT-B/16": {},  # transformers' defaults are its sizes
}


def _images(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, [3, side, side, 3]).astype(np.uint8)


def _randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Makes the norms and biases of a model other than those of a start."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model.eval()


def _tokens(theirs: torch.nn.Module, pixels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return theirs(pixel_values=torch.tensor(pixels.transpose(0, 3, 1, 2))).last_hidden_state.numpy()


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] if name == "ViT-B/16" else []) for name in VARIANTS],
    ids=str,
)
def both(request, tmp_path_factory):
    """The same weights as a model of PyTorch and as our encoder with regions, and their folder."""
    folder = tmp_path_factory.mktemp("vit")
    theirs = _randomised(transformers.ViTModel(transformers.ViTConfig(**VARIANTS[request.param])))
    theirs.save_pretrained(folder)
    name = "vit" if VARIANTS[request.param] else "vit_b16"
    return theirs, registry.ENCODERS[name](str(folder), theirs.config.image_size, True), folder


def test_tokens_are_those_of_pytorch(both):
    theirs, ours, folder = both
    pixels = np.asarray(ours.preprocess(_images(theirs.config.image_size)))
    expected = _tokens(theirs, pixels)
    assert expected.std(axis=(0, 1)).min() > 1e-3  # tokens that were all alike would agree with anything
    np.testing.assert_allclose(ours(pixels), expected, atol=1e-4)
    whole = registry.ENCODERS["vit"](str(folder), theirs.config.image_size)
    np.testing.assert_allclose(whole(pixels), expected[:, 0], atol=1e-4)


def test_the_table_gives_back_the_file_that_pytorch_wrote(both):
    _, ours, folder = both
    written = {name: w for name, w in load_file(folder / "model.safetensors").items() if "pooler" not in name}
    back = tensors_of(ours.vision.rows())
    assert written.keys() == back.keys()
    for name, tensor in written.items():
        np.testing.assert_array_equal(back[name], tensor, err_msg=name)


def _with_a_decoder() -> transformers.VisionEncoderDecoderModel:
    marks = {"bos_token_id": 1, "eos_token_id": 2}  # GPT-2's own lie outside so small a vocabulary
    gpt2 = transformers.GPT2Config(n_embd=HIDDEN, n_layer=1, n_head=3, vocab_size=20, n_positions=16, **marks)
    kind = transformers.VisionEncoderDecoderConfig
    return transformers.VisionEncoderDecoderModel(
        kind.from_encoder_decoder_configs(transformers.ViTConfig(**SHAPE), gpt2)
    )


WHOLES = {
    "classifier": (lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**SHAPE)), "vit"),
    "masked patches": (
        lambda: transformers.ViTForMaskedImageModeling(transformers.ViTConfig(**SHAPE, encoder_stride=8)),
        "vit",
    ),
    "decoder of text": (_with_a_decoder, "encoder"),
}


@pytest.mark.parametrize("kind", WHOLES)
def test_it_is_read_out_of_a_larger_model(tmp_path, kind):
    make, part = WHOLES[kind]
    theirs = _randomised(make())
    theirs.save_pretrained(tmp_path)
    ours = registry.ENCODERS["vit"](str(tmp_path), SIDE, True)
    pixels = np.asarray(ours.preprocess(_images(SIDE)))
    np.testing.assert_allclose(ours(pixels), _tokens(getattr(theirs, part), pixels), atol=1e-4)


@pytest.mark.parametrize("colours", [{}, {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.1, 0.2, 0.3]}])
def test_a_square_of_the_right_size_is_normalised_as_by_transformers(tmp_path, colours):
    transformers.ViTModel(transformers.ViTConfig(**SHAPE)).save_pretrained(tmp_path)
    processor = transformers.ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}, **colours)
    if colours:
        processor.save_pretrained(tmp_path)
    ours, images = registry.ENCODERS["vit"](str(tmp_path), SIDE), _images(SIDE)
    expected = np.asarray(processor(list(images), return_tensors="np")["pixel_values"]).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(ours.preprocess(images), expected, atol=1e-5)
