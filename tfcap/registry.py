"""Every named part of the product: one table a kind, one line a part.

A part is written as "module:attribute" and imported on first use, so that flags can list the
names without importing TensorFlow.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from tfcap.errors import InputError


class Registry(Mapping[str, Any]):
    """Maps names to lazily imported objects; an unknown name is an error that lists the known ones."""

    def __init__(self, kind: str, targets: Mapping[str, str]) -> None:
        self.kind = kind
        self._targets = dict(targets)

    def check(self, name: str) -> str:
        """Returns `name` if it is registered; raises InputError listing the known names otherwise."""
        if name not in self._targets:
            raise InputError(f"Unknown {self.kind}", received=repr(name), expected="one of " + ", ".join(self._targets))
        return name

    def __getitem__(self, name: str) -> Any:
        module, attribute = self._targets[self.check(name)].split(":")
        return getattr(importlib.import_module(module), attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)

    def __contains__(self, name: object) -> bool:
        return name in self._targets


DATASETS = Registry(
    "data set",
    {
        "scenes": "tfrecords_builder.scenes:Scenes",
        "coco_captions": "tfrecords_builder.coco_captions:CocoCaptions",
        "flickr8k": "tfrecords_builder.flickr:Flickr8k",
        "flickr30k": "tfrecords_builder.flickr30k:Flickr30k",
        "food_recipes": "tfrecords_builder.food_recipes:FoodRecipes",
        "cifar10": "tfrecords_builder.cifar10:Cifar10",
        "objects": "tfrecords_builder.objects:Objects",
        "distilled": "tfrecords_builder.distilled:Distilled",
    },
)
OF_CLASSES = ("cifar10", "objects")  # of which the one caption of an image is the name of its class
CAPTIONERS = Registry(
    "captioner",
    {
        "resnet50_lstm": "tfcap.models.lstm:LSTMCaptioner",
        "clip_gpt2": "tfcap.models.prefix_lm:PrefixCaptioner",
        "vit_gpt2": "tfcap.models.vit_gpt2:CrossAttentionCaptioner",
        "git": "tfcap.models.git_captioner:GITCaptioner",
        "vit_llama": "tfcap.models.vit_llama:LlamaCaptioner",
        "vgg19_lstm": "tfcap.models.lstm:LSTMCaptioner",  # with another encoder by itself: resolution.OWN_ENCODER
        "classifier": "tfcap.models.classifier:Classifier",
    },
)
# Captioners that a checkpoint holds whole, to be evaluated without training: of the table above, by the same line, and
# of KerasHub.
DIRECT = Registry(
    "captioner that is used as it is",
    {
        "vit_gpt2": "tfcap.models.vit_gpt2:CrossAttentionCaptioner",
        "git": "tfcap.models.git_captioner:GITCaptioner",
        "gemma3": "tfcap.models.hub:Gemma3",
        "pali_gemma": "tfcap.models.hub:PaliGemma",
        "blip2": "tfcap.models.hub:BLIP2",
    },
)
ENCODERS = Registry(
    "image encoder",
    {
        "resnet50": "tfcap.models.encoders:ResNet50",
        "vgg19": "tfcap.models.encoders:VGG19",
        "mobilenet_v2": "tfcap.models.encoders:MobileNetV2",
        "small_resnet": "tfcap.models.encoders:SmallResNet",
        "clip_vit_b32": "tfcap.models.clip_encoders:ClipVitB32",
        "clip_vit": "tfcap.models.clip_encoders:ClipVit",
        "vit_b16": "tfcap.models.vit:VitB16",
        "vit": "tfcap.models.vit:Vit",
        "git_vit": "tfcap.models.git_checkpoint:GITVit",
        "nf_resnet50": "tfcap.models.nf_resnet:NFResNet50",
        "nf_resnet_small": "tfcap.models.nf_resnet:SmallNFResNet",
        "resnet18_cifar": "tfcap.models.resnet_cifar:ResNet18Cifar",
    },
)
# Called with what --text_weights says and the most tokens of a text.
TEXT_ENCODERS = Registry(
    "text encoder",
    {
        "bert": "tfcap.models.bert:BertText",
        "clip_text": "tfcap.models.clip_text:ClipText",
        "small": "tfcap.models.small_text:saved",
    },
)
SCORES = Registry(
    "score",
    {
        "gradient_norm": "tfcap.scoring.gradient_norms:GradientNorm",
        "gradient_norm_last_layer": "tfcap.scoring.last_layer:LastLayerGradientNorm",
        "loss": "tfcap.scoring.losses:TeacherLoss",
        "learnability": "tfcap.scoring.learnability:Learnability",
        "el2n": "tfcap.scoring.word_statistics:EL2N",
        "entropy": "tfcap.scoring.word_statistics:Entropy",
        "margin": "tfcap.scoring.word_statistics:Margin",
        "caption_consensus": "tfcap.scoring.caption_consensus:CaptionConsensus",
        "clip_score": "tfcap.scoring.clip_score:ClipScore",
        "forgetting": "tfcap.scoring.training_dynamics:Forgetting",
        "aum": "tfcap.scoring.training_dynamics:AreaUnderMargin",
    },
)
# What a training can track of each example, one number an epoch; a score of the same name may be made of it.
TRACKED = Registry(
    "tracked signal",
    {
        "loss": "tfcap.scoring.tracking:Loss",
        "gradient_norm": "tfcap.scoring.tracking:TrackedGradientNorm",
        "forgetting": "tfcap.scoring.tracking:WordAccuracy",
        "aum": "tfcap.scoring.tracking:WordMargin",
    },
)
# What follows a run while it goes on.
TRACKERS = Registry(
    "tracker",
    {
        "tensorboard": "tfcap.trackers.tensorboard:TensorBoard",
        "wandb": "tfcap.trackers.weights_and_biases:WeightsAndBiases",
        "mlflow": "tfcap.trackers.mlflow:MLflow",
    },
)
# Ways to make a small set of pairs: coresets by the selectors of the same name, then synthetic sets.
DISTILLERS = Registry(
    "method",
    {
        "random": "tfcap.distillation.coresets:Random",
        "herding": "tfcap.distillation.coresets:Herding",
        "k_center": "tfcap.distillation.coresets:KCenter",
        "k_means": "tfcap.distillation.coresets:KMeans",
        "forgetting": "tfcap.distillation.coresets:ForgettingEvents",
        "stratified": "tfcap.distillation.coresets:Stratified",
        "trajectory": "tfcap.distillation.stepwise:TrajectoryMatching",
        "gradient_matching": "tfcap.distillation.stepwise:GradientMatching",
        "covmatch": "tfcap.distillation.covariance:CovMatch",
        "covmatch_exact": "tfcap.distillation.covariance:CovMatchExact",
        "prototypes": "tfcap.distillation.prototypes:Prototypes",
        "whitened": "tfcap.distillation.covariance:WhitenedDirections",
    },
)
# Classes, or functions, that make a selector from its options.
SELECTORS = Registry(
    "selector",
    {
        "random": "tfcap.selection.random:Random",
        "gradient_norm": "tfcap.selection.ranked:GradientNorm",
        "loss": "tfcap.selection.ranked:Loss",
        "el2n": "tfcap.selection.ranked:EL2N",
        "forgetting": "tfcap.selection.ranked:Forgetting",
        "hardest": "tfcap.selection.ranked:Hardest",
        "easiest": "tfcap.selection.ranked:Easiest",
        "median": "tfcap.selection.ranked:Median",
        "stratified": "tfcap.selection.stratified:Stratified",
        "herding": "tfcap.selection.herding:Herding",
        "k_center": "tfcap.selection.k_center:KCenter",
        "k_means": "tfcap.selection.k_means:KMeansPrototypes",
        "facility_location": "tfcap.selection.facility_location:FacilityLocation",
        "deduplication": "tfcap.selection.deduplication:Deduplication",
        "d2": "tfcap.selection.d2:D2",
        "influence": "tfcap.selection.influence:Influence",
        "mixed": "tfcap.selection.mixed:Mixed",
    },
)
