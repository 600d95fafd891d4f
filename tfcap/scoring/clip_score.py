"""How well a caption fits its image, by a pretrained CLIP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from tfcap.data.feature_cache import features
from tfcap.data.pipeline import Batch
from tfcap.data.records import Records
from tfcap.data.resumable import fill
from tfcap.data.text_batches import TextBatches
from tfcap.errors import InputError
from tfcap.models.dual_encoder import DualEncoder, Pretrained
from tfcap.scoring.signal import PairSignal
from tfcap.settings import Settings
from tfcap.training.replicated import replicated
from tfcap.training.step import Tensors
from tfcap.training.strategy import Replicas

PROMPT = "A photo depicts "


class ClipScore(PairSignal):
    """Cosine of an image's and a caption's vectors under the CLIP of --dual_encoder, with the paper's prompt.

    LOW means that the caption does not fit its image, high that it fits: the other way round than in the scores of
    difficulty. So `easiest` keeps the worst fitting and `hardest` the best fitting, and what `stratified` sets aside as
    noise are the best fitting unless --noise_cut=0.
    The paper's CLIPScore is 2.5 max(cosine, 0); the cosine itself is kept, so that pairs below 0 stay in order, and the
    number of an image is the mean of its captions' cosines. Images are seen as everywhere here, squashed to a square
    with a bilinear filter, where CLIP crops the middle and filters bicubically.
    Source: Hessel et al. 2021, https://arxiv.org/abs/2104.08718, section 3 (prompt and definition).
    Cost: O(N) forward passes of each tower; an image is encoded once, whatever captions it has, and nothing is trained.
    """

    unit = "cosine of image and caption, in [-1, 1]"

    @property
    def choices(self) -> dict[str, Any]:
        return {"dual_encoder": self.settings.dual_encoder}

    def check_settings(self, settings: Settings) -> None:
        if not settings.selection.dual_encoder:
            raise InputError(
                "clip_score needs a pretrained CLIP",
                received="--dual_encoder=",
                expected="--dual_encoder=FOLDER or --dual_encoder=hf://user/name, in the form of Hugging Face",
            )

    def of_pairs(
        self, encoders: Pretrained, records: Records, replicas: Replicas, settings: Settings, folder: Path, name: str
    ) -> float:
        encode = _encoding(encoders.model, replicas, settings.training.xla)
        size = replicas.rounded_batch_size(settings.selection.score_batch_size)
        progress = settings.run.progress and replicas.is_chief
        images, images_seconds = features(
            records,
            encoders.model.vision.shape.image_size,
            encoders.identity,
            lambda batch: encode({"images": batch["images"]}),
            Path(settings.data.data_dir) / "features",
            size,
            progress,
            replicas.is_chief,
            replicas.barrier,
        )
        texts = [text for captions in records.captions for text in captions]
        image_of = np.repeat(np.arange(len(records)), [len(captions) for captions in records.captions])

        def cosines(batch: Batch) -> np.ndarray:
            return (encode({"tokens": batch["tokens"]}) * images[image_of[batch["position"]]]).sum(axis=1)

        batches = TextBatches(texts, encoders.tokenizer, size, PROMPT)
        _, seconds = fill(folder, name, batches, cosines, progress=progress, writes=replicas.is_chief)
        return images_seconds + seconds


def _encoding(model: DualEncoder, replicas: Replicas, xla: bool) -> Callable[[Batch], np.ndarray]:
    """Returns the function from a batch of images, or of tokens, to unit vectors float32 [B, D], on all replicas."""

    # On CPUs XLA's convolutions and products are the slower ones, and each length of texts is compiled anew.
    @tf.function(jit_compile=xla and bool(tf.config.list_physical_devices("GPU")))
    def forward(parameters: Tensors, state: Tensors, inputs: Batch) -> tf.Tensor:
        found, _ = model.stateless_call(parameters, state, inputs)
        return found

    return replicated(model, forward, replicas)
