"""Evaluation: how captions are decoded, scored and exported."""

HELP = {
    "beams": "Beam search width.",
    "length_penalty": "A beam's log-probability is divided by its length to this power.",
    "eval_batch_size": "Images decoded at a time.",
    "bootstrap_resamples": "Resamples behind the 95 % intervals.",
    "java": "Official tokenizer and METEOR: auto uses Java where it is installed, never does without it,"
    " require fails where it is absent.",
    "samples": "Test pictures shown with their captions.",
    "export": "Exports a SavedModel that takes JPEG or PNG bytes and returns captions.",
}
