"""The command `dlproj`: one thin function a subcommand, which reads run folders and never the training code's insides.

Heavy packages are imported inside the functions, so that `dlproj runs` does not wait for torch.
"""

import os
import sys

import typer

from dlproj.settings import UserError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Look at runs, compare them, and use what they have learnt. Runs are made by `python train.py`.",
)


def main() -> None:
    """Run a subcommand: exit code 0, 1 for what the user can mend, 2 for wrong usage, 130 after Ctrl-C."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `dlproj runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
