"""Select: masks from the scores of a run."""

HELP = {
    "scores": "Where the scores are, and through them the data set.",
    "fractions": "Parts to keep; one mask each.",
    "formats": "Forms of the kept ids beside each mask: one id a line in the order of selection, a Parquet table of ids"
    " and scores (needs pyarrow), and COCO's captions format with the kept images and all their captions.",
    "out": "Folder that the masks are written to.",
}
