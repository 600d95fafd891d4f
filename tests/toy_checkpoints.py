"""Pretrained captioners and decoders of a few thousand random weights, as folders with tokenizers of their own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from safetensors.numpy import save_file

from tests.data import toy_subwords
from tests.models import toy_git, toy_gpt2, toy_llama, toy_vit
from tests.models.toy_gpt2 import stirred
from tfcap.data.subwords import SubwordTokenizer
from tfcap.models.clip import VisionShape, VisionTower
from tfcap.models.git import GIT, GITShape
from tfcap.models.git_checkpoint import rows_of
from tfcap.models.llama import Llama
from tfcap.models.llama_shape import shape_of
from tfcap.models.vit_gpt2 import CrossAttentionCaptioner
from tfcap.models.weight_table import Row, tensors_of

MAX_TOKENS = 12


def _with_words(write_tokenizer: Callable[[Path], Path], folder: Path) -> dict[str, int]:
    """Writes a tokenizer; returns what config.json says of its words."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = SubwordTokenizer.load(write_tokenizer(folder), MAX_TOKENS)
    return {"vocab_size": len(tokenizer), "bos_token_id": tokenizer.marks.begin, "eos_token_id": tokenizer.marks.end}


def _written(folder: Path, rows: list[Row], config: dict[str, Any]) -> Path:
    save_file(tensors_of(rows), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def write_pair(folder: Path) -> Path:
    """A VisionEncoderDecoder of ViT and GPT-2, of the same width."""
    words = _with_words(toy_subwords.gpt2, folder)
    decoder = toy_gpt2.decoder(cross=True, **words)
    captioner = CrossAttentionCaptioner(keras.layers.Identity(), toy_vit.HIDDEN, decoder, MAX_TOKENS)
    config = {
        "model_type": "vision-encoder-decoder",
        "encoder": {"model_type": "vit", **toy_vit.SHAPE},
        "decoder": toy_gpt2.config(**words, add_cross_attention=True),
    }
    return _written(folder, [*toy_vit.toy_vit().rows("encoder."), *captioner.rows()], config)


def write_git(folder: Path, **vision: Any) -> Path:
    words, vision = _with_words(toy_subwords.git, folder), {**toy_git.VISION, **vision}
    keras.utils.set_random_seed(0)
    tower = stirred(VisionTower(VisionShape(**vision), None, {}))
    shape = GITShape(**{**toy_git.TOY, **words})
    decoder = stirred(GIT(shape, tower.shape.hidden_size, tower.shape.layer_norm_eps))
    return _written(folder, rows_of(tower, decoder), toy_git.config(**words, vision_config=vision))


def write_gpt2(folder: Path) -> Path:
    words = _with_words(toy_subwords.gpt2, folder)
    return _written(folder, toy_gpt2.decoder(**words).rows(), toy_gpt2.config(**words))


def write_llama(folder: Path) -> Path:
    config = toy_llama.config(**_with_words(toy_subwords.llama3, folder))
    keras.utils.set_random_seed(0)
    return _written(folder, stirred(Llama(shape_of(config, "toy"))).rows(), config)
