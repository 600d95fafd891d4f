"""Data: which images and captions, and how they are read."""

HELP = {
    "dataset": "The data set; distilled:DIR is what tfcap.distill left in the folder DIR.",
    "source": "Folder with the source images and captions, or of cifar10 the file; scenes and objects need none.",
    "data_dir": "Folder under which data sets are built as TFRecords, and feature caches are kept.",
    "coco_split": "Which split of COCO: official (train2017 against val2017), karpathy (needs --karpathy_json),"
    " or val2017 (the 5,000 images of val2017, 0.8/0.1/0.1).",
    "karpathy_json": "The file of Karpathy's split: dataset_coco.json, or dataset_flickr30k.json, which may also lie in"
    " --source.",
    "scenes_size": "How many scenes or objects are rendered, 0.8/0.1/0.1 of them for train, validation and test.",
    "scenes_seed": "Seed of the rendered scenes or objects.",
    "recipes_seed": "Seed of the split of food_recipes, 0.8/0.1/0.1.",
    "resize_shorter_side": "Resizes larger images once, when building, to this shorter side.",
    "shards": "TFRecord files a split.",
    "image_size": "Side of the square image that the encoder sees.",
    "max_tokens": "Longest caption.",
    "min_word_count": "Rarer words become <unk>; 5 by itself, and 1 in a distilled set. Of no use with --tokenizer"
    " or --checkpoint.",
    "augment": "Augmentation of training images: crop takes a part of the enlarged picture, pad_crop one of the"
    " picture with a margin of zeros, an eighth of its side wide (He et al. 2016 on CIFAR-10), flip mirrors each"
    " with probability 1/2; needs --nofreeze_encoder.",
    "limit": "Takes only the first images of each split, for a trial.",
}
