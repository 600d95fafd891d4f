"""The one decoding core: greedy search, sampling and beam search over any decoder that takes a step at a time.

Shapes are static and the loops compile under XLA. Greedy and beam search follow `generate` of Hugging Face, and
tests/parity/test_gpt2.py holds them against it, token for token, on the weights of a small GPT-2:
https://huggingface.co/docs/transformers/main_classes/text_generation.

Shapes: B images, K beams, P tokens of the prompt, T of the prompt and what is generated, V words.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import tfcap.quiet  # noqa: F401

import numpy as np
from keras import ops

from tfcap.data.text import PAD, Marks
from tfcap.models.decoder_state import State, Step
from tfcap.models.word_choice import draw, within_top_p, without, without_repeats

Tensor = Any

_NEVER = -1e9


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How the next word is chosen.

    Attributes:
      beams: K; 1 is greedy search, or sampling.
      length_penalty: an ended caption's log-probability is divided by its number of generated tokens, the end counted,
        to this power.
      early_stopping: when a beam search of an image ends: True, with K ended captions; False, when also the best beam,
        were it to end now, would not be among the best K; "never", when it would not even at full length.
      no_repeat_ngram: the n of n-grams that occur at most once; 0 forbids none.
      temperature: divides the logits before a word is drawn; 0 draws none and takes the likeliest.
      top_p: words are drawn from the smallest set with this probability.
      seed: of the draws, in [0, 2**31).
    """

    beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    no_repeat_ngram: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for a beam search that is to sample."""
        if self.temperature and self.beams > 1:
            raise ValueError(f"Sampling takes one beam. Received: beams={self.beams}, temperature={self.temperature}")


def generate(
    state: State,
    step: Step,
    prompt: Tensor,
    marks: Marks,
    new_tokens: int,
    decoding: Decoding,
    rows: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns the caption of each image and its score.

    Args:
      state: the decoder's after all of the prompt but its last token, N = B.
      step: tokens int32 [N], state -> logits [N, V] of the next word, state; N is B or B * K.
      prompt: int32 [B, P]; without a prompt the begin mark alone. Its n-grams count as generated.
      marks: of the vocabulary.
      new_tokens: generated at most, the end counted; at least 1.
      decoding: how the next word is chosen.
      rows: int32 [B], numbers that the draws of the images depend on; 0 to B - 1 if None.

    Returns:
      token ids int32 [B, P + new_tokens], the prompt first, PAD after the end; scores float32 [B], the sum of the
      log-probabilities that the decoder gives the generated tokens / their number ** length_penalty.
    """
    prompt = ops.cast(prompt, "int32")
    search = beam_search if decoding.beams > 1 else word_by_word
    if rows is None:
        rows = ops.arange(ops.shape(prompt)[0], dtype="int32")
    return search(state, step, prompt, marks, new_tokens, decoding, rows)


def word_by_word(
    state: State, step: Step, prompt: Tensor, marks: Marks, new_tokens: int, decoding: Decoding, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Takes the likeliest word at each step, or draws it; as `generate`, which says what the arguments are."""
    batch, first = ops.shape(prompt)[0], prompt.shape[1]
    total = first + new_tokens
    tokens = ops.concatenate([prompt, ops.full([batch, new_tokens], PAD, dtype="int32")], axis=1)
    ended = ops.zeros([batch], dtype="bool")
    nothing = ops.zeros([batch], dtype="float32")

    def unfinished(t: Tensor, tokens: Tensor, ended: Tensor, *_: Tensor) -> Tensor:
        return ops.logical_and(t < total, ops.logical_not(ops.all(ended)))

    def extend(
        t: Tensor, tokens: Tensor, ended: Tensor, score: Tensor, length: Tensor, *changing: Tensor
    ) -> tuple[Tensor, ...]:
        last = ops.maximum(ops.take(tokens, t - 1, axis=1), 0)  # whatever follows an end changes nothing
        logits, new_state = step(last, State(list(changing), state.constant))
        logits = ops.cast(logits, "float32")
        allowed = without_repeats(without(logits, marks.never), tokens, t, decoding.no_repeat_ngram)
        if decoding.temperature:
            word = draw(within_top_p(allowed / decoding.temperature, decoding.top_p), decoding.seed, rows, t - first)
        else:
            word = ops.cast(ops.argmax(allowed, axis=-1), "int32")
        gain = ops.take_along_axis(logits, word[:, None], axis=1)[:, 0] - ops.logsumexp(logits, axis=-1)
        score = score + ops.where(ended, 0.0, gain)
        length = length + ops.where(ended, 0.0, 1.0)
        word = ops.where(ended, PAD, word)
        tokens = ops.where(ops.arange(total) == t, word[:, None], tokens)
        return t + 1, tokens, ops.logical_or(ended, word == marks.end), score, length, *new_state.changing

    start = (ops.convert_to_tensor(first), tokens, ended, nothing, nothing)
    loop = ops.while_loop(unfinished, extend, (*start, *state.changing))
    _, tokens, _, score, length = loop[:5]
    return tokens, score / length**decoding.length_penalty


class _Beams(NamedTuple):
    """What a beam search knows of each image."""

    tokens: Tensor  # int32 [B, K, T], of the beams that go on
    scores: Tensor  # float32 [B, K], their log-probabilities, falling
    ended: Tensor  # int32 [B, K, T], the best ended captions
    is_ended: Tensor  # bool [B, K], false where there is none yet
    ended_scores: Tensor  # float32 [B, K], falling
    is_open: Tensor  # bool [B, 1], whether a better caption may still come


def beam_search(
    state: State, step: Step, prompt: Tensor, marks: Marks, new_tokens: int, decoding: Decoding, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Keeps the K likeliest beginnings and, apart from them, the K best ended captions; as `generate`.

    At each step the 2 K likeliest continuations of an image are its candidates. Those among the first K that end are
    ended captions, if they are better than the worst of them; the likeliest K that do not end go on, each with what
    its beginning changed in the state. What is constant stays as it is, outside the loop.
    """
    first, beams = prompt.shape[1], decoding.beams
    total = first + new_tokens

    def unfinished(t: Tensor, *loop: Tensor) -> Tensor:
        known = _Beams(*loop[:6])
        going = ops.logical_and(t < total, ops.any(known.is_open))
        return ops.logical_and(going, ops.logical_not(ops.all(_is_full(known, decoding))))

    def extend(t: Tensor, *loop: Tensor) -> tuple[Tensor, ...]:
        known = _Beams(*loop[:6])
        flat = ops.reshape(known.tokens, [-1, total])
        logits, new_state = step(ops.take(flat, t - 1, axis=1), State(list(loop[6:]), state.constant))
        log_probs = without(ops.log_softmax(ops.cast(logits, "float32")), marks.never)
        log_probs = without_repeats(log_probs, flat, t, decoding.no_repeat_ngram)
        vocabulary = log_probs.shape[-1]
        totals = known.scores[..., None] + ops.reshape(log_probs, [-1, beams, vocabulary])
        best, chosen = ops.top_k(ops.reshape(totals, [-1, beams * vocabulary]), 2 * beams)
        chosen = ops.cast(chosen, "int32")
        beam, word = chosen // vocabulary, chosen % vocabulary  # [B, 2 K]
        candidates = ops.where(ops.arange(total) == t, word[..., None], _picked(known.tokens, beam))
        over = ops.logical_or(word == marks.end, t + 1 == total)

        known = _with_ended(known, candidates, best, over, t + 1 - first, new_tokens, decoding)
        scores, kept = ops.top_k(ops.where(over, best + _NEVER, best), beams)
        row = ops.reshape(_flat_rows(_picked(beam, kept), beams), [-1])
        known = known._replace(tokens=_picked(candidates, kept), scores=scores)
        known = known._replace(is_open=_may_improve(known, t + 1 - first, new_tokens, decoding))
        return t + 1, *known, *[ops.take(part, row, axis=0) for part in new_state.changing]

    start = _start(prompt, marks, new_tokens, beams)
    repeated = [ops.repeat(part, beams, axis=0) for part in state.changing]
    loop = ops.while_loop(unfinished, extend, (ops.convert_to_tensor(first), *start, *repeated))
    found = _Beams(*loop[1:7])
    return found.ended[:, 0], found.ended_scores[:, 0]


def _start(prompt: Tensor, marks: Marks, new_tokens: int, beams: int) -> _Beams:
    """Returns the beams before the first step: all alike, so that all but the first are ruled out of it."""
    batch = ops.shape(prompt)[0]
    blank = ops.full([batch, new_tokens], PAD, dtype="int32")
    tokens = ops.repeat(ops.concatenate([prompt, blank], axis=1)[:, None], beams, axis=1)
    return _Beams(
        tokens,
        ops.broadcast_to(ops.where(ops.arange(beams) == 0, 0.0, _NEVER), [batch, beams]),
        tokens,
        ops.zeros([batch, beams], dtype="bool"),
        ops.full([batch, beams], _NEVER, dtype="float32"),
        ops.ones([batch, 1], dtype="bool"),
    )


def _is_full(known: _Beams, decoding: Decoding) -> Tensor:
    """Returns whether an image's search has as many ended captions as it asks for: bool [B, 1]."""
    full = ops.all(known.is_ended, axis=-1, keepdims=True)
    return full if decoding.early_stopping is True else ops.zeros_like(full)


def _with_ended(
    known: _Beams, candidates: Tensor, best: Tensor, over: Tensor, length: Tensor, longest: int, decoding: Decoding
) -> _Beams:
    """Returns the beams with the best of the ended captions and of the candidates that end now.

    Args:
      candidates: int32 [B, 2 K, T], by falling log-probability.
      best: float32 [B, 2 K], their log-probabilities.
      over: bool [B, 2 K], whether they end now.
      length: scalar, how many tokens they have generated.
    """
    counts = ops.logical_and(over, ops.arange(best.shape[1]) < decoding.beams)
    closed = ops.logical_or(ops.logical_not(known.is_open), _is_full(known, decoding))
    scores = best / _share(length, longest, decoding)
    scores = scores + ops.where(closed, _NEVER, 0.0) + ops.where(counts, 0.0, _NEVER)
    scores, kept = ops.top_k(ops.concatenate([known.ended_scores, scores], axis=1), decoding.beams)
    return known._replace(
        ended=_picked(ops.concatenate([known.ended, candidates], axis=1), kept),
        is_ended=_picked(ops.concatenate([known.is_ended, counts], axis=1), kept),
        ended_scores=scores,
    )


def _may_improve(known: _Beams, length: Tensor, longest: int, decoding: Decoding) -> Tensor:
    """Returns whether the best beam may still become one of the best ended captions: bool [B, 1]."""
    at_full_length = decoding.early_stopping == "never" and decoding.length_penalty > 0
    possible = known.scores[:, :1] / _share(longest if at_full_length else length, longest, decoding)
    worst = ops.where(known.is_ended, known.ended_scores[:, -1:], _NEVER)
    return ops.logical_and(known.is_open, ops.any(possible > worst, axis=-1, keepdims=True))


def _share(length: Tensor | int, longest: int, decoding: Decoding) -> Tensor:
    """Returns length ** length_penalty for a length in [1, longest], to the last bit the same on every device."""
    powers = (np.arange(longest + 1, dtype=np.float64) ** decoding.length_penalty).astype(np.float32)
    return ops.take(ops.convert_to_tensor(powers), length)


def _flat_rows(index: Tensor, count: int) -> Tensor:
    """Returns where the rows `index` int32 [B, k] of each image lie once [B, count] is one axis: int32 [B, k]."""
    return index + ops.arange(ops.shape(index)[0], dtype="int32")[:, None] * count


def _picked(values: Tensor, index: Tensor) -> Tensor:
    """Returns [B, k, ...]: of each image's values [B, N, ...] those that its row of the index int [B, k] names."""
    index, count = ops.cast(index, "int32"), values.shape[1]
    return ops.take(ops.reshape(values, [-1, *values.shape[2:]]), _flat_rows(index, count), axis=0)
