"""A GIT of a few thousand random weights."""

from typing import Any

from tests.models.toy_clip import VISION

END, VOCABULARY = 2, 30
TOY = {
    "vocab_size": VOCABULARY,
    "hidden_size": 12,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "max_position_embeddings": 24,
    "bos_token_id": 1,
    "eos_token_id": END,
}
# Another width than the decoder's, and a norm that would be seen if it were another.
VISION = {**VISION, "hidden_size": 15, "layer_norm_eps": 0.01}


def config(**changes: Any) -> dict[str, Any]:
    """Returns what config.json says."""
    return {"model_type": "git", **TOY, "vision_config": VISION, **changes}
