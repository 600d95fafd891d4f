"""Tune: a search over flags of an experiment."""

HELP = {
    "out": "Folder of the search: its runs, their shared scores, optuna.sqlite3, tune.json and tune.png.",
    "search": "What is searched, such as learning_rate=1e-4..1e-2:log,batch_size=16..64:16,units=128|256: a range of"
    " numbers, evenly, by their logarithm (:log) or, of whole numbers, in steps (:16), or choices.",
    "trials": "Trials in all; more of them may be asked for later.",
    "pruner": "What stops a trial after a validation: median, when its best score so far is below the median of earlier"
    " trials at that validation (none before five are at their end); hyperband, when it is not in the best third of"
    " its bracket.",
}
