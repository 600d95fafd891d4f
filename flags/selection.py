"""Selection: which part of the train split is kept, and what it is judged by."""

HELP = {
    "selector": "How the kept images are chosen.",
    "fraction": "Part of the train split to keep: floor(fraction * N) of its N images, or image-caption pairs.",
    "level": "What is scored and kept: images with all their captions, or image-caption pairs one by one.",
    "selection_score": "The score that hardest, easiest, median, stratified and d2 go by.",
    "noise_cut": "Part with the highest score that stratified sets aside as noise.",
    "strata": "Ranges of the score, of equal width, that stratified covers evenly.",
    "clusters": "Clusters of k_means (by itself one for each kept image) and deduplication (the square root of N).",
    "neighbours": "Nearest images that d2 (by itself 10) and facility_location (64) compare each image with.",
    "mixture": "What mixed is made of: selectors that take turns in proportion to their shares.",
    "class_balanced": "Keeps the same part of every class; of --model=classifier.",
    "proxy": "The captioner that scores, with the same encoder; the experiment's own --model unless said otherwise.",
    "proxy_epochs": "Epochs that the scoring captioner trains on all of train before it scores; a fifth of --epochs for"
    " the proxy of gradient norms, el2n and learnability, as many as --epochs for the teacher of loss, forgetting and"
    " aum.",
    "score_seeds": "Scoring captioners, of the seeds from --seed on, whose scores are averaged; GraNd as published is"
    " gradient_norm with ten.",
    "score_epochs": "Epochs of a scoring captioner's training after which it scores, 0 being before, whose scores are"
    " averaged; by itself the end. It trains no longer than to the last of them, on the schedule of --proxy_epochs.",
    "teacher": "Run folder whose best checkpoint scores, and teaches in --knowledge_distillation, in place of training"
    " one; for learnability the captioner that"
    " the proxy is compared with, on the same data set or on another part of it; forgetting and aum come of what its"
    " training tracked. In a grid, full is its own cell of all the data with the same seed.",
    "dual_encoder": "The pretrained CLIP that clip_score goes by, in the form of Hugging Face: config.json,"
    " *.safetensors and a tokenizer.",
    "token_reduction": "Whether a caption's number, or the loss whose gradient is taken, is the mean or the sum over"
    " its tokens, in every score that a captioner gives; what --track keeps is always a mean.",
    "score_batch_size": "Images scored at a time.",
    "targets": "Groups that the validation images are dealt into, each with a vote in the selector influence.",
    "sketch_dimensions": "Dimensions that gradient_sketch projects each example's gradient to.",
    "sketch_type": "How gradient_sketch is stored: two bytes or one bit a dimension.",
    "gradient_norm_fallback": "What gradient_norm does at a layer type without a rule: stop, or make each example's"
    " gradient of that layer's weights whole.",
    "learnt_accuracy": "Part of its caption's words that must be predicted right for forgetting to count an image as"
    " learnt in an epoch.",
}
