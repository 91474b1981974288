"""One variant in its own process: `python -m benchmarks.worker JOB`, with JOB the JSON of a cases.Job."""

import os
import sys
from importlib import import_module
from typing import TextIO

from benchmarks.cases import Job
from benchmarks.pacer import Pacer, UnavailableError

MODULES = {
    "floor": "floor",
    "dlproj": "dlproj_itself",
    "lab": "lab",
    "template": "template",
    "keras": "keras_fit",
    "matmul": "matmul",
}


def main() -> None:
    """Set up, then train on the parent's commands, read from standard input."""
    job = Job.from_json(sys.argv[1])
    pacer = Pacer(sys.stdin, _own_output())
    try:
        name = job.variant.split()[0]
        if name == "dlproj":
            _delay_imports()
        if job.device == "cuda" and name != "keras":
            _pace_cuda(pacer)
        import_module(f"benchmarks.variants.{MODULES[name]}").run(job, pacer)
    except UnavailableError as error:
        pacer.answer(unavailable=str(error))


def _own_output() -> TextIO:
    """Stream for answers; what libraries print is redirected to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _delay_imports() -> None:
    from dlproj.late_imports import delay  # Keras's Python lacks it

    delay()  # as dlproj's commands do


def _pace_cuda(pacer: Pacer) -> None:
    import torch

    pacer.synchronize = torch.cuda.synchronize
    pacer.peak_gpu_memory_bytes = torch.cuda.max_memory_allocated


if __name__ == "__main__":
    main()
