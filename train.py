"""Train, test and record one classifier, or several with -m: `python train.py model=mlp optim=rmsprop`."""

import os
import sys

if __name__ == "__main__" and sys.path[0] == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]  # a random.py beside this file is the user's, and not what others mean by that name

from dlproj.start import end_on_ctrl_c, forget_other_tools, open_streams, raise_on_ctrl_c

if __name__ in ("__main__", "__mp_main__"):  # or in a process that one of trainer=ddp has spawned
    end_on_ctrl_c()
    open_streams(keep_going=True)
    forget_other_tools()

import atexit
import gc
import os
import signal
import sys
from pathlib import Path

exit_code: int | None = None  # unset: a traceback ends it


def leave() -> None:
    """The last thing at the end: what is imported is not freed piece by piece, which takes Python 1.5 seconds."""
    if exit_code is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    gc.unfreeze()  # or Triton's libraries report a leak


atexit.register(leave)  # the first to be registered is the last to be called
gc.disable()  # a seventh of the imports' time would go into searching for garbage among what stays

from dlproj.launch import forget_ranks, rank
from dlproj.results.pictures import start_ahead

forget_ranks()
if __name__ == "__main__" and not {"-m", "--multirun"} & set(sys.argv) and rank() == 0:
    start_ahead()  # matplotlib is imported by the one process while torch is by the other

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from dlproj.command import job_errors, one_line_errors, stamp
from dlproj.config import checked, register
from dlproj.results.table import show
from dlproj.run import run

register()
stamp()
gc.freeze()  # nor is it searched later
gc.enable()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(composed: DictConfig) -> None:
    """One run, in the folder that Hydra made for it."""
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    with job_errors(hydra_config, folder):
        result = run(checked(composed, hydra_config.mode is RunMode.RUN), folder, list(hydra_config.overrides.task))
        if rank() == 0:
            show(result)


if __name__ == "__main__":
    try:
        with one_line_errors():
            raise_on_ctrl_c()
            main()
        exit_code = 0
    except SystemExit as ended:
        exit_code = ended.code if isinstance(ended.code, int) else None
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left takes a moment, and would show a traceback
