"""Model: which captioner, from which image encoder."""

HELP = {
    "model": "The captioner; classifier names one class, on data sets whose captions are the names of classes.",
    "encoder": "The image encoder; vgg19_lstm has vgg19 and classifier resnet18_cifar unless another is said, also on"
    " scenes.",
    "encoder_weights": "Weights of the encoder: imagenet, none (random start), a file, or for CLIP, ViT and git_vit a"
    " folder or hf://user/name in the form of Hugging Face.",
    "norm": "Normalisation of resnet18_cifar: batch by itself, as published, or group, of each picture alone.",
    "width": "Channels of the first stage of resnet18_cifar; 64 by itself, as published, and 8 on objects.",
    "freeze_encoder": "Keeps the encoder as it is; its features are computed once and cached.",
    "train": "The part that trains: all; the encoder; the decoder, with the projection in front of it; the projection;"
    " or lora, low-rank adapters of a frozen decoder (Hu et al. 2021), and the projection. Features of an encoder that"
    " does not train are computed once and cached.",
    "checkpoint": "The pretrained captioner, or its decoder, in the form of Hugging Face: config.json, *.safetensors,"
    " and a tokenizer.",
    "tokenizer": "Whose words are used: those of a folder in the form of Hugging Face; by itself those of --checkpoint,"
    " and without one the words of the train split.",
    "shape": "Size of a transformer decoder without --checkpoint; tiny on scenes, otherwise base, and 1b of Llama.",
    "mapper": "What makes a prefix of the image's features, as in ClipCap; linear by itself. Of clip_gpt2 and"
    " vit_llama.",
    "prefix_length": "Length of the prefix that stands for the image; 10 by itself. Of clip_gpt2 and vit_llama.",
    "lora_rank": "Rank of the adapters of --train=lora; 16 by itself.",
    "lora_alpha": "Scale of the adapters of --train=lora, which is divided by their rank; 32 by itself.",
    "lora_dropout": "Dropout in the adapters of --train=lora; 0.1 by itself.",
    "units": "Width of the LSTM.",
    "embedding_size": "Width of the LSTM's word embedding.",
    "attention": "The LSTM attends, for each word, over the regions of the image in place of one vector for the whole;"
    " of --mapper=transformer every layer does. A cached image then takes as many vectors as it has regions (49 of"
    " MobileNetV2: 250 KB).",
    "tie_embeddings": "One matrix gives the words' vectors and the logits of the next word (Press and Wolf 2017), of"
    " the LSTM; by itself so for photographs where the two widths are equal.",
    "dropout": "Dropout of the decoder's input, and of its output in an LSTM and in git.",
    "image_dropout": "Dropout of the image features; as --dropout unless said otherwise. A small data set is learned by"
    " heart image by image.",
}
