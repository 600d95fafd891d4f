"""Evaluate: a pretrained captioner as it is, without training."""

HELP = {
    "model": "The captioner. gemma3, pali_gemma and blip2 are KerasHub's.",
    "checkpoint": "Its weights: a folder in the form of Hugging Face (config.json, *.safetensors, a tokenizer) or, for"
    " those of KerasHub, a preset (config.json, model.weights.h5 and assets). No other format is read.",
    "split": "The split whose pictures it captions.",
    "prompt": "What it is told before it writes, where it can be told anything.",
    "precision": "Numbers that it computes in; those of KerasHub hold their weights in it too, in half the memory.",
    "out": "Folder of the results; the same command goes on with what was begun there.",
}
