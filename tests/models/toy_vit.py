"""A ViT of a few thousand random weights, as a folder in the form of Hugging Face."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors.numpy import save_file

from tfcap.models.transformer_shapes import ImageShape
from tfcap.models.vit import VitTower
from tfcap.models.weight_table import tensors_of

SIDE, PATCHES, HIDDEN = 16, 4, 12
SHAPE = {
    "hidden_size": HIDDEN,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": SIDE,
    "patch_size": 8,
}


def toy_vit(**shape: Any) -> VitTower:
    """Returns one whose weights are large enough for images to differ."""
    keras.utils.set_random_seed(0)
    tower = VitTower(ImageShape(**{**SHAPE, **shape}), {})
    rng = np.random.default_rng(0)
    for variable in tower.weights:
        variable.assign(variable.numpy() + rng.normal(scale=0.3, size=variable.shape))
    return tower


def write_vit(folder: Path, tensors: dict[str, np.ndarray] | None = None, **config: Any) -> Path:
    """Writes the checkpoint; `config` replaces words of config.json. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {"model_type": "vit", **SHAPE, **config}
    if tensors is None:
        tensors = tensors_of(toy_vit(image_size=said["image_size"]).rows())
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder
