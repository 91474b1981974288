"""Read files of torch.save() as plain data: no code is run, and the file's size bounds the memory."""

import pickletools
import re
import warnings
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import torch
from torch import Tensor

from dlproj.library_internals.torch_internals import REBUILDERS

# Names in pickles of plain containers and tensors. weights_only allows more, such as a bytearray of any length.
_NAMES = re.compile(
    rf"torch \w+|{'|'.join(map(re.escape, REBUILDERS))}|torch\.(serialization|storage) \w+"
    r"|collections (OrderedDict|defaultdict|Counter)|_codecs encode|(builtins|__builtin__) (dict|int|set|complex)"
)


def load_plain(path: Path) -> Any:
    """Load the file's content to the CPU. A damaged or hostile file can raise nearly any exception."""
    with ZipFile(path) as file:
        members = file.infolist()
        if any(member.compress_type != ZIP_STORED for member in members):  # torch does not pack, but unpacks any size
            raise ValueError("its parts are packed")
        if name := file.testzip():  # torch does not notice a flipped byte
            raise ValueError(f"its part {name} is not as it was written")
        for member in members:
            if member.filename.endswith(".pkl"):
                _check_names(file.read(member))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about files of other programs
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_names(pickled: bytes) -> None:
    for operation, name, _ in pickletools.genops(pickled):
        if operation.name in ("GLOBAL", "INST", "STACK_GLOBAL") and not _NAMES.fullmatch(str(name)):
            raise ValueError(f"it holds {name}, no plain data")


def is_whole(tensor: Any) -> bool:
    """True for a tensor with memory for each value; strides can make one stored value look like any number of them."""
    return isinstance(tensor, Tensor) and tensor.is_contiguous()
