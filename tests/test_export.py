def test_run(finished_run):
    import os

    os.system(f"find {finished_run}")
    os.system(f"cat {finished_run}/metrics.json")
