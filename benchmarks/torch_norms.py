"""The process that computes per-example gradient norms in PyTorch; `benchmarks.gradient_norms_torch` talks to it.

    python benchmarks/torch_norms.py FILE.npz

The file holds a model's parameters under Keras' names, a batch, and what the model is. On stdin, each line names a side
(`func`: `torch.func.vmap(grad)`; `opacus`: its ghost clipping; `step`: a training step's forward and backward pass);
on stdout, a line of JSON answers with the milliseconds, the norms and the largest resident size.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

Weights = dict[str, torch.Tensor]


class LSTM(nn.Module):
    """The LSTM captioner on features: gates in the order i, f, g, o; the input's products made before the loop."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.projection = _linear(weights["projection/kernel"], weights["projection/bias"])
        self.embedding = nn.Embedding.from_pretrained(weights["embedding/embeddings"], freeze=False)
        self.input = _linear(weights["lstm/kernel"], weights["lstm/bias"])
        self.recurrent = _linear(weights["lstm/recurrent_kernel"])
        self.logits = _linear(weights["vocabulary_logits/kernel"], weights["vocabulary_logits/bias"])

    def forward(self, features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        h, c = self.projection(features).chunk(2, dim=-1)
        h = torch.tanh(h)
        outputs = []
        for z in self.input(self.embedding(tokens)).unbind(dim=1):
            i, f, g, o = (z + self.recurrent(h)).chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return self.logits(torch.stack(outputs, dim=1))


class Block(nn.Module):
    """One of GPT-2's blocks: attention and a feed-forward network, each after a normalisation."""

    def __init__(self, weights: Weights, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = _norm(weights, "self_attention_layer_norm")
        self.query, self.key, self.value = (_heads_in(weights, name) for name in ("query", "key", "value"))
        output = weights["self_attention/attention_output/kernel"]  # [heads, width of a head, width]
        self.output = _linear(output.reshape(-1, output.shape[-1]), weights["self_attention/attention_output/bias"])
        self.norm2 = _norm(weights, "feedforward_layer_norm")
        self.inner = _linear(
            weights["feedforward_intermediate_dense/kernel"], weights["feedforward_intermediate_dense/bias"]
        )
        self.outer = _linear(weights["feedforward_output_dense/kernel"], weights["feedforward_output_dense/bias"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        seen = self.norm1(x)
        q, k, v = (
            part(seen).view(batch, tokens, self.heads, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        found = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(found.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.outer(functional.gelu(self.inner(self.norm2(x)), approximate="tanh"))


class GPT2(nn.Module):
    """GPT-2's blocks over words alone, with a matrix of its own for the logits."""

    def __init__(self, weights: Weights, layers: int, heads: int) -> None:
        super().__init__()
        self.words = nn.Embedding.from_pretrained(weights["token_embedding/embeddings"], freeze=False)
        self.places = nn.Embedding.from_pretrained(weights["position_embedding/embeddings"], freeze=False)
        self.blocks = nn.ModuleList(Block(_under(weights, f"transformer_layer_{i}"), heads) for i in range(layers))
        self.norm = _norm(weights, "layer_norm")
        self.logits = _linear(weights["vocabulary_logits/kernel"])

    def forward(self, features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        places = torch.arange(tokens.shape[1]).expand(tokens.shape).contiguous()
        x = self.words(tokens) + self.places(places)
        for block in self.blocks:
            x = block(x)
        return self.logits(self.norm(x))


def _linear(kernel: torch.Tensor, bias: torch.Tensor | None = None) -> nn.Linear:
    layer = nn.Linear(*kernel.shape, bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(kernel.T)
        if bias is not None and layer.bias is not None:
            layer.bias.copy_(bias)
    return layer


def _heads_in(weights: Weights, name: str) -> nn.Linear:
    kernel, bias = weights[f"self_attention/{name}/kernel"], weights[f"self_attention/{name}/bias"]
    return _linear(kernel.reshape(kernel.shape[0], -1), bias.reshape(-1))


def _norm(weights: Weights, name: str) -> nn.LayerNorm:
    layer = nn.LayerNorm(len(weights[f"{name}/gamma"]), eps=1e-5)
    with torch.no_grad():
        layer.weight.copy_(weights[f"{name}/gamma"])
        layer.bias.copy_(weights[f"{name}/beta"])
    return layer


def _under(weights: Weights, prefix: str) -> Weights:
    return {name.removeprefix(f"{prefix}/"): value for name, value in weights.items() if name.startswith(f"{prefix}/")}


def _losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns the mean token loss of each example, [B]."""
    return functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none").mean(dim=1)


def sides(model: nn.Module, features: torch.Tensor, tokens: torch.Tensor) -> dict[str, Callable[[], np.ndarray]]:
    """Returns the ways to the norms, and the step, each a function without arguments."""
    read, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()  # Opacus views them

    def step() -> np.ndarray:
        model.zero_grad(set_to_none=True)
        losses = _losses(model(features, read), targets)
        losses.sum().backward()
        return losses.detach().numpy()

    def loss_of_one(values: Weights, feature: torch.Tensor, seen: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        logits = torch.func.functional_call(model, values, (feature[None], seen[None]))
        return _losses(logits, wanted[None])[0]

    gradients = torch.func.vmap(torch.func.grad(loss_of_one), in_dims=(None, 0, 0, 0))

    def func() -> np.ndarray:
        values = {name: value.detach() for name, value in model.named_parameters()}
        found = gradients(values, features, read, targets)
        return torch.stack([value.flatten(1).square().sum(1) for value in found.values()]).sum(0).sqrt().numpy()

    return {"step": step, "func": func, "opacus": _opacus(model, features, read, targets)}


def _opacus(
    model: nn.Module, features: torch.Tensor, read: torch.Tensor, targets: torch.Tensor
) -> Callable[[], np.ndarray]:
    """Returns the norms by ghost clipping, or by per-example gradients for the LSTM, whose layers are called again."""
    from opacus.grad_sample import GradSampleModule
    from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import GradSampleModuleFastGradientClipping

    ghost = not isinstance(model, LSTM)
    wrapped: list[Any] = []

    def opacus() -> np.ndarray:
        if not wrapped:  # its hooks stay on the model, so no other side may run after it
            made = GradSampleModuleFastGradientClipping(model, max_grad_norm=1.0) if ghost else GradSampleModule(model)
            wrapped.append(made)
        module = wrapped[0]
        module.zero_grad(set_to_none=True)
        _losses(module(features, read), targets).mean().backward()
        if ghost:
            return module.get_norm_sample().detach().numpy()
        squares = [value.grad_sample.flatten(1).square().sum(1) for value in module.parameters()]
        return torch.stack(squares).sum(0).sqrt().numpy()

    return opacus


def main(path: str) -> None:
    """Answers until stdin ends."""
    with np.load(path, allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
        weights = {
            name.removeprefix("weights/"): torch.from_numpy(arrays[name])
            for name in arrays.files
            if name.startswith("weights/")
        }
        features, tokens = torch.from_numpy(arrays["features"]), torch.from_numpy(arrays["tokens"]).long()
    torch.set_num_threads(about["threads"])
    model = LSTM(weights) if about["model"] == "lstm" else GPT2(weights, about["layers"], about["heads"])
    ways = sides(model, features, tokens)
    print(json.dumps({"parameters": sum(value.numel() for value in model.parameters())}), flush=True)
    for name in _lines():
        began = time.perf_counter()
        found = ways[name]()
        milliseconds = 1000 * (time.perf_counter() - began)
        answer = {"milliseconds": milliseconds, "norms": found.tolist(), "peak_memory_mib": _peak_memory_mib()}
        print(json.dumps(answer), flush=True)


def _peak_memory_mib() -> float:
    """Returns this program's largest resident size; `getrusage` would count the process that started it too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _lines() -> Iterator[str]:
    for line in sys.stdin:
        yield line.strip()


if __name__ == "__main__":
    main(sys.argv[1])
