from tfcap.reporting.tables import metrics_table

METRICS = {
    "BLEU-1": {"value": 0.471, "low": 0.449, "high": 0.495},
    "BLEU-4": {"value": 0.05, "low": 0.0399, "high": 0.0601},
    "METEOR": None,
    "ROUGE-L": {"value": 0.448, "low": 0.44, "high": 0.456},
    "CIDEr": {"value": 1.25, "low": 1.2, "high": 1.3},
    "METEOR_missing": "METEOR needs Java, which is absent. Install a Java runtime (8 or later).",
    "examples_total": 8000,
    "examples_kept": 6000,
    "steps_per_second": 12.34,
    "images_per_second": 1234.5,
    "train_seconds": 754.0,
    "scoring_seconds": 9.0,
    "tokenizer": "ptb-regex",
}


def test_the_whole_table():
    assert metrics_table(METRICS) == "\n".join(
        [
            "metric   x 100  95 % interval",
            "BLEU-1    47.1  [44.9, 49.5]",
            "BLEU-4     5.0  [4.0, 6.0]",
            "METEOR       -",
            "ROUGE-L   44.8  [44.0, 45.6]",
            "CIDEr    125.0  [120.0, 130.0]",
            "  METEOR needs Java, which is absent. Install a Java runtime (8 or later).",
            "",
            "images kept  6,000 of 8,000 (75.0 %)",
            "training     12.6 min",
            "scoring      0.15 min",
            "speed        1,234.5 images/s, 12.3 steps/s",
            "tokenizer    ptb-regex",
        ]
    )


def test_a_long_reason_is_wrapped_to_eighty_columns_and_names_its_metric():
    reason = "the jar did not answer\n" + "because of something long " * 20
    table = metrics_table({**METRICS, "METEOR_missing": reason})
    assert max(map(len, table.splitlines())) <= 80
    assert "  METEOR: the jar did not answer because of" in table


def test_a_measured_meteor_has_no_reason():
    metrics = {**METRICS, "METEOR": {"value": 0.25, "low": 0.24, "high": 0.26}}
    del metrics["METEOR_missing"]
    assert "METEOR    25.0  [24.0, 26.0]" in metrics_table(metrics)
    assert "Java" not in metrics_table(metrics)


def test_a_metric_added_later_has_its_row():
    assert "SPICE     20.0" in metrics_table({**METRICS, "SPICE": {"value": 0.2, "low": 0.1, "high": 0.3}})


def test_a_value_without_an_interval_and_a_run_without_costs():
    assert metrics_table({"CIDEr": {"value": 0.5}}).splitlines() == ["metric  x 100  95 % interval", "CIDEr    50.0"]


def test_what_was_not_measured_has_no_line():
    table = metrics_table({**METRICS, "scoring_seconds": None, "images_per_second": None})
    assert "scoring" not in table
    assert "speed        12.3 steps/s" in table


def test_times_keep_a_digit_that_says_something():
    def training(seconds):
        return metrics_table({"CIDEr": {"value": 0.5}, "train_seconds": seconds}).splitlines()[-1]

    assert training(0.0) == "training  0.0 min"
    assert training(0.1) == "training  < 0.01 min"
    assert training(30.0) == "training  0.50 min"
    assert training(120_000.0) == "training  2,000.0 min"


def test_the_weights_that_train_are_counted():
    assert "weights trained" not in metrics_table(METRICS)
    assert "1,000 of 2,500 weights" in metrics_table({**METRICS, "parameters": 2500, "parameters_trained": 1000})
    assert "all 2,500 weights" in metrics_table({**METRICS, "parameters": 2500, "parameters_trained": 2500})


def test_of_classes_the_accuracy_is_shown_and_each_class_in_brief():
    one = {"value": 0.7123, "low": 0.7, "high": 0.72}
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    by_class = {name: {"value": place / 10, "low": 0.0, "high": 1.0} for place, name in enumerate(names)}
    lines = metrics_table({"accuracy": one, "per_class": by_class, "tokenizer": "classes"}).splitlines()
    assert lines[:3] == ["metric       %  95 % interval", "accuracy  71.2  [70.0, 72.0]", ""]
    assert lines[3].startswith("by class: airplane 0.0, automobile 10.0") and lines[-1].endswith("truck 90.0")
    assert len(lines) == 5 and all(len(line) <= 80 for line in lines)
