"""The rule of every layer type: one line each."""

from __future__ import annotations

import tfcap.quiet  # noqa: F401

import keras
import keras_hub
from keras_hub.src.models.llama.llama_layernorm import LlamaLayerNorm  # which has no public name

from tfcap.models.batch_norm import BatchNorm
from tfcap.models.lstm import HoistedLSTM
from tfcap.scoring import convolution_rules, layer_rules, recurrent_rules
from tfcap.scoring.layer_rules import embedding_uncovered, normalisation_uncovered, scale_and_shift
from tfcap.scoring.taps import LayerRule

_SCALED = LayerRule(scale_and_shift("gamma", "beta"), normalisation_uncovered)

RULES: dict[type, LayerRule] = {
    keras.layers.Dense: LayerRule(layer_rules.dense),
    keras.layers.EinsumDense: LayerRule(layer_rules.einsum_dense, layer_rules.einsum_uncovered),
    keras.layers.Embedding: LayerRule(layer_rules.embedding, embedding_uncovered),
    keras.layers.ReversibleEmbedding: LayerRule(layer_rules.reversible_embedding, embedding_uncovered),
    keras_hub.layers.PositionEmbedding: LayerRule(layer_rules.position_embedding),
    keras.layers.LayerNormalization: _SCALED,
    keras.layers.GroupNormalization: _SCALED,
    keras.layers.BatchNormalization: _SCALED,
    BatchNorm: _SCALED,
    keras.layers.RMSNormalization: LayerRule(scale_and_shift("scale", None), normalisation_uncovered),
    keras_hub.layers.RMSNormalization: LayerRule(scale_and_shift("scale", None)),
    LlamaLayerNorm: LayerRule(scale_and_shift("scale", None)),
    keras.layers.Conv2D: LayerRule(convolution_rules.convolution, convolution_rules.uncovered),
    keras.layers.DepthwiseConv2D: LayerRule(convolution_rules.depthwise_convolution, convolution_rules.uncovered),
    keras.layers.LSTM: LayerRule(recurrent_rules.lstm),
    keras.layers.GRU: LayerRule(recurrent_rules.gru),
    HoistedLSTM: LayerRule(recurrent_rules.hoisted_lstm),
}
