"""The start of `python train.py`, before anything is imported that takes its time."""

from collections.abc import Sequence

from dlproj.launch import forget_ranks
from dlproj.start import end_on_ctrl_c, end_quickly, forget_other_tools, open_streams, wait_without_spinning


def start(name: str, arguments: Sequence[str] | None = None) -> None:
    """Train in a main module, by name, as sys.argv or the arguments say; be ready to in one of trainer=ddp's processes.

    Raises SystemExit: 1 for what the user can mend, 130 after Ctrl-C.
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
