"""An NF-ResNet against the same arithmetic in PyTorch, as timm has it, on the same random weights."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch.nn import functional as F

from tfcap.models.checkpoints import Checkpoint
from tfcap.models.nf_resnet import NFResNet, NFShape
from tfcap.models.weight_table import fill

pytestmark = pytest.mark.parity

GAMMA, ALPHA = 1.7139588594436646, 0.2
SHAPE = NFShape((8, 7, GAMMA), True, (16, 24, 32), (2, 3, 1), 4, means=True)


def _convolution(x, weights, name, strides=1):
    """A convolution with scaled weight standardisation, which batch normalisation of the kernel is."""
    kernel = weights[f"{name}.weight"]
    gain = weights[f"{name}.gain"].flatten() * GAMMA * kernel[0].numel() ** -0.5
    standard = F.batch_norm(kernel.reshape(1, len(kernel), -1), None, None, gain, training=True, eps=1e-5)
    return F.conv2d(x, standard.reshape(kernel.shape), weights[f"{name}.bias"], strides, kernel.shape[-1] // 2)


def _block(x, weights, name, strides, variance):
    y = F.relu(x) / variance**0.5
    if f"{name}.downsample.conv.weight" in weights:
        pooled = F.avg_pool2d(y, 2, 2, ceil_mode=True, count_include_pad=False) if strides > 1 else y
        x = _convolution(pooled, weights, f"{name}.downsample.conv")
    y = _convolution(y, weights, f"{name}.conv1")
    y = _convolution(F.relu(y), weights, f"{name}.conv2", strides)
    return _convolution(F.relu(y), weights, f"{name}.conv3") * ALPHA + x


def _network(images, weights):
    x = F.max_pool2d(_convolution(images, weights, "stem.conv", 2), 3, 2, padding=1)
    variance = 1.0
    for stage, depth in enumerate(SHAPE.depths):
        for index in range(depth):
            strides = 2 if index == 0 and stage > 0 else 1
            x = _block(x, weights, f"stages.{stage}.{index}", strides, variance)
            variance = (1.0 if index == 0 else variance) + ALPHA**2
    return F.relu(x)


@pytest.mark.parametrize("side", [32, 37])
def test_maps_are_those_of_pytorch(tmp_path, side):
    ours = NFResNet(SHAPE)
    rng = np.random.default_rng(0)
    tensors = {one.name: rng.normal(size=one.shape()).astype(np.float32) for one in ours.rows()}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    fill(ours.rows(), Checkpoint(tmp_path, "toy"), ours.weights)
    images = rng.normal(size=(2, side, side, 3)).astype(np.float32)
    weights = {name: torch.tensor(tensor) for name, tensor in tensors.items()}
    with torch.no_grad():
        expected = _network(torch.tensor(images.transpose(0, 3, 1, 2)), weights).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(ours(images), expected, atol=1e-4)
    assert np.abs(expected).max() > 0.1
