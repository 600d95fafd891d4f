"""Models of KerasHub of a few thousand random weights, as presets in folders."""

import io
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import sentencepiece
from tokenizers.pre_tokenizers import ByteLevel

SIDE, IMAGE_TOKENS = 16, 4
VISION_MARKS = ["<start_of_image>", "<img>", "<end_of_image>", "<start_of_turn>", "<end_of_turn>"]
SENTENCE = "a photo of dog cat runs plays in the red snow user model caption en Describe this image one short two green"
_PIXELS = {"image_size": (SIDE, SIDE), "scale": 1 / 127.5, "offset": -1.0}


def sentences(marks: list[str]) -> bytes:
    """Returns a SentencePiece vocabulary: <pad>, <eos>, <bos>, <unk>, the marks, and pieces of words."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([SENTENCE]),
        model_writer=written,
        vocab_size=4 + len(marks) + 60,
        model_type="bpe",
        user_defined_symbols=marks,
        minloglevel=2,
        **{f"{name}_id": index for index, name in enumerate(("pad", "eos", "bos", "unk"))},
        **{f"{name}_piece": f"<{name}>" for name in ("pad", "eos", "bos", "unk")},
    )
    return written.getvalue()


def _scattered(model: Any, seed: int = 0) -> Any:
    """Makes the weights large enough for pictures and words to differ."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        scale = 0.2 if "token_embedding" in variable.path else 1.0
        variable.assign(variable.numpy() + rng.normal(scale=scale, size=variable.shape))
    return model


def gemma3(sees: bool = True) -> Any:
    keras.utils.set_random_seed(0)
    models = keras_hub.models
    tokenizer = models.Gemma3Tokenizer(sentences(VISION_MARKS if sees else []), has_vision_tokens=sees)
    vision = models.Gemma3VisionEncoder(
        image_size=SIDE,
        patch_size=4,
        num_heads=2,
        hidden_dim=8,
        num_layers=1,
        intermediate_dim=16,
        output_dim=8,
        pool_size=2,
    )
    backbone = models.Gemma3Backbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        image_size=SIDE,
        num_layers=2,
        num_query_heads=2,
        num_key_value_heads=1,
        hidden_dim=8,
        intermediate_dim=16,
        head_dim=4,
        use_sliding_window_attention=True,
        sliding_window_size=40,
        vision_encoder=vision if sees else None,
    )
    preprocessor = models.Gemma3CausalLMPreprocessor(
        tokenizer,
        keras_hub.layers.Gemma3ImageConverter(**_PIXELS) if sees else None,
        sequence_length=64,
        num_vision_tokens_per_image=IMAGE_TOKENS,
    )
    return models.Gemma3CausalLM(preprocessor, _scattered(backbone))


def pali_gemma() -> Any:
    keras.utils.set_random_seed(0)
    models = keras_hub.models
    tokenizer = models.PaliGemmaTokenizer(sentences([]))
    backbone = models.PaliGemmaBackbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        image_size=SIDE,
        num_layers=2,
        num_query_heads=2,
        num_key_value_heads=1,
        hidden_dim=8,
        intermediate_dim=16,
        head_dim=4,
        vit_patch_size=8,
        vit_num_heads=2,
        vit_hidden_dim=8,
        vit_num_layers=1,
        vit_intermediate_dim=16,
    )
    preprocessor = models.PaliGemmaCausalLMPreprocessor(
        tokenizer, keras_hub.layers.PaliGemmaImageConverter(**_PIXELS), sequence_length=64
    )
    return models.PaliGemmaCausalLM(preprocessor, _scattered(backbone))


def blip2() -> Any:
    keras.utils.set_random_seed(0)
    models = keras_hub.models
    letters = ["<pad>", "</s>", "<image>", *sorted(ByteLevel.alphabet()), "ab"]
    tokenizer = models.BLIP2OPTTokenizer({letter: index for index, letter in enumerate(letters)}, ["a b"])
    vision = models.BLIP2VisionEncoder(
        image_size=SIDE,
        patch_size=8,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        use_patch_bias=True,
        use_class_token=True,
        use_mha_bias=True,
        use_mlp_bias=True,
        dropout_rate=0.0,
        layer_norm_epsilon=1e-6,
        initializer_range=0.02,
    )
    qformer = models.BLIP2QFormer(
        num_query_tokens=3,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        vision_dim=8,
        cross_attention_frequency=2,
        dropout=0.0,
        layer_norm_epsilon=1e-6,
    )
    language = models.BLIP2CustomOPT(
        vocabulary_size=len(letters),
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        num_query_tokens=3,
        dropout=0.0,
        max_sequence_length=128,
        qformer_hidden_dim=8,
    )
    backbone = models.BLIP2Backbone(vision, qformer, language)
    converter = keras_hub.layers.BLIP2ImageConverter(image_size=(SIDE, SIDE))
    preprocessor = models.BLIP2CausalLMPreprocessor(tokenizer, converter, sequence_length=64)
    return models.BLIP2CausalLM(preprocessor, _scattered(backbone))


MADE = {"gemma3": gemma3, "pali_gemma": pali_gemma, "blip2": blip2}


def write_preset(folder: Path, name: str, **more: Any) -> Path:
    MADE[name](**more).save_to_preset(str(folder))
    return folder
