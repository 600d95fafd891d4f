"""The other process of `serving_latency`: it knows TensorFlow and a SavedModel, and nothing of the project.

    python benchmarks/serving_client.py SAVED_MODEL PICTURE

Reads a number of calls from each line of stdin and answers with a line of JSON: the milliseconds of each call. Its
first line, before any question, says what loading took.
"""

import json
import resource
import sys
import time

began = time.perf_counter()
import tensorflow as tf  # noqa: E402

imported = time.perf_counter()


def main() -> None:
    """Loads the model, answers until stdin ends."""
    folder, picture = sys.argv[1:]
    caption = tf.saved_model.load(folder).signatures["serving_default"]
    loaded = time.perf_counter()
    with open(picture, "rb") as file:
        encoded = file.read()

    def call() -> str:
        return caption(image_bytes=tf.constant([encoded]))["caption"].numpy()[0].decode()

    text = call()
    answered = time.perf_counter()
    seconds = {"import": imported - began, "load": loaded - imported, "first_call": answered - loaded}
    say({"caption": text, "seconds": {name: round(value, 3) for name, value in seconds.items()}})
    for line in sys.stdin:
        milliseconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            call()
            milliseconds.append(1000 * (time.perf_counter() - start))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        foreign = sorted({name.split(".")[0] for name in sys.modules} & {"tfcap", "keras"})
        say({"milliseconds": milliseconds, "peak_memory_mib": round(peak, 1), "also_imported": foreign})


def say(answer: object) -> None:
    """Writes one line of JSON."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
