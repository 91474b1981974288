"""`dlproj watch`: runs in a browser, while they train."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from dlproj.cli.options import chosen
from dlproj.config.checks import DataError, one_line


def watch(
    path: Annotated[
        Path, typer.Argument(help="a folder above the runs, or latest or best; logs may come later")
    ] = Path("logs"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one")] = 6789,
    host: Annotated[
        str, typer.Option(help="address to serve at; other than this machine's own, it takes a token")
    ] = "127.0.0.1",
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="open the page in a browser")] = False,
) -> None:
    """Show runs and sweeps in a web page while they train: curves, tables and reports.

    It only reads, and looks at the folder only while the page is open. Ctrl-C ends it.

    Example: `dlproj watch logs --open`
    """
    from dlproj.runs.choosing import LOGS
    from dlproj.watch.server import Server

    if str(path) in ("latest", "best"):
        path = chosen(path)
    if not path.is_dir() and (path.exists() or path.name != LOGS.name):
        problem = "is not a folder" if path.exists() else "does not exist"
        raise DataError(f"{path} {problem}: name one above the runs, such as logs")
    with Server(path, host, port) as server:
        print(one_line(f"{path} is shown at {server.url} until Ctrl-C"), flush=True)
        if open_browser:
            webbrowser.open(server.url)
        server.serve_forever()
