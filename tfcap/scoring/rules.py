"""The rule of every layer type: one line each."""

from __future__ import annotations

import tfcap.quiet  # noqa: F401

import keras
import keras_hub

from tfcap.models.lstm import HoistedLSTM
from tfcap.scoring import convolution_rules, layer_rules, recurrent_rules
from tfcap.scoring.taps import Rule

RULES: dict[type, Rule] = {
    keras.layers.Dense: layer_rules.dense,
    keras.layers.EinsumDense: layer_rules.einsum_dense,
    keras.layers.Embedding: layer_rules.embedding,
    keras.layers.ReversibleEmbedding: layer_rules.reversible_embedding,
    keras_hub.layers.PositionEmbedding: layer_rules.position_embedding,
    keras.layers.LayerNormalization: layer_rules.scale_and_shift("gamma", "beta"),
    keras.layers.GroupNormalization: layer_rules.scale_and_shift("gamma", "beta"),
    keras.layers.BatchNormalization: layer_rules.scale_and_shift("gamma", "beta"),
    keras.layers.RMSNormalization: layer_rules.scale_and_shift("scale", None),
    keras_hub.layers.RMSNormalization: layer_rules.scale_and_shift("scale", None),
    keras.layers.Conv2D: convolution_rules.convolution,
    keras.layers.DepthwiseConv2D: convolution_rules.depthwise_convolution,
    keras.layers.LSTM: recurrent_rules.lstm,
    keras.layers.GRU: recurrent_rules.gru,
    HoistedLSTM: recurrent_rules.hoisted_lstm,
}
