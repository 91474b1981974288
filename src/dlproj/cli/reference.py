"""docs/settings.md, written from the settings classes: `python -m dlproj.cli.reference > docs/settings.md`."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any, get_args, get_type_hints

from dlproj.config.fields import Choice, help_of, members
from dlproj.config.layers import DenseConfig, InitializerConfig, RecurrentConfig
from dlproj.config.root import SCHEMAS, Config
from dlproj.config.search import SearchConfig
from dlproj.results import formats

_HEAD = """# Settings

Written from the settings classes by `make docs/settings.md`. Each is set as `SETTING=VALUE` behind `python train.py`;
`python train.py --help` shows those of your choices, with their values. A file under `conf/` can hold them, too.
"""


def page() -> str:
    """The whole document, as Markdown."""
    return "\n".join([_HEAD, *_root(), *(line for group in SCHEMAS for line in _group(group)), *_others(), *_choices()])


def _root() -> Iterator[str]:
    groups = {*SCHEMAS, "figures", "reference", "sweep"}
    yield from _section("## Of every run", Config, "", leave_out=groups)


def _group(group: str) -> Iterator[str]:
    """What all choices of a group share, then what each one has beside it."""
    base = get_type_hints(Config)[group]
    single = len(SCHEMAS[group]) == 1
    yield from _section(f"## {group}", base, f"{group}.")
    for name, cls in () if single else SCHEMAS[group].items():
        if cls is not base:
            yield from _section(f"### {group}: {name}", cls, f"{group}.", base)


def _others() -> Iterator[str]:
    yield from _section("## figures", get_type_hints(Config)["figures"], "figures.")
    yield from _section("## A layer of model.hidden, for mlp", DenseConfig, "")
    yield from _section("## A layer of model.hidden, for lstm, gru and simple_rnn", RecurrentConfig, "")
    yield from _section("## An initialiser", InitializerConfig, "")
    yield from _section("## Several runs, with -m", get_type_hints(Config)["sweep"], "sweep.")
    yield from _section("## Search, with -m hydra/sweeper=optuna", SearchConfig, "hydra.sweeper.")
    yield from _section("## What a document reports", get_type_hints(Config)["reference"], "reference.")


def _section(title: str, cls: type, prefix: str, base: type | None = None, leave_out: set[str] | None = None) -> list[str]:
    rows = [row for row in _rows(cls, prefix, _defaults(base) if base else {}) if row[0] not in (leave_out or ())]
    table = ["| setting | default | |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows), ""] if rows else []
    return [title, "", (cls.__doc__ or "").split("\n\n")[0], "", *table]
