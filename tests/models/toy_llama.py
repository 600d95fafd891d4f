"""Llamas of a few thousand random weights: with grouped heads, scaled rotation and one table, or with none of it."""

from typing import Any

END, VOCABULARY = 29, 30
PLAIN = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 0,
    "eos_token_id": END,
}
# Among the three frequencies of a head of 6 there is one of each kind: kept, between, and divided by the factor.
SCALED = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
GROUPED = {
    **PLAIN,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "llama3", "rope_theta": 50.0, **SCALED},
}


def config(**changes: Any) -> dict[str, Any]:
    """Returns what config.json says, as transformers 5 writes it."""
    return {"model_type": "llama", **GROUPED, **changes}
