"""The command `dlproj`: registers its subcommands, one module per group, and runs them.

Heavy packages are imported inside functions, so that `dlproj runs` does not wait for torch.
"""

import sys
from typing import Annotated, Any

try:
    import typer

    from dlproj.cli import data, find, labs, push, runs, use, watch
    from dlproj.config.checks import UserError
    from dlproj.launch import forget_ranks
    from dlproj.start import end_quickly, forget_other_tools, open_streams, wait_without_spinning
except KeyboardInterrupt:
    sys.exit(130)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Train models, list and compare runs, and use trained models.\n\nExample: `dlproj report logs/runs`",
)
_ALL_ARGUMENTS: dict[str, Any] = {"ignore_unknown_options": True, "help_option_names": []}  # passed to the function


@app.command(context_settings=_ALL_ARGUMENTS)
def train(arguments: Annotated[list[str] | None, typer.Argument(metavar="SETTING=VALUE…")] = None) -> None:
    """Train, test and record one classifier, or several with -m, like train.py of a checkout.

    `dlproj train --help` lists the settings.

    Example: `dlproj train model=mlp optim=rmsprop`
    """
    from dlproj.cli.train import start

    start("__main__", arguments or [])


app.command()(use.evaluate)
app.command()(use.predict)
app.command()(use.export)
app.command()(runs.report)
app.command()(runs.runs)
app.command()(runs.resume)
app.command()(watch.watch)
app.command()(push.push)
app.command()(labs.reproduce)
app.command(context_settings=_ALL_ARGUMENTS)(labs.study)
app.add_typer(labs.bench, name="bench")
app.add_typer(data.app, name="data")
app.add_typer(find.app, name="find")


def main() -> None:
    """Run a subcommand. Exit code 0, 1 for errors that the user can fix, 2 for wrong usage, 130 after Ctrl-C."""
    end_quickly()
    open_streams()
    forget_other_tools()
    forget_ranks()
    wait_without_spinning()
    try:
        try:
            app()  # typer handles Ctrl-C, and a reader that ends early: `dlproj runs | head`
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        sys.exit(1)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        from dlproj.command_errors import in_one_line, is_user_error  # imports Hydra

        if not is_user_error(error):
            raise
        print(f"error: {in_one_line(error)}", file=sys.stderr)
        sys.exit(1)
