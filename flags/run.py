"""Run: where results go, and what makes them repeatable."""

HELP = {
    "run_dir": "Folder of the run; default runs/<dataset>-<model>-<selector>-<fraction>-s<seed>.",
    "scoring_dir": "Folder where runs share scoring captioners and scores, each made by the first that needs it; by"
    " itself every run makes its own.",
    "seed": "Seed of initial weights, order, captions drawn, augmentation and dropout.",
    "resume": "Continues an existing run with the same settings; --noresume starts it afresh.",
    "progress": "Shows progress bars.",
    "tracker": "Where training, validation and the final metrics are shown as well. wandb: in the run's folder, offline"
    " unless WANDB_MODE says otherwise; mlflow: in mlflow.db beside the run's folder, or at MLFLOW_TRACKING_URI. One"
    " that fails is left out with a warning, and training goes on.",
}
