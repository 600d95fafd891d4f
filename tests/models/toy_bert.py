"""A BERT of a few thousand random weights, as a folder in the form of Hugging Face or of sentence-transformers."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors.numpy import save_file

from tests.data import toy_subwords
from tfcap.models.bert import Bert, BertShape
from tfcap.models.weight_table import tensors_of

VOCABULARY = 120  # of the toy tokenizer
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 12,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "max_position_embeddings": 40,
}
# Modules and pooling of a folder, by what an embedding is.
MEAN = ({"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}, {"pooling_mode_mean_tokens": True})


def toy_bert(**shape: Any) -> Bert:
    """Returns one whose weights are large enough for texts to differ."""
    keras.utils.set_random_seed(0)
    bert = Bert(BertShape(**{**SHAPE, **shape}))
    rng = np.random.default_rng(0)
    for variable in bert.weights:
        variable.assign(variable.numpy() + rng.normal(scale=0.3, size=variable.shape))
    return bert


def write_bert(folder: Path, tensors: dict[str, np.ndarray] | None = None, **config: Any) -> Path:
    """Writes the checkpoint with its tokenizer; `config` replaces words of config.json. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors_of(toy_bert().rows()) if tensors is None else tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **SHAPE, **config}), encoding="utf-8")
    return toy_subwords.bert(folder)


def pooled(folder: Path, modules: dict[str, str], pooling: dict[str, bool]) -> Path:
    """Makes a folder one of sentence-transformers: its parts, each with its folder, and what it says of the pooling."""
    said = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (kind, path) in enumerate(modules.items())
    ]
    (folder / "modules.json").write_text(json.dumps(said), encoding="utf-8")
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    return folder
