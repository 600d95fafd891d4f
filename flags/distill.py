"""Distill: a small set of pairs, how it is made, and the student that judges it."""

HELP = {
    "out": "Folder of the experts, the sets and what was found; the same command goes on with what was begun there.",
    "method": "How the set is made: a coreset by the selector of this name, or trajectory, gradient_matching, covmatch,"
    " and, of features alone and without training, covmatch_exact, prototypes and whitened.",
    "pairs": "How many pairs the set has.",
    "text_encoder": "The frozen text encoder; small is trained here, beside an image encoder of the same kind.",
    "text_weights": "Weights of bert (any BERT, or a sentence encoder such as all-MiniLM-L6-v2) and of clip_text, as a"
    " folder in the form of Hugging Face.",
    "text_epochs": "How long the text encoder small is trained.",
    "trains": "What a student trains beside the text's projection: the image's projection alone, on features of a"
    " frozen encoder; the whole image encoder; or lora, low-rank adapters in its attention. With the last two, pairs"
    " hold images.",
    "lora_rank": "Rank of the adapters of --trains=lora.",
    "projection_size": "Width of the space of images and texts.",
    "temperature": "Temperature of the contrastive loss at the start; it is learnt, as the logarithm of its inverse.",
    "experts": "How many experts are trained on all pairs, and matched.",
    "expert_epochs": "How long each is trained, in passes over the images.",
    "batch_size": "Pairs a step of an expert, and real pairs a step of gradient_matching.",
    "expert_rate": "Rate of the experts' image parameters, by plain gradient descent.",
    "expert_text_rate": "Rate of their text projection and of the scale of the logits.",
    "latest_start": "The latest epoch of an expert that matching starts from.",
    "expert_span": "How many epochs of an expert a student is to go.",
    "inner_steps": "Steps of the student between the two.",
    "inner_batch": "Pairs of each of these steps.",
    "modalities": "Whose parameters are matched.",
    "low_memory": "Computes each step of the student again on the way back, in place of keeping all: the same gradient"
    " in the memory of one step.",
    "start": "What a method with steps starts from: real pairs (random or another coreset), prototypes, covmatch_exact,"
    " whitened, or noise.",
    "steps": "Steps of the method.",
    "optimizer": "What changes the pairs: Adam, its rates decaying by half a cosine over --steps, or gradient descent"
    " with momentum 0.5.",
    "image_rate": "Its rate for the images, or their features.",
    "text_rate": "Its rate for the text embeddings.",
    "rate_rate": "Its rate for the logarithms of the student's two rates.",
    "student_rate": "The student's rate at the start of trajectory, which learns it, and in gradient_matching.",
    "restart_every": "Steps after which gradient_matching takes a new student.",
    "mean_weight": "Weight of the means in covmatch.",
    "covariance_scale": "What covmatch multiplies the set's cross-covariance by.",
    "checkpoint_every": "Steps between two checkpoints.",
    "show_every": "Steps between two looks at the pairs in TensorBoard.",
    "judge_rates": "Rates that a student is trained with on a set; the best on validation counts.",
    "judge_steps": "Steps of that student, by gradient descent with momentum 0.9.",
    "judge_batch": "Pairs of each.",
    "sets": "Sets to evaluate; by itself those in --out. Of images they may be of another --encoder.",
    "methods": "The methods of a study.",
    "sizes": "Its sizes.",
    "seeds": "Its seeds, of sets and students alike.",
}
