"""What studies and runs have found, as a page: `python -m tfcap.report`."""
