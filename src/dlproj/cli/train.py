"""Start of `python train.py`, before any slow import."""

from collections.abc import Sequence

from dlproj.launch import forget_ranks
from dlproj.start import end_on_ctrl_c, end_quickly, forget_other_tools, open_streams, wait_without_spinning


def start(name: str, arguments: Sequence[str] | None = None) -> None:
    """Train if `name` is that of a main module; in a process spawned by trainer=ddp, only prepare for it.

    arguments: None for those of sys.argv. Raises SystemExit: 1 for errors that the user can fix, 130 after Ctrl-C.
    """
    if name not in ("__main__", "__mp_main__"):
        return
    end_on_ctrl_c()
    end_quickly()
    open_streams(keep_going=True)
    forget_other_tools()
    forget_ranks()
    wait_without_spinning()
    if name == "__main__":
        from dlproj.cli.job import main

        main(arguments)


start(__name__)
