"""Image files decoded once into a memory-mapped file, which is known by their names, sizes and times."""

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dlproj.data.data_files import brief
from dlproj.data.decoding import FIRST_FRAME, decode, decode_into
from dlproj.data.mapped_files import Kept, keeping, kept

_log = logging.getLogger(__name__)
_FORMAT = 1  # to be raised where decoding changes


class DecodedOnce(NamedTuple):
    """The pixels of N image files, in memory or in a mapped file."""

    pixels: Tensor  # uint8 (N, channels, height, width)
    several: int  # files with several frames or pages, of which the first was read
    problems: list[str]  # per file: why it could not be read, else ""; pixels are then not to be used
    kept: Kept | None = None


class _UnreadableError(Exception):
    """Some of the files cannot be decoded."""


def decode_once(root: Path, paths: Sequence[str], shape: tuple[int, ...], background: int) -> DecodedOnce:
    """Decode the files below root, or open what an earlier run has decoded. See decode() for the images."""
    key, whole = _key(root, paths, shape, background), (len(paths), *shape)
    if found := kept(key, whole):
        return DecodedOnce(found.array, _number(found), [], found)
    about = {"source": str(root.absolute()), "images": len(paths), "several": 0}
    problems: list[str] = []
    try:
        with keeping(key, whole, about) as pixels:
            conversions, problems = decode_into(pixels, [*map(Path, paths)], background)
            about["several"] = _several(conversions)
            if any(problems):
                raise _UnreadableError
        made = kept(key, whole)
    except _UnreadableError:
        return DecodedOnce(torch.empty(0), 0, problems)
    except OSError as error:
        advice = "set DLPROJ_CACHE_DIR to a folder with room, or data.cache=never"
        _log.warning("the decoded images are not kept for later (%s): %s", brief(error), advice)
        made = None
    if made is None:
        return decode_in_memory(paths, shape, background)
    return DecodedOnce(made.array, _number(made), [], made)


def decode_in_memory(paths: Sequence[str], shape: tuple[int, ...], background: int) -> DecodedOnce:
    """Decode the files, and keep nothing."""
    decoded = decode([*map(Path, paths)], shape, background)
    return DecodedOnce(decoded.pixels, _several(decoded.conversions), decoded.problems)


def _number(made: Kept) -> int:
    several = made.about.get("several")
    return several if isinstance(several, int) else 0


def _several(conversions: Sequence[str]) -> int:
    return sum(FIRST_FRAME in conversion for conversion in conversions)


def _key(root: Path, paths: Sequence[str], shape: tuple[int, ...], background: int) -> str:
    from PIL import __version__  # whose decoders may change

    digest = hashlib.sha256(f"{_FORMAT} {__version__} {shape} {background}".encode())
    above = f"{root}{os.sep}"
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:  # decoding will say why
            size, time = -1, 0
        else:
            size, time = status.st_size, status.st_mtime_ns
        digest.update(f"{path.removeprefix(above)}\0{size} {time}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]
