"""Convert: a trained captioner in the form of Hugging Face."""

HELP = {
    "run": "The finished run whose best captioner is written.",
    "out": "Folder that it is written to; a checkpoint that is there is replaced.",
}
