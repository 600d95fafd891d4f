"""PyTorch's side of `benchmarks.captioners`: makes the weights, writes them, and answers.

python -m benchmarks.captioners_torch JOB
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks import child
from benchmarks.captioners import batch_of, folder_of

_TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
_TINY_GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 2, "vocab_size": 500, "bos_token_id": 499, "eos_token_id": 499}


class Prefix(torch.nn.Module):
    """CLIP's image tower, a linear layer to a prefix, GPT-2: for which transformers has no class."""

    def __init__(self, clip: torch.nn.Module, gpt2: Any, prefix: int) -> None:
        super().__init__()
        self.clip, self.gpt2, self.prefix = clip, gpt2, prefix
        self.mapper = torch.nn.Linear(clip.config.projection_dim, prefix * gpt2.config.n_embd)

    def embedded(self, pixels: torch.Tensor) -> torch.Tensor:
        """Returns the prefix [B, P, D] of pixels [B, 3, S, S]."""
        return self.mapper(self.clip(pixels).image_embeds).view(len(pixels), self.prefix, -1)

    def loss(self, pixels: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Returns the mean loss of the words after the first."""
        words = self.gpt2.transformer.wte(tokens[:, :-1])
        logits = self.gpt2(inputs_embeds=torch.cat([self.embedded(pixels), words], dim=1)).logits[:, self.prefix :]
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def made(job: dict[str, Any]) -> Any:
    """Returns the model with random weights, after it was saved."""
    torch.manual_seed(0)
    tiny, vision = (_TINY if job["tiny"] else {}), {"image_size": 224, **(_TINY if job["tiny"] else {})}
    gpt2 = _TINY_GPT2 if job["tiny"] else {}
    if job["case"] == "vit_gpt2":
        config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
            transformers.ViTConfig(**vision), transformers.GPT2Config(**gpt2)
        )
        model = transformers.VisionEncoderDecoderModel(config)
        end = model.config.decoder.eos_token_id
        model.generation_config.decoder_start_token_id = model.config.decoder_start_token_id = end
        model.config.pad_token_id = model.generation_config.pad_token_id = end
    elif job["case"] == "git":
        words = {"vocab_size": 500, "bos_token_id": 498, "eos_token_id": 499} if job["tiny"] else {}
        model = transformers.GitForCausalLM(
            transformers.GitConfig(vision_config=vision | {"patch_size": 16}, **tiny, **words)
        )
    else:
        clip = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**vision, patch_size=32))
        language = transformers.GPT2LMHeadModel(transformers.GPT2Config(**gpt2))
        clip.save_pretrained(folder_of(job, "clip"))
        language.save_pretrained(folder_of(job, "gpt2"))
        model = Prefix(clip, language, job["prefix"])
        mapper = {"kernel": model.mapper.weight.detach().numpy().T, "bias": model.mapper.bias.detach().numpy()}
        np.savez(folder_of(job, "mapper.npz"), **mapper)
        return model.eval()
    model.save_pretrained(folder_of(job))
    return model.eval()


def ways(job: dict[str, Any]) -> dict[str, Callable[[], dict[str, Any]]]:
    """Returns what can be asked for."""
    torch.set_num_threads(job["threads"])
    model = made(job)
    language = model.gpt2 if isinstance(model, Prefix) else model
    config = getattr(language.config, "decoder", language.config)
    end = config.eos_token_id
    batch = batch_of(job, 224, end)
    pixels = torch.from_numpy(batch["images"]).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    tokens = torch.from_numpy(batch["tokens"]).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.01)
    parameters = sum(value.numel() for value in model.parameters())
    new = job["tokens"] - 1
    options = {
        "num_beams": job["beams"],
        "do_sample": False,
        "max_new_tokens": new,
        "min_new_tokens": new,
        "pad_token_id": end,
    }

    def loss() -> torch.Tensor:
        if isinstance(model, Prefix):
            return model.loss(pixels, tokens)
        if job["case"] == "git":
            return model(tokens, pixel_values=pixels, labels=tokens).loss
        logits = model(pixel_values=pixels, decoder_input_ids=tokens[:, :-1]).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    def step() -> dict[str, Any]:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return {"parameters": parameters}

    @torch.no_grad()
    def generate() -> dict[str, Any]:
        begin = torch.full([len(pixels), 1], config.bos_token_id)
        if isinstance(model, Prefix):
            vectors = torch.cat([model.embedded(pixels), model.gpt2.transformer.wte(begin)], dim=1)
            mask = torch.ones(vectors.shape[:2], dtype=torch.long)
            found = model.gpt2.generate(inputs_embeds=vectors, attention_mask=mask, **options)
        elif job["case"] == "git":
            found = model.generate(begin, pixel_values=pixels, attention_mask=torch.ones_like(begin), **options)
        else:
            found = model.generate(pixel_values=pixels, **options)
        return {"tokens": found[:, -new:].tolist()}

    return {"step": step, "generate": generate}


if __name__ == "__main__":
    child.answer(ways(json.loads(sys.argv[1])))
