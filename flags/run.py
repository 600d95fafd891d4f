"""Run: where results go, and what makes them repeatable."""

HELP = {
    "run_dir": "Folder of the run; default runs/<dataset>-<model>-<selector>-<fraction>-s<seed>.",
    "seed": "Seed of initial weights, order, captions drawn, augmentation and dropout.",
    "resume": "Continues an existing run with the same settings; --noresume starts it afresh.",
    "progress": "Shows progress bars.",
}
