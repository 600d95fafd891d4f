"""A process that DirectRunner starts: Beam's own worker, which leaves it to its caller to say what went wrong."""

from __future__ import annotations

import logging
import signal
import sys

if __name__ == "__main__":
    logging.disable(logging.ERROR)  # a failure reaches the caller, traceback and all
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is for the caller, whose end is the worker's
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)
