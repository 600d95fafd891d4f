"""A GPT-2 of a few thousand random weights, whose texts end now and then, and captioners made of it."""

from typing import Any

import keras
import numpy as np

from tfcap.models.gpt2 import GPT2, GPT2Shape
from tfcap.models.mappers import LinearMapper, MLPMapper, TransformerMapper
from tfcap.models.prefix_lm import PrefixCaptioner
from tfcap.models.vit_gpt2 import CrossAttentionCaptioner

END, VOCABULARY = 29, 30
FEATURES, REGIONS, PREFIX, ROOM = 5, 4, 3, 10
TOY = {
    "vocab_size": VOCABULARY,
    "n_positions": 32,
    "n_embd": 12,
    "n_layer": 2,
    "n_head": 3,
    "bos_token_id": END,
    "eos_token_id": END,
}


def config(**changes: Any) -> dict[str, Any]:
    """Returns what config.json says."""
    return {"model_type": "gpt2", **TOY, **changes}


def decoder(*, cross: bool = False, seed: int = 0, **changes: Any) -> GPT2:
    """Returns a GPT-2 with large enough weights for each of its vectors to matter."""
    return stirred(GPT2(GPT2Shape(**{**TOY, "add_cross_attention": cross, **changes})), seed)


def stirred(layer: Any, seed: int = 0, scale: float = 0.3) -> Any:
    """Returns the layer, with noise added to its trainable weights."""
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(scale=scale, size=variable.shape) + (1.0 if "gamma" in variable.path else 0.0))
    return layer


def prefix_captioner(mapper: str = "linear", **more: Any) -> PrefixCaptioner:
    """Returns a captioner behind features [B, FEATURES], or [B, R, FEATURES] with the mapper "regions"."""
    makers = {
        "linear": lambda: LinearMapper(FEATURES, PREFIX, TOY["n_embd"]),
        "mlp": lambda: MLPMapper(FEATURES, PREFIX, TOY["n_embd"]),
        "transformer": lambda: TransformerMapper(FEATURES, PREFIX, TOY["n_embd"], 2, 3),
        "regions": lambda: TransformerMapper(FEATURES, PREFIX, TOY["n_embd"], 2, 3, regions=True),
    }
    return PrefixCaptioner(keras.layers.Identity(), stirred(makers[mapper]()), decoder(), ROOM, **more)


def cross_captioner(feature_size: int = FEATURES, **more: Any) -> CrossAttentionCaptioner:
    """Returns a captioner behind features [B, R, feature_size] or [B, feature_size]."""
    made = CrossAttentionCaptioner(keras.layers.Identity(), feature_size, decoder(cross=True), ROOM, **more)
    return stirred(made, seed=1)


def captions(count: int, length: int = 8, seed: int = 0) -> np.ndarray:
    """Returns int32 [count, length]: the begin mark, words, the end mark, and -1 where a caption is shorter."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, END, [count, length]).astype(np.int32)
    ends = 2 + np.arange(count) % (length - 2)
    place = np.arange(length)
    tokens = np.where((place == 0) | (place == ends[:, None]), END, tokens)
    return np.where(place > ends[:, None], -1, tokens).astype(np.int32)
