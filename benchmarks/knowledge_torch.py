"""PyTorch's side of `benchmarks.knowledge`.

python -m benchmarks.knowledge_torch JOB
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn
from torch.nn import functional as F

from benchmarks import child
from benchmarks.knowledge import ALPHA, CLASSES, CLIP, RATE, TEMPERATURE, batch_of


class Block(nn.Module):
    """Two convolutions of 3 x 3 beside a shortcut."""

    def __init__(self, before: int, width: int, strides: int) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(before, width, 3, strides, 1, bias=False), nn.BatchNorm2d(width)
        self.second, self.second_norm = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        projects = strides != 1 or before != width
        self.shortcut = nn.Conv2d(before, width, 1, strides, bias=False) if projects else None
        self.shortcut_norm = nn.BatchNorm2d(width) if projects else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return F.relu(y + (x if self.shortcut is None else self.shortcut_norm(self.shortcut(x))))


class Classifier(nn.Module):
    """ResNet-18 for pictures of 32 pixels and its logits."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        before, blocks = width, []
        for times, strides in ((1, 1), (2, 2), (4, 2), (8, 2)):
            blocks += [Block(before, width * times, strides), Block(width * times, width * times, 1)]
            before = width * times
        self.blocks, self.logits = nn.Sequential(*blocks), nn.Linear(before, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = (images.to(torch.float32) / 127.5 - 1).permute(0, 3, 1, 2)
        x = self.blocks(F.relu(self.stem_norm(self.stem(x))))
        return self.logits(x.mean((2, 3)))


def filled(width: int, path: Path) -> Classifier:
    """Returns a classifier with the weights of a file."""
    weights, model = load_file(path), Classifier(width)

    def put(name: str, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        kernel = torch.tensor(weights[f"{name}_conv/kernel"])
        convolution.weight.copy_(kernel.permute(3, 2, 0, 1))
        parts = {"gamma": norm.weight, "beta": norm.bias, "moving_mean": norm.running_mean}
        for part, tensor in {**parts, "moving_variance": norm.running_var}.items():
            tensor.copy_(torch.tensor(weights[f"{name}_norm/{part}"]))

    with torch.no_grad():
        put("stem", model.stem, model.stem_norm)
        for place, block in enumerate(model.blocks):
            name = f"stage{place // 2}_block{place % 2}"
            put(f"{name}_first", block.first, block.first_norm)
            put(f"{name}_second", block.second, block.second_norm)
            if block.shortcut is not None:
                put(f"{name}_shortcut", block.shortcut, block.shortcut_norm)
        model.logits.weight.copy_(torch.tensor(weights["class_logits/kernel"].T))
        model.logits.bias.copy_(torch.tensor(weights["class_logits/bias"]))
    return model.to(memory_format=torch.channels_last)


class Side:
    """A student with its optimizer, and its teacher or None."""

    def __init__(self, job: dict[str, Any], taught: bool) -> None:
        folder = Path(job["folder"])
        self.model = filled(job["width"], folder / "student.safetensors").train()
        self.teacher = filled(job["width"], folder / "teacher.safetensors").eval() if taught else None
        self.optimizer = torch.optim.AdamW(self.model.parameters(), RATE, weight_decay=0.01)
        batch = batch_of(job["batch"])
        self.images = torch.tensor(batch["images"])
        self.classes = torch.tensor(batch["tokens"][:, 0].astype(np.int64))

    def step(self) -> float:
        """Takes one step, and returns the loss before it."""
        logits = self.model(self.images)
        loss = F.cross_entropy(logits, self.classes)
        if self.teacher is not None:
            with torch.no_grad():
                of_teacher = F.log_softmax(self.teacher(self.images) / TEMPERATURE, dim=1)
            softened = F.log_softmax(logits / TEMPERATURE, dim=1)
            knowledge = F.kl_div(softened, of_teacher, log_target=True, reduction="batchmean")
            loss = ALPHA * loss + (1 - ALPHA) * TEMPERATURE**2 * knowledge
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        return loss.item()


def main() -> None:
    """Answers with the loss of a step, or with that of the last of several."""
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    sides = {"plain": Side(job, False), "taught": Side(job, True)}

    def several(side: Side) -> dict[str, Any]:
        return {"loss": [side.step() for _ in range(job["steps_per_run"])][-1]}

    def once(side: Side) -> dict[str, Any]:
        return {"loss": side.step()}

    first = {f"{name}_first": functools.partial(once, side) for name, side in sides.items()}
    child.answer({**first, **{name: functools.partial(several, side) for name, side in sides.items()}})


if __name__ == "__main__":
    main()
