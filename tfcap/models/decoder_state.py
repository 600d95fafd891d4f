"""What a decoder knows between two words, apart by what the words change and what they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Tensor = Any


class State(NamedTuple):
    """What a decoder knows of B images, and of the N = B or B * K captions begun about them, an image's K in a row.

    A beam search reorders the captions at every step, and with them what they changed. What they never change is the
    image's alone: there is one of it however many beams, and a step lets the K captions of an image look at the one.

    Attributes:
      changing: each part [N, ...].
      constant: each part [B, ...], which every step gives back as it is.
    """

    changing: list[Tensor]
    constant: list[Tensor]


# tokens int32 [N], state -> logits [N, V] of the next word, state
Step = Callable[[Tensor, State], tuple[Tensor, State]]
