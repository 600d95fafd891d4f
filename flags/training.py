"""Training: how long, how fast, on what devices."""

HELP = {
    "epochs": "Training epochs; each kept image is seen once an epoch with one of its captions.",
    "budget_steps": "Takes as many optimizer steps as all of the train split would in --epochs, whatever part of it is"
    " kept, and validates as often; by itself a smaller part has fewer steps.",
    "batch_size": "Images of one optimizer step.",
    "learning_rate": "Peak learning rate of AdamW, reached after warm-up and followed by a cosine to zero.",
    "weight_decay": "Decoupled weight decay of AdamW.",
    "warmup_fraction": "Steps of linear warm-up.",
    "clip_norm": "Clips the global gradient norm.",
    "label_smoothing": "Probability mass spread over the vocabulary.",
    "knowledge_distillation": "Learns also from what a teacher makes of each picture (Hinton et al. 2015), the run of"
    " --teacher or, without one, the scoring captioner, trained on all of train: the loss is kd_alpha CE +"
    " (1 - kd_alpha) T^2 KL. The teacher has the student's architecture.",
    "kd_alpha": "Weight of the captions' own cross-entropy in --knowledge_distillation; 0.1 by itself.",
    "kd_temperature": "T, the temperature of teacher and student in --knowledge_distillation; 4 by itself.",
    "validate_every": "Epochs between validations; the last epoch always validates.",
    "checkpoint_every": "Checkpoints inside an epoch.",
    "strategy": "Distribution strategy; auto takes mirrored where there are several devices.",
    "xla": "Compiles training, scoring and decoding with XLA.",
    "virtual_devices": "Splits the CPU into logical devices, to try a strategy without GPUs.",
    "mixed_precision": "Computes in bfloat16, keeps variables in float32; but the weights of a Llama that stay as they"
    " are, with --train=lora or projection, are kept in bfloat16 too, in half the memory.",
    "track": "Numbers of each image and epoch that training leaves in dynamics/, of the caption it saw: forgetting is"
    " the part of the words predicted right, aum the mean margin of the right word.",
}
