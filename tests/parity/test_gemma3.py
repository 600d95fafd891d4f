"""Gemma 3 from a checkpoint of Hugging Face, through KerasHub, against PyTorch: logits, and captions word for word."""

import json
import re

import numpy as np
import pytest
import sentencepiece
import torch
import transformers
from safetensors.numpy import load_file, save_file

from tests.models.toy_hub import VISION_MARKS, sentences
from tfcap.models.hub import Gemma3
from tfcap.settings import Settings

pytestmark = pytest.mark.parity

SIDE, TOKENS, BATCH = 32, 9, 3
RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, [SIDE, SIDE, 3], dtype=np.uint8) for _ in range(BATCH)]
PREPARED = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 255, "resample": 2}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The model in PyTorch and the folder that it was saved to."""
    folder = tmp_path_factory.mktemp("gemma3")
    (folder / "tokenizer.model").write_bytes(sentences(VISION_MARKS))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPARED), encoding="utf-8")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    text = {
        "vocab_size": pieces.get_piece_size(),
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 6,  # the last of six sees everything, the others a window
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "query_pre_attn_scalar": 4,
        "sliding_window": 8,
    }
    vision = {
        "hidden_size": 12,
        "intermediate_size": 20,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "image_size": SIDE,
        "patch_size": 4,
        "vision_use_head": False,
    }
    config = transformers.Gemma3Config(
        text_config=text,
        vision_config=vision,
        mm_tokens_per_image=4,
        image_token_index=pieces.piece_to_id("<img>"),
        boi_token_index=pieces.piece_to_id("<start_of_image>"),
        eoi_token_index=pieces.piece_to_id("<end_of_image>"),
    )
    torch.manual_seed(0)
    model = transformers.Gemma3ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    save_file({_published(name): tensor for name, tensor in tensors.items()}, folder / "model.safetensors")
    return model, folder


def _published(name):
    """The name that the published checkpoints have; the tower is saved under another by transformers 5."""
    return re.sub(r"^vision_tower\.(?!vision_model\.)", "vision_tower.vision_model.", name)


def _ours(folder, **changes):
    said = {"eval_batch_size": BATCH, "max_tokens": TOKENS, "beams": 1, "xla": False, **changes}
    return Gemma3(str(folder), "a photo of this", "float32", Settings().replace(**said))


def _given(ours, theirs):
    """What transformers is given for our prompt and the same pictures."""
    tokens = torch.tensor(ours._inputs["token_ids"][:, : ours._length], dtype=torch.long)
    pixels = np.stack(PICTURES).transpose(0, 3, 1, 2) / 127.5 - 1.0
    return {
        "input_ids": tokens,
        "attention_mask": torch.ones_like(tokens),
        "pixel_values": torch.tensor(pixels, dtype=torch.float32),
        "token_type_ids": (tokens == theirs.config.image_token_id).long(),
    }


def test_the_checkpoint_of_transformers_has_the_same_logits(pair):
    theirs, folder = pair
    ours = _ours(folder)
    given = _given(ours, theirs)
    assert int(given["token_type_ids"][0].sum()) == 4
    with torch.no_grad():
        expected = theirs(**given).logits.numpy()
    converted = np.stack([np.asarray(ours.model.preprocessor.image_converter(picture)) for picture in PICTURES])
    np.testing.assert_allclose(converted.transpose(0, 3, 1, 2), given["pixel_values"].numpy(), atol=1e-5)
    inputs = {name: ours._inputs[name] for name in ours.model.input}
    inputs["images"] = converted.reshape(inputs["images"].shape)
    found = np.asarray(ours.model(inputs))[:, : ours._length]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [{}, {"beams": 3}, {"beams": 3, "length_penalty": 0.5, "no_repeat_ngram": 2, "early_stopping": True}],
    ids=str,
)
def test_captions_are_those_of_generate(pair, options):
    theirs, folder = pair
    ours = _ours(folder, **options)
    marks, given = ours.marks(), _given(ours, theirs)
    with torch.no_grad():
        expected = theirs.generate(
            **given,
            do_sample=False,
            max_new_tokens=TOKENS - 1,
            num_beams=options.get("beams", 1),
            length_penalty=options.get("length_penalty", 1.0),
            no_repeat_ngram_size=options.get("no_repeat_ngram", 0),
            early_stopping=options.get("early_stopping", False),
            eos_token_id=marks.end,
            pad_token_id=0,
            suppress_tokens=list(marks.never),
        )[:, ours._length :].numpy()
    texts = ours.texts(expected, np.cumsum(expected == marks.end, axis=1) == 0)
    assert ours.captions(PICTURES, np.arange(BATCH)) == texts
    assert len(set(texts)) > 1
