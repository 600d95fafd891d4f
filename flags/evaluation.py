"""Evaluation: how captions are decoded, scored and exported."""

HELP = {
    "beams": "Beam search width.",
    "length_penalty": "A caption's log-probability is divided by its length to this power.",
    "early_stopping": "Beam search of an image ends as soon as as many captions have ended as there are beams; needs"
    " --beams above 1.",
    "no_repeat_ngram": "So many words in a row occur in a caption once at most.",
    "temperature": "Words are drawn, after their logits were divided by this.",
    "top_p": "Words are drawn from the likeliest ones that together have this probability.",
    "eval_batch_size": "Images decoded at a time.",
    "bootstrap_resamples": "Resamples behind the 95 % intervals.",
    "java": "Official tokenizer and METEOR: auto uses Java where it is installed, never does without it,"
    " require fails where it is absent.",
    "samples": "Test pictures shown with their captions.",
    "export": "Exports a SavedModel that takes JPEG or PNG bytes and returns captions.",
}
