"""A GPT-2 of a few thousand random weights, whose texts end now and then."""

from typing import Any

END, VOCABULARY = 29, 30
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
