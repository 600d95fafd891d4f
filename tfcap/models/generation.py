"""The one decoding core: beam search with static shapes, which is greedy search for one beam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

Tensor = Any

PAD, BEGIN, END, UNKNOWN = range(4)
_NEVER = -1e9


def beam_search(
    state: list[Tensor],
    step: Callable[[Tensor, list[Tensor]], tuple[Tensor, list[Tensor]]],
    max_tokens: int,
    beams: int,
    length_penalty: float,
) -> tuple[Tensor, Tensor]:
    """Returns the best caption of each image and its score; stops when every beam of every image has ended.

    An ended beam stays in the race with its sum of log-probabilities; the winner has the highest sum divided by
    length ** length_penalty, <end> counted. <unk> is never generated.

    Args:
      state: the decoder's state, each part [B, ...].
      step: int32 [B * beams], state -> logits float32 [B * beams, V], state.

    Returns:
      token ids int32 [B, max_tokens], from <begin> to <end> and <pad> after it; scores float32 [B].
    """
    batch = ops.shape(state[0])[0]
    state = [ops.repeat(part, beams, axis=0) for part in state]
    first_row = ops.arange(batch, dtype="int32")[:, None] * beams  # [B, 1]
    tokens = ops.broadcast_to(ops.where(ops.arange(max_tokens) == 0, BEGIN, PAD), [batch, beams, max_tokens])
    tokens = ops.cast(tokens, "int32")
    # All beams start alike, so all but the first are ruled out of the first step.
    scores = ops.broadcast_to(ops.where(ops.arange(beams) == 0, 0.0, _NEVER), [batch, beams])
    last = ops.full([batch, beams], BEGIN, dtype="int32")

    def unfinished(t: Tensor, last: Tensor, *_: Tensor) -> Tensor:
        ended = ops.logical_or(last == END, last == PAD)
        return ops.logical_and(t < max_tokens, ops.logical_not(ops.all(ended)))

    def extend(t: Tensor, last: Tensor, tokens: Tensor, scores: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        logits, new_state = step(ops.reshape(last, [-1]), list(state))
        vocabulary = logits.shape[-1]
        word = ops.arange(vocabulary)
        log_probs = ops.log_softmax(ops.where((word == END) | (word > UNKNOWN), logits, _NEVER))
        log_probs = ops.reshape(log_probs, [batch, beams, vocabulary])
        ended = ops.logical_or(last == END, last == PAD)[..., None]
        log_probs = ops.where(ended, ops.where(word == PAD, 0.0, _NEVER), log_probs)
        totals = ops.reshape(scores[..., None] + log_probs, [batch, beams * vocabulary])
        scores, chosen = ops.top_k(totals, beams)
        chosen = ops.cast(chosen, "int32")
        row = ops.reshape(first_row + chosen // vocabulary, [-1])
        last = chosen % vocabulary
        tokens = ops.reshape(ops.take(ops.reshape(tokens, [-1, max_tokens]), row, axis=0), [batch, beams, max_tokens])
        tokens = ops.where(ops.arange(max_tokens) == t, last[..., None], tokens)
        return t + 1, last, tokens, scores, *[ops.take(part, row, axis=0) for part in new_state]

    loop = ops.while_loop(unfinished, extend, (ops.convert_to_tensor(1), last, tokens, scores, *state))
    tokens, scores = loop[2], loop[3]
    lengths = ops.cast(ops.sum(ops.cast(tokens != PAD, "int32"), axis=-1) - 1, "float32")
    scores = scores / lengths**length_penalty
    best = ops.argmax(scores, axis=-1)
    tokens = ops.take_along_axis(tokens, best[:, None, None], axis=1)[:, 0]
    return tokens, ops.take_along_axis(scores, best[:, None], axis=1)[:, 0]
