"""The functional step: loss and gradients as a pure function of parameters, state and batch, compiled by XLA.

Training, scoring and distillation are all made of it; no other file opens a GradientTape.

Keras' own `fit` compiles the whole step, `strategy.run` included, which XLA refuses with several
replicas. Here only the part without a variable or a collective in it is compiled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import tfcap.quiet  # noqa: F401

import keras
import tensorflow as tf

from tfcap.models.batch_norm import moving_statistics
from tfcap.models.dropout import STATE

Tensors = Sequence[tf.Tensor]
Inputs = Mapping[str, tf.Tensor]


class Taps(Protocol):
    """Tensors of a forward pass whose gradients are wanted."""

    @property
    def outputs(self) -> list[tf.Tensor]: ...


AnyTaps = TypeVar("AnyTaps", bound=Taps)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the forward pass of a training step gives of its examples, one caption each.

    Attributes:
      losses, mask: of each token, float32 [B, T].
      log_probs: of each next word, float32 [B, T, V]; None unless `Tracking.predictions`.
      words: the words themselves, int32 [B, T]; None unless `Tracking.predictions`.
    """

    losses: tf.Tensor
    mask: tf.Tensor
    log_probs: Any = None
    words: Any = None


@dataclasses.dataclass(frozen=True)
class Tracking:
    """What a training step gives of each of its examples, as a by-product.

    Attributes:
      names: of the S signals.
      recording: (B, watch) -> the tensors of the forward pass whose gradients are wanted, which may be none.
      finish: (what was seen, taps, gradient of the summed token losses at each of `taps.outputs`) -> float32 [B, S].
      predictions: `finish` looks at the words' probabilities.
    """

    names: tuple[str, ...]
    recording: Callable[[int, Callable[[tf.Tensor], None]], AbstractContextManager[Any]]
    finish: Callable[[Seen, Any, list[tf.Tensor]], tf.Tensor]
    predictions: bool


_HASH = 2654435761  # Knuth's multiplicative hash: spreads consecutive seeds over 32 bits


def values_of(variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    """Returns this replica's values of Keras variables."""
    return [tf.convert_to_tensor(variable.value) for variable in variables]


def seeded_state(model: keras.Model, seed: int, step: tf.Tensor, first_row: tf.Tensor | int) -> list[tf.Tensor]:
    """Returns the non-trainable values with every dropout's state set from (seed, step, first row of this replica).

    Dropout then needs no random state of its own in a checkpoint: the step's number is the state.
    """
    values = []
    for index, variable in enumerate(model.non_trainable_variables):
        if variable.path.endswith(STATE):
            stream = tf.constant((seed * _HASH + index * 40503) % 2**32, tf.int64)
            values.append(tf.stack([stream, tf.cast(step, tf.int64), tf.cast(first_row, tf.int64)]))
        else:
            values.append(tf.convert_to_tensor(variable.value))
    return values


def weighted_loss(
    model: keras.Model, parameters: Tensors, state: Tensors, inputs: Inputs, training: bool
) -> tuple[tf.Tensor, tf.Tensor, Tensors]:
    """Returns the sum of the token losses over a batch and the number of tokens, both weighted by `weights`.

    The third are the non-trainable values after it.
    """
    (losses, mask), after = model.stateless_call(parameters, state, dict(inputs), training=training)
    weights = tf.cast(inputs["weights"], losses.dtype)[..., None]
    return tf.reduce_sum(losses * weights), tf.reduce_sum(mask * weights), after


def loss_and_gradients(
    model: keras.Model, xla: bool, training: bool
) -> Callable[[Tensors, Tensors, Inputs], tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], list[tf.Tensor]]]:
    """Returns a compiled function (parameters, state, inputs) -> summed loss, number of tokens, gradients of the sum.

    Sums rather than means, so that replicas with unequal numbers of tokens still add up to the whole batch. The
    function gives as a fourth what the batch makes of `moving_statistics(model)`.
    """
    moved = _moved(model)

    @tf.function(jit_compile=xla)
    def compute(
        parameters: Tensors, state: Tensors, inputs: Inputs
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            loss, tokens, after = weighted_loss(model, parameters, state, inputs, training)
        gradients = tape.gradient(loss, parameters, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, tokens, [tf.convert_to_tensor(gradient) for gradient in gradients], moved(after)

    return compute


def _moved(model: keras.Model) -> Callable[[Tensors], list[tf.Tensor]]:
    """Returns the function that takes the moving statistics out of all non-trainable values."""
    moving = {id(variable) for variable in moving_statistics(model)}
    places = [index for index, variable in enumerate(model.non_trainable_variables) if id(variable) in moving]
    return lambda values: [tf.convert_to_tensor(values[place]) for place in places]


def tracked_loss_and_gradients(
    model: keras.Model, xla: bool, tracking: Tracking
) -> Callable[[Tensors, Tensors, Inputs], tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], list[tf.Tensor], tf.Tensor]]:
    """Returns what `loss_and_gradients` does in training, whose function gives as a fifth what is tracked [B, S].

    One backward pass makes the gradients of the parameters and those at the taps.
    """
    moved = _moved(model)

    @tf.function(jit_compile=xla)
    def compute(
        parameters: Tensors, state: Tensors, inputs: Inputs
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], list[tf.Tensor], tf.Tensor]:
        examples = inputs["weights"].shape[0]
        with tf.GradientTape() as tape, tracking.recording(examples, tape.watch) as taps:
            tape.watch(parameters)
            found, after = model.stateless_call(
                parameters, state, dict(inputs), training=True, predictions=tracking.predictions
            )
            seen = Seen(*found)
            weights = tf.cast(inputs["weights"], seen.losses.dtype)[..., None]
            loss = tf.reduce_sum(seen.losses * weights)
        gradients, at_taps = tape.gradient(
            loss, [list(parameters), taps.outputs], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        whole = [tf.convert_to_tensor(gradient) for gradient in gradients]
        return loss, tf.reduce_sum(seen.mask * weights), whole, moved(after), tracking.finish(seen, taps, at_taps)

    return compute


def example_losses(
    model: keras.Model, xla: bool, token_reduction: str = "mean"
) -> Callable[[Tensors, Tensors, Inputs], tf.Tensor]:
    """Returns a compiled function (parameters, state, inputs) -> loss of each example [B], evaluation mode.

    An example's loss is the mean over its captions of the mean, or the sum, over a caption's tokens.
    """

    @tf.function(jit_compile=xla)
    def compute(parameters: Tensors, state: Tensors, inputs: Inputs) -> tf.Tensor:
        return _example_losses(model, parameters, state, inputs, token_reduction)

    return compute


def _example_losses(
    model: keras.Model, parameters: Tensors, state: Tensors, inputs: Inputs, token_reduction: str
) -> tf.Tensor:
    (losses, mask), _ = model.stateless_call(parameters, state, dict(inputs), training=False)
    return tf.reduce_sum(losses * token_weights(mask, inputs["weights"], token_reduction), [1, 2])


def token_weights(mask: tf.Tensor, weights: tf.Tensor, token_reduction: str) -> tf.Tensor:
    """Returns how much each token counts in its example, [B, C, T]: 0 in padding.

    Args:
      mask: 1 for the tokens of a caption, 0 for padding, [B, C, T].
      weights: of the captions, [B, C]; an example is the weighted mean of its captions.
      token_reduction: a caption is the "mean" or the "sum" of its tokens.
    """
    captions = tf.math.divide_no_nan(weights, tf.reduce_sum(weights, -1, keepdims=True))
    if token_reduction == "mean":
        captions = tf.math.divide_no_nan(captions, tf.reduce_sum(mask, -1))
    return mask * captions[..., None]


def example_word_means(
    model: keras.Model,
    xla: bool,
    statistic: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    token_reduction: str = "mean",
) -> Callable[[Tensors, Tensors, Inputs], tf.Tensor]:
    """Returns a compiled function (parameters, state, inputs) -> mean of a word statistic of each example [B].

    Evaluation mode; the mean over an example's captions of a caption's mean, or sum, over its words, as of the loss.

    Args:
      statistic: (log-probabilities [..., T, V], words [..., T]) -> [..., T].
    """

    @tf.function(jit_compile=xla)
    def compute(parameters: Tensors, state: Tensors, inputs: Inputs) -> tf.Tensor:
        variables = [*model.trainable_variables, *model.non_trainable_variables]
        with keras.StatelessScope(state_mapping=list(zip(variables, [*parameters, *state], strict=True))):
            log_probs, words, mask = model.next_words(dict(inputs), training=False)
        return tf.reduce_sum(
            statistic(log_probs, words) * token_weights(mask, inputs["weights"], token_reduction), [1, 2]
        )

    return compute


def example_gradient_norms(
    model: keras.Model, xla: bool, token_reduction: str = "mean"
) -> Callable[[Tensors, Tensors, Inputs], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a compiled function (parameters, state, inputs) -> gradient norm [B] and loss [B] of each example.

    The norm is over all trainable parameters, of the gradient of the example's own loss (`example_losses`),
    in evaluation mode. One gradient at a time is made, squared, summed and dropped: exact, and no more memory
    than one gradient.
    """

    @tf.function(jit_compile=xla)
    def compute(parameters: Tensors, state: Tensors, inputs: Inputs) -> tuple[tf.Tensor, tf.Tensor]:
        def one(example: Inputs) -> tuple[tf.Tensor, tf.Tensor]:
            alone = {name: value[None] for name, value in example.items()}
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                loss = _example_losses(model, parameters, state, alone, token_reduction)[0]
            gradients = tape.gradient(loss, parameters, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            squares = [tf.reduce_sum(tf.square(tf.convert_to_tensor(gradient))) for gradient in gradients]
            return tf.sqrt(tf.add_n(squares)), loss

        return tf.map_fn(one, dict(inputs), fn_output_signature=(tf.float32, tf.float32))

    return compute


def example_output_gradients(
    model: keras.Model,
    xla: bool,
    recording: Callable[[int, Callable[[tf.Tensor], None]], AbstractContextManager[AnyTaps]],
    finish: Callable[[AnyTaps, list[tf.Tensor]], Any],
    token_reduction: str = "mean",
) -> Callable[[Tensors, Tensors, Inputs], tuple[Any, tf.Tensor]]:
    """Returns a compiled function (parameters, state, inputs) -> what `finish` makes, and the loss [B] of each example.

    One forward and one backward pass over the batch, in evaluation mode; no gradient of a parameter is made.

    Args:
      recording: (B, watch) -> the tensors of the forward pass whose gradients are wanted.
      finish: (taps, gradient of the summed losses at each of `taps.outputs`) -> the result, a nest of tensors.
    """

    @tf.function(jit_compile=xla)
    def compute(parameters: Tensors, state: Tensors, inputs: Inputs) -> tuple[Any, tf.Tensor]:
        examples = inputs["weights"].shape[0]
        with tf.GradientTape() as tape, recording(examples, tape.watch) as taps:
            losses = _example_losses(model, parameters, state, inputs, token_reduction)
            total = tf.reduce_sum(losses)
        gradients = tape.gradient(total, taps.outputs, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return finish(taps, gradients), losses

    return compute


class SummedAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2019) for gradients that are already summed over the replicas.

    Keras clips a replica's gradient before it sums; a global norm is that of the sum. So the step sums and
    clips, and this optimizer does not sum again.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars


def train_step(
    model: keras.Model,
    optimizer: keras.Optimizer,
    *,
    seed: int,
    clip_norm: float,
    xla: bool,
    strategy: tf.distribute.Strategy,
    tracking: Tracking | None = None,
) -> Callable[[Inputs, tf.Tensor], tuple[Any, ...]]:
    """Returns a function (inputs per replica, step) -> mean loss per token and gradient norm, over all replicas.

    With `tracking` the function gives as a third what is tracked of each replica's examples, float32 [b, S].
    """
    if tracking is None:
        compute: Callable[..., Any] = loss_and_gradients(model, xla, training=True)
    else:
        compute = tracked_loss_and_gradients(model, xla, tracking)
    moving = moving_statistics(model)

    def on_replica(inputs: Inputs, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        replica = tf.distribute.get_replica_context()
        first_row = replica.replica_id_in_sync_group * tf.shape(inputs["tokens"])[0]
        state = seeded_state(model, seed, step, first_row)
        loss, tokens, gradients, moved, *tracked = compute(values_of(model.trainable_variables), state, inputs)
        if strategy.num_replicas_in_sync > 1:
            loss, tokens, *gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, [loss, tokens, *gradients])
            moved = replica.all_reduce(tf.distribute.ReduceOp.MEAN, moved) if moved else moved
        gradients = [gradient / tokens for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        if clip_norm > 0:
            gradients, _ = tf.clip_by_global_norm(gradients, clip_norm, use_norm=norm)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        for variable, value in zip(moving, moved, strict=True):
            variable.assign(value)
        return loss / tokens, norm, *tracked

    @tf.function(reduce_retracing=False)
    def step_function(inputs: Inputs, step: tf.Tensor) -> tuple[Any, ...]:
        loss, norm, *tracked = strategy.run(on_replica, args=(inputs, step))
        loss, norm = (strategy.reduce(tf.distribute.ReduceOp.MEAN, value, None) for value in (loss, norm))
        return loss, norm, *tracked

    return step_function
