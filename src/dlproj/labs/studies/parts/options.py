"""Options that several studies have, as typer reads them."""

from typing import Any

import typer

from dlproj.config.checks import LARGEST_SEED


def count(help: str, least: int = 1, most: int = 1_000_000) -> Any:
    """A whole number in [least, most]."""
    return typer.Option(min=least, max=most, help=help)


def seed_option(help: str) -> Any:
    """A seed of random generators."""
    return count(help, 0, LARGEST_SEED)
