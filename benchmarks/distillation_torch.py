"""PyTorch's side of `benchmarks.distillation`: the same descent, with all of it in one graph.

python -m benchmarks.distillation_torch JOB
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks import child
from benchmarks.distillation_case import given, result

_ALPHA, _OF_RELU = 0.2, 1.7139588594436646
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_DEPTHS = (1, 2, 1)  # of nf_resnet_small
Weights = dict[str, torch.Tensor]


def convolution(x: torch.Tensor, weights: Weights, name: str, strides: int = 1, gamma: float = _OF_RELU) -> Any:
    """A convolution with scaled weight standardisation."""
    kernel = weights[f"{name}.weight"]
    centred = kernel - kernel.mean(dim=(1, 2, 3), keepdim=True)
    variance = centred.square().mean(dim=(1, 2, 3), keepdim=True)
    scale = weights[f"{name}.gain"] * (gamma * kernel[0].numel() ** -0.5)
    size = kernel.shape[-1]
    standard = centred * (scale * torch.rsqrt(variance + 1e-5))
    return F.conv2d(x, standard, weights[f"{name}.bias"], strides, size // 2 if size % 2 else 0)


def block(x: torch.Tensor, weights: Weights, name: str, strides: int, variance: float) -> torch.Tensor:
    """A block of an NF-ResNet whose shortcut halves by a convolution of all four places."""
    y = F.relu(x) / variance**0.5
    if f"{name}.downsample.conv.weight" in weights:
        x = convolution(y, weights, f"{name}.downsample.conv", strides)
    y = convolution(y, weights, f"{name}.conv1")
    y = convolution(F.relu(y), weights, f"{name}.conv2", strides)
    return convolution(F.relu(y), weights, f"{name}.conv3") * _ALPHA + x


def features(images: torch.Tensor, weights: Weights) -> torch.Tensor:
    """The encoder's features [B, D] of pixels [B, S, S, 3]."""
    x = (images / 255 - torch.tensor(_MEAN)) / torch.tensor(_DEVIATION)
    x = convolution(x.permute(0, 3, 1, 2), weights, "encoder.stem.conv", 2, gamma=1.0)
    variance = 1.0
    for stage, depth in enumerate(_DEPTHS):
        for index in range(depth):
            x = block(x, weights, f"encoder.stages.{stage}.{index}", 2 if index == 0 else 1, variance)
            variance = (1.0 if index == 0 else variance) + _ALPHA**2
    return F.relu(x).mean(dim=(2, 3))


def contrastive(weights: Weights, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """The mean InfoNCE loss of both directions."""
    if "encoder.stem.conv.weight" in weights:
        images = features(images, weights)
    of_images = F.normalize(images @ weights["image.kernel"] + weights["image.bias"], dim=1)
    of_texts = F.normalize(texts @ weights["text.kernel"] + weights["text.bias"], dim=1)
    logits = weights["log_scale"].clamp(max=math.log(100.0)).exp() * of_images @ of_texts.T
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def _modality(name: str) -> str:
    return "image" if name.startswith(("image.", "encoder.")) else "text"


def distances(end: Weights, start: Weights, target: Weights) -> torch.Tensor:
    """The normalised squared distances of image and text parameters, [2]; the scale is not matched."""
    found = []
    for modality in ("image", "text"):
        of = [name for name in start if name != "log_scale" and _modality(name) == modality]
        left = sum((end[name] - target[name]).square().sum() for name in of)
        found.append(left / sum((start[name] - target[name]).square().sum() for name in of))
    return torch.stack(found)


def ways(job: dict[str, Any]) -> dict[str, Callable[[], dict[str, Any]]]:
    """Returns what can be asked for."""
    torch.set_num_threads(job["threads"])
    folder, pairs = Path(job["folder"]), given(job)
    start, target = (_read(folder / f"{point}.npz") for point in ("start", "target"))
    for value in start.values():
        value.requires_grad_()
    images, texts, rates = (torch.from_numpy(pairs[name]).requires_grad_() for name in ("images", "texts", "rates"))
    batches = torch.from_numpy(pairs["batches"]).long()
    memory = child.Memory()

    def step() -> dict[str, Any]:
        now = start
        for batch in batches:
            loss = contrastive(now, images[batch], texts[batch])
            gradients = torch.autograd.grad(loss, list(now.values()), create_graph=True)
            rate = {"image": rates[0], "text": rates[1]}
            moved = zip(now.items(), gradients, strict=True)
            now = {name: value - rate[_modality(name)] * gradient for (name, value), gradient in moved}
        losses = distances(now, start, target)
        found = torch.autograd.grad(losses.sum(), [images, texts, rates])
        arrays = dict(zip(("images", "texts", "rates"), (one.numpy() for one in found), strict=True))
        path = result(folder, "torch")
        if not path.exists():
            kept = losses.detach().numpy()
            np.savez(path, loss=kept.sum(), losses=kept, **arrays)
        return {"memory_mib": memory.above()}

    return {"step": step}


def _read(path: Path) -> Weights:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(np.array(arrays[name])) for name in arrays}


if __name__ == "__main__":
    child.answer(ways(json.loads(sys.argv[1])))
