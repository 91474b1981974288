"""Files that torch.save wrote, read as data: they run nothing, and ask for no more memory than they are long."""

import pickletools
import re
import warnings
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import torch
from torch import Tensor

from dlproj.library_internals.torch_internals import REBUILDERS

# What plain containers and tensors are made of. weights_only knows more, such as a bytearray of any length.
_NAMES = re.compile(
    rf"torch \w+|{'|'.join(map(re.escape, REBUILDERS))}|torch\.(serialization|storage) \w+"
    r"|collections (OrderedDict|defaultdict|Counter)|_codecs encode|(builtins|__builtin__) (dict|int|set|complex)"
)


def load_plain(path: Path) -> Any:
    """What the file holds, on the CPU. Raises nearly anything on a damaged or hostile one."""
    with ZipFile(path) as file:
        members = file.infolist()
        if any(one.compress_type != ZIP_STORED for one in members):  # torch packs nothing, and would unpack any size
            raise ValueError("its parts are packed")
        if name := file.testzip():  # torch does not notice a flipped byte
            raise ValueError(f"its part {name} is not as it was written")
        for one in members:
            if one.filename.endswith(".pkl"):
                _check_names(file.read(one))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, on files that are none of its own
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_names(pickled: bytes) -> None:
    for operation, name, _ in pickletools.genops(pickled):
        if operation.name in ("GLOBAL", "INST", "STACK_GLOBAL") and not _NAMES.fullmatch(str(name)):
            raise ValueError(f"it holds {name}, no plain data")


def is_whole(tensor: Any) -> bool:
    """Whether it is a tensor with memory for each of its values: one value can be made to look like any number."""
    return isinstance(tensor, Tensor) and tensor.is_contiguous()
