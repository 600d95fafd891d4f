"""ResNet-18 of CIFAR-10 against the usual one in PyTorch, on the same weights."""

import keras
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tfcap.models.resnet_cifar import ResNet18Cifar

pytestmark = pytest.mark.parity

WIDTH, B = 8, 3
RNG = np.random.default_rng


class _Block(nn.Module):
    def __init__(self, before, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != width:
            self.shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class _ResNet18(nn.Module):
    def __init__(self, width=WIDTH):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        shapes = [(width, width, 1), (width, 2 * width, 2), (2 * width, 4 * width, 2), (4 * width, 8 * width, 2)]
        self.stages = nn.Sequential(
            *(nn.Sequential(_Block(before, own, stride), _Block(own, own, 1)) for before, own, stride in shapes)
        )

    def forward(self, x):
        return self.stages(F.relu(self.bn1(self.conv1(x)))).mean((2, 3))


def _pairs(theirs):
    """Yields the name of each convolution with its normalisation, ours, and the two layers of PyTorch."""
    yield "stem", theirs.conv1, theirs.bn1
    for stage, blocks in enumerate(theirs.stages):
        for number, block in enumerate(blocks):
            name = f"stage{stage}_block{number}"
            yield f"{name}_first", block.conv1, block.bn1
            yield f"{name}_second", block.conv2, block.bn2
            if len(block.shortcut):
                yield f"{name}_shortcut", *block.shortcut


def _both(side):
    """Returns the encoder and PyTorch's with the same random weights and moving statistics."""
    keras.utils.set_random_seed(0)
    ours, theirs, rng = ResNet18Cifar("none", side, width=WIDTH), _ResNet18(), RNG(0)
    for name, convolution, norm in _pairs(theirs):
        kernel = ours.backbone.get_layer(f"{name}_conv").kernel
        with torch.no_grad():
            convolution.weight.copy_(torch.tensor(kernel.numpy().transpose(3, 2, 0, 1)))
            for tensor in (norm.weight, norm.running_var):
                tensor.copy_(torch.tensor(rng.uniform(0.5, 1.5, tensor.shape)))
            for tensor in (norm.bias, norm.running_mean):
                tensor.copy_(torch.tensor(rng.normal(scale=0.3, size=tensor.shape)))
        layer = ours.backbone.get_layer(f"{name}_norm")
        layer.set_weights([part.detach().numpy() for part in (norm.weight, norm.bias)] + _moving(norm))
    assert len(ours.weights) == 5 * len(list(_pairs(theirs))) == 100
    return ours, theirs


def _moving(norm):
    return [norm.running_mean.numpy().copy(), norm.running_var.numpy().copy()]


def _images(side, seed=1):
    images = RNG(seed).normal(size=[B, side, side, 3]).astype(np.float32)
    return images, torch.tensor(images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("side", [16, 13])
@pytest.mark.parametrize("training", [False, True])
def test_features_are_those_of_pytorch(side, training):
    ours, theirs = _both(side)
    images, same = _images(side)
    theirs.train(training)
    with torch.no_grad():
        expected = theirs(same).numpy()
    found = ours(images, training=training)
    assert expected.shape == (B, 8 * WIDTH) and np.abs(expected).max() > 0.5
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_batch_moves_the_statistics_as_in_pytorch():
    """PyTorch moves its variance towards n / (n - 1) times the batch's, of n pixels; Keras towards the batch's own."""
    ours, theirs = _both(16)
    images, same = _images(16)
    before, pixels = {}, {}
    for name, _, norm in _pairs(theirs):
        before[name] = _moving(norm)[1]
        norm.register_forward_hook(lambda layer, _, out, name=name: pixels.__setitem__(name, out[:, 0].numel()))
    theirs.train()
    theirs(same)
    ours(images, training=True)
    assert pixels["stem"] == B * 16 * 16 and pixels["stage3_block1_second"] == B * 2 * 2
    for name, _, norm in _pairs(theirs):
        layer, (mean, unbiased) = ours.backbone.get_layer(f"{name}_norm"), _moving(norm)
        stay, n = 0.9 * before[name], pixels[name]
        np.testing.assert_allclose(layer.moving_mean, mean, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(layer.moving_variance - stay, (unbiased - stay) * (n - 1) / n, atol=1e-5)
        assert np.abs(layer.moving_variance - before[name]).min() > 1e-5
