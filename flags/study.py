"""Study: a grid of experiments."""

HELP = {
    "out": "Folder of the study: its runs, its scores, its log files, and study.json with what was found.",
    "jobs": "Experiments at a time; each gets its part of the CPU cores.",
    "dry_run": "Lists the cells and runs none.",
}
