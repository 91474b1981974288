"""Whole files made into damaged and hostile ones, and what a reader has to do with them."""

import time
import unicodedata
from copy import deepcopy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlproj.config.checks import UserError

SECONDS = 5  # of processor time, which no input may take

# Each test tries a few inputs by default, and thousands in `make test-all`.
amounts = pytest.mark.parametrize(
    "examples", [pytest.param(100, id="few"), pytest.param(3000, id="thousands", marks=pytest.mark.slow)]
)


def fuzz(examples, **strategies):
    """Decorate a check with what it is to be tried on: it is called at once, with the same inputs each time."""
    repeatable = settings(
        max_examples=max(examples, 1),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    return lambda check: repeatable(given(**strategies)(check))()


def is_one_line(text):
    return text != "" and not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in text)


def read_or_refused(read, folder=None):
    """What read() returns, or None where it raises an UserError of one line; it leaves the folder as it was."""
    before = folder and sorted(folder.rglob("*"))
    started, words, result = time.process_time(), "fine", None
    try:
        result = read()
    except UserError as error:
        words = str(error)
    assert is_one_line(words)
    assert time.process_time() - started < SECONDS
    assert before == (folder and sorted(folder.rglob("*")))
    return result


@st.composite
def damaged(draw, whole):
    """The bytes after one to four accidents, more often near the start, where headers are."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, min(64, len(content))) | st.integers(0, len(content)))
        size = draw(st.integers(1, 8))
        other = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(["flip", "replace", "insert", "delete", "truncate", "splice", "number"])):
            case "flip" if place < len(content):
                content[place] ^= 1 << draw(st.integers(0, 7))
            case "replace":
                content[place : place + size] = draw(st.binary(min_size=size, max_size=size))
            case "insert":
                content[place:place] = draw(st.binary(max_size=16))
            case "delete":
                del content[place : place + size]
            case "truncate":
                del content[place:]
            case "splice":
                content[place:place] = content[other : other + 64]
            case "number":
                length = draw(st.sampled_from([1, 2, 4, 8]))
                odd = draw(st.sampled_from([0, 1, 2**31, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1]))
                order = draw(st.sampled_from(["big", "little"]))
                content[place : place + length] = (odd % 2 ** (8 * length)).to_bytes(length, order)
    return bytes(content)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


ODD = [
    *(None, True, False, 0, 1, -1, 2, 2**31, 2**63, 2**64, 10**400, -(10**30), 0.5, -0.0, 1e-320, 1e308),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "x", "a\nb", "a\x85b\u2028c", "\x00", "\x1b[31m"),
    *("\ud800", "x" * 5000, "1e5", "nan", "../..", "/dev/null", "${seed}", "${a.b", "${oc.env:HOME}"),
    *("${oc.env:NONE}", "${x:y}", "???", "2001-99-99", "\\", "'", '"', [], {}, [[]], [None], [1, "a"], {"": 0}),
    *({"a\nb": {"c": None}}, {"x": 1}, nested(60), nested(300)),
]
NAMES = ["", "x", "a\nb", "-1", "1e3", "\x1b", "\ud800"]
odd = st.sampled_from(ODD).map(deepcopy)


def _places(value, above=()):
    yield above
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in below:
        yield from _places(one, (*above, key))


@st.composite
def changed(draw, whole):
    """Containers after one to three entries were replaced, left out, added or renamed."""
    content = deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from([place for place in _places(content) if place] or [(None,)]))
        if last is None:
            return draw(odd)
        holder = content
        for key in above:
            holder = holder[key]
        match draw(st.sampled_from(["replace", "replace", "delete", "add", "rename"])):
            case "replace":
                holder[last] = draw(odd)
            case "delete":
                del holder[last]
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(["", "x", "a\nb", "\x1b", "\ud800", "seed", "folder", "9" * 5000]))] = draw(
                    odd
                )
            case "rename" if isinstance(holder, dict):
                holder[draw(st.sampled_from(NAMES))] = holder.pop(last)
            case _:
                holder[last] = draw(odd)
    return content
