"""A CLIP of a few thousand random weights, as a folder in the form of Hugging Face."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors.numpy import save_file
from tokenizers.pre_tokenizers import ByteLevel

from tfcap.models.clip import TextShape, VisionShape
from tfcap.models.dual_encoder import DualEncoder
from tfcap.models.weight_table import tensors_of

SIDE, PATCHES, HIDDEN, D = 16, 4, 12, 6
VISION = {
    "hidden_size": HIDDEN,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": SIDE,
    "patch_size": 8,
}
MERGES = ["t h", "th e</w>", "a n", "an d</w>"]


def vocabulary(size: int = 0) -> dict[str, int]:
    """Every byte, alone and at the end of a word, some merges, and the two marks; the end is the highest id.

    Words that no text is made of fill it up to the size.
    """
    letters = sorted(ByteLevel.alphabet())
    merged = [merge.replace(" ", "") for merge in MERGES]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *merged]
    words += [f"unused {index}" for index in range(size - len(words) - 2)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return {word: index for index, word in enumerate(words)}


END = len(vocabulary()) - 1
TEXT = {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": END + 1,
    "max_position_embeddings": 77,
    "eos_token_id": END,
}
CONFIG = {"model_type": "clip", "projection_dim": D, "vision_config": VISION, "text_config": TEXT}


def toy_clip(seed: int = 0, side: int = SIDE) -> DualEncoder:
    """Returns one whose weights are large enough for images and texts to differ."""
    keras.utils.set_random_seed(seed)
    model = DualEncoder(VisionShape(**{**VISION, "image_size": side}), TextShape(**TEXT), D)
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(variable.numpy() + rng.normal(scale=0.3, size=variable.shape))
    return model


def write_tokenizer(folder: Path, size: int = 0) -> None:
    (folder / "vocab.json").write_text(json.dumps(vocabulary(size)), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]) + "\n", encoding="utf-8")


def write_clip(folder: Path, tensors: dict[str, np.ndarray] | None = None, *, side: int = SIDE, **config: Any) -> Path:
    """Writes the checkpoint with its tokenizer; `config` replaces words of config.json. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors_of(toy_clip(side=side).rows()) if tensors is None else tensors, folder / "model.safetensors")
    sized = {**CONFIG, "vision_config": {**VISION, "image_size": side}}
    (folder / "config.json").write_text(json.dumps({**sized, **config}), encoding="utf-8")
    write_tokenizer(folder)
    return folder
