"""Score: a score that captions alone give, and where it is computed."""

HELP = {
    "score": "Which score; one that needs no captioner.",
    "out": "Folder of a run: a new one, or one that the score is added to.",
    "runner": "Scores through this runner; not said, in this process. The data and --out must lie where all its workers"
    " see them.",
    "workers": "How many processes DirectRunner has on this machine.",
    "beam_options": "What another runner needs to know, such as --flink_master=HOST:8081 --parallelism=16.",
}
