"""The LSTM captioner: the image sets the state in which the sentence starts.

Source: Vinyals et al. 2015, https://arxiv.org/abs/1411.4555, in the form "init-inject" of Tanti et al. 2018,
https://arxiv.org/abs/1703.09137.
"""

from __future__ import annotations

from typing import Any, Self

import tfcap.quiet  # noqa: F401

import keras
from keras import ops

from tfcap.models.captioner import Captioner
from tfcap.models.decoder_state import State
from tfcap.models.dropout import Dropout
from tfcap.models.encoders import Encoder, as_one_vector
from tfcap.settings import ModelSettings, Settings

Tensor = Any


class HoistedLSTM(keras.layers.Layer):
    """An LSTM (Hochreiter and Schmidhuber 1997) whose input projection is one product before the loop.

    Only h U is left inside. The pre-activations Z of all steps are then one tensor, whose gradient gives
    the exact norm of an example's gradient without its weight gradient. Gates in the order i, f, g, o.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(
            shape=(input_shape[-1], 4 * self.units), name="kernel", initializer="glorot_uniform"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, 4 * self.units), name="recurrent_kernel", initializer="orthogonal"
        )
        self.bias = self.add_weight(shape=(4 * self.units,), name="bias", initializer=self._forget_gate_open)

    def _forget_gate_open(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        gate = ops.arange(shape[0]) // self.units
        return ops.cast(gate == 1, dtype)

    def cell(self, z: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the next h and c [B, U] from the projected input z [B, 4 U]."""
        i, f, g, o = ops.split(z + ops.matmul(h, self.recurrent_kernel), 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        return ops.sigmoid(o) * ops.tanh(c), c

    def project(self, x: Tensor) -> Tensor:
        """Returns [..., 4 U] from inputs [..., E]."""
        return ops.matmul(x, self.kernel) + self.bias

    def call(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
        """Returns the outputs [B, T, U] of inputs [B, T, E] from the state h, c [B, U]."""
        recurrent_kernel = ops.copy(self.recurrent_kernel)  # a custom gradient takes tensors, not variables
        outputs = lstm_sequence(ops.swapaxes(self.project(x), 0, 1), recurrent_kernel, h, c)
        return ops.swapaxes(outputs, 0, 1)


@ops.custom_gradient
def lstm_sequence(z: Tensor, recurrent_kernel: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Any]:
    """Runs the recurrence over projected inputs, with back-propagation through time written out.

    Written out because autodiff through a loop keeps one weight gradient a step, where a single product over
    all steps gives their sum, and because XLA takes half a minute for an unrolled loop of 32 steps.

    Args:
      z: float32 [T, B, 4 U], the projected inputs.
      recurrent_kernel: [U, 4 U].
      h, c: [B, U], the state before the first step.

    Returns:
      the outputs [T, B, U] and the function that gives the gradients of all four arguments.
    """
    steps, batch, units = z.shape[0], ops.shape(z)[1], recurrent_kernel.shape[0]

    def forward(t: Tensor, h: Tensor, c: Tensor, gates: Tensor, hs: Tensor, cs: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o = ops.split(ops.take(z, t, axis=0) + ops.matmul(h, recurrent_kernel), 4, axis=-1)
        i, f, g, o = ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)
        c = f * c + i * g
        h = o * ops.tanh(c)
        gates = _put(gates, t, ops.concatenate([i, f, g, o], axis=-1))
        return t + 1, h, c, gates, _put(hs, t, h), _put(cs, t, c)

    blank = ops.zeros([steps, batch, units], z.dtype)
    start = (ops.convert_to_tensor(0), h, c, ops.zeros([steps, batch, 4 * units], z.dtype), blank, blank)
    _, _, _, gates, hs, cs = ops.while_loop(lambda t, *_: t < steps, forward, start, maximum_iterations=steps)

    def gradients(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, ...]:
        (upstream,) = args if upstream is None else (upstream,)
        before_h = ops.concatenate([h[None], hs[:-1]], axis=0)
        before_c = ops.concatenate([c[None], cs[:-1]], axis=0)
        transposed = ops.transpose(recurrent_kernel)

        def backward(t: Tensor, dh: Tensor, dc: Tensor, dz: Tensor) -> tuple[Tensor, ...]:
            i, f, g, o = ops.split(ops.take(gates, t, axis=0), 4, axis=-1)
            squashed = ops.tanh(ops.take(cs, t, axis=0))
            dh = dh + ops.take(upstream, t, axis=0)
            dc = dc + dh * o * (1 - squashed**2)
            di, df = dc * g * i * (1 - i), dc * ops.take(before_c, t, axis=0) * f * (1 - f)
            dg, do = dc * i * (1 - g**2), dh * squashed * o * (1 - o)
            dz_t = ops.concatenate([di, df, dg, do], axis=-1)
            return t - 1, ops.matmul(dz_t, transposed), dc * f, _put(dz, t, dz_t)

        end = (ops.convert_to_tensor(steps - 1), ops.zeros_like(h), ops.zeros_like(c), ops.zeros_like(gates))
        _, dh, dc, dz = ops.while_loop(lambda t, *_: t >= 0, backward, end, maximum_iterations=steps)
        d_kernel = ops.matmul(ops.transpose(ops.reshape(before_h, [-1, units])), ops.reshape(dz, [-1, 4 * units]))
        return dz, d_kernel, dh, dc

    return hs, gradients


def _put(array: Tensor, t: Tensor, value: Tensor) -> Tensor:
    return ops.slice_update(array, [t, 0, 0], value[None])


class LSTMCaptioner(Captioner):
    """Encoder, linear projection, word embedding, LSTM, output over the vocabulary.

    With attention, the LSTM's output at each step looks for what it needs among the projected regions of the image,
    and what it finds is added to it. After Lu et al. 2017 (https://arxiv.org/abs/1612.01887, section 2.2), with the dot
    products of Luong et al. 2015 for its scores: the query is the present output, not the one before, so that attention
    stays outside the recurrence. The state in which the sentence starts is made of the regions' mean.

    Args:
      encoder: images to features [B, D], or [B, R, D] with attention.
      feature_size: D.
      vocabulary_size: V.
      units: width of the LSTM.
      embedding_size: width of the word embedding.
      dropout: of the LSTM's inputs and its outputs.
      image_dropout: of the image features, and of the projected regions.
      attention: attends over regions.
      tie_embeddings: one matrix gives the words' vectors and, transposed, the logits, which then have no bias (Press
        and Wolf 2017, https://arxiv.org/abs/1608.05859); needs embedding_size = units.
    """

    def __init__(
        self,
        encoder: keras.Model,
        feature_size: int,
        vocabulary_size: int,
        units: int,
        embedding_size: int,
        dropout: float,
        image_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        attention: bool = False,
        tie_embeddings: bool = False,
    ) -> None:
        super().__init__(encoder, label_smoothing)
        self.attention, self.tie_embeddings = attention, tie_embeddings
        self.projection = keras.layers.Dense(2 * units, name="projection")
        if tie_embeddings:
            self.embedding = keras.layers.ReversibleEmbedding(
                vocabulary_size, embedding_size, reverse_dtype="float32", name="embedding"
            )
        else:
            self.embedding = keras.layers.Embedding(vocabulary_size, embedding_size, name="embedding")
            self.vocabulary_logits = keras.layers.Dense(vocabulary_size, name="vocabulary_logits", dtype="float32")
            self.vocabulary_logits.build((None, units))
        self.lstm = HoistedLSTM(units, name="lstm", dtype="float32")  # a cell's sum over 32 steps needs its digits
        self.drop_image = Dropout(image_dropout, name="drop_image")
        self.drop_input = Dropout(dropout, name="drop_input")
        self.drop_output = Dropout(dropout, name="drop_output")
        self.projection.build((None, feature_size))
        self.embedding.build((None,))
        self.lstm.build((None, None, embedding_size))
        if attention:
            self.region_projection = keras.layers.Dense(units, name="region_projection")
            self.drop_regions = Dropout(image_dropout, name="drop_regions")
            self.region_projection.build((None, None, feature_size))
        self.built = True

    @classmethod
    def of(cls, encoder: Encoder, vocabulary_size: int, settings: Settings) -> Self:
        model = settings.model
        return cls(
            encoder,
            feature_size=encoder.feature_size,
            vocabulary_size=vocabulary_size,
            units=model.units,
            embedding_size=model.embedding_size,
            dropout=model.dropout,
            image_dropout=model.image_dropout,
            attention=model.attention,
            tie_embeddings=model.tie_embeddings,
            label_smoothing=settings.training.label_smoothing,
        )

    @classmethod
    def sees_regions(cls, model: ModelSettings) -> bool:
        return model.attention

    def parts(self) -> dict[str, list[keras.layers.Layer]]:
        decoder = [self.embedding, self.lstm, *([] if self.tie_embeddings else [self.vocabulary_logits])]
        return {
            "decoder": decoder,
            "projection": [self.projection, *([self.region_projection] if self.attention else [])],
        }

    def start(self, features: Tensor, training: bool = False) -> State:
        # Regions that it does not attend to are there because another captioner's encoder gives them.
        projected = self.projection(self.drop_image(as_one_vector(features), training=training))
        h, c = ops.split(ops.cast(projected, "float32"), 2, axis=-1)
        regions = []
        if self.attention:
            regions.append(ops.cast(self.drop_regions(self.region_projection(features), training=training), "float32"))
        return State([ops.tanh(h), c], regions)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        (h, c), regions = state
        h, c = self.lstm.cell(self.lstm.project(ops.cast(self.embedding(tokens), "float32")), h, c)
        seen = h
        if regions:
            of_images = ops.reshape(h, [ops.shape(regions[0])[0], -1, h.shape[1]])  # [B, K, U]
            seen = ops.reshape(attend(of_images, *regions), [-1, h.shape[1]])
        return self._logits(seen), State([h, c], regions)

    @property
    def logits_layer(self) -> keras.layers.Layer:
        return self.embedding if self.tie_embeddings else self.vocabulary_logits

    def _logits(self, seen: Tensor) -> Tensor:
        return self.embedding(seen, reverse=True) if self.tie_embeddings else self.vocabulary_logits(seen)

    def decoder_logits(self, features: Tensor, tokens: Tensor, training: bool) -> Tensor:
        (h, c), regions = self.start(features, training)
        words = self.drop_input(self.embedding(tokens), training=training)
        outputs = self.lstm(words, h, c)
        seen = attend(outputs, *regions) if regions else outputs
        return self._logits(self.drop_output(seen, training=training))


def attend(queries: Tensor, regions: Tensor) -> Tensor:
    """Returns each query [B, T, U] plus the mean of the regions [B, R, U] weighted by the softmax of the products."""
    scores = ops.matmul(queries, ops.swapaxes(regions, 1, 2)) / queries.shape[-1] ** 0.5  # [B, T, R]
    return queries + ops.matmul(ops.softmax(scores, axis=-1), regions)
