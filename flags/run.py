"""Run: where results go, and what makes them repeatable."""

HELP = {
    "run_dir": "Folder of the run; default runs/<dataset>-<model>-<selector>-<fraction>-s<seed>.",
    "scoring_dir": "Folder where runs share scoring captioners and scores, each made by the first that needs it; by"
    " itself every run makes its own.",
    "seed": "Seed of initial weights, order, captions drawn, augmentation and dropout.",
    "resume": "Continues an existing run with the same settings; --noresume starts it afresh.",
    "progress": "Shows progress bars.",
}
