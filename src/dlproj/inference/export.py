"""Export of a run's model to a file that needs no dlproj: stored inputs to class probabilities."""

import importlib
import json
import os
import uuid
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from dlproj.config.checks import UserError
from dlproj.config.data import Kind
from dlproj.data.base import DataModule
from dlproj.data.data_files import brief
from dlproj.file_systems import why
from dlproj.inference.trained import LoadedRun
from dlproj.models.losses import class_probabilities
from dlproj.runs.manifest import OVERWRITE, add, content_hash, refuse_foreign

INPUT, OUTPUT, DETAILS = "input", "probabilities", "dlproj.json"
_CHECKED = (1, 2, 7, 64)  # batch sizes at which the file is compared with the model
_TOLERANCE = 1e-4  # for a probability: its float32 sums have errors of about 1e-6, with unscaled pixels 1e-5


class Format(Enum):
    """The file format of an exported model."""

    onnx = "onnx"
    exported_program = "exported_program"


_EXTENSIONS = {Format.onnx: "onnx", Format.exported_program: "pt2"}


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported and checked file."""

    path: Path
    inputs: str  # name, dtype and shape
    outputs: str
    largest_difference: float  # between its outputs and the model's own


class _Deployable(nn.Module):
    """Maps stored inputs (B, …) to class probabilities (B, classes), in 32-bit arithmetic."""

    def __init__(self, trained: LoadedRun) -> None:
        super().__init__()
        self.network = deepcopy(trained.model).float()
        self.transform = trained.data.transform

    def forward(self, stored: Tensor) -> Tensor:
        """Scale stored inputs as in training, and classify them."""
        return class_probabilities(self.network(self.transform(stored)), self.network.activation)


def export(trained: LoadedRun, format: Format, output: Path | None = None, overwrite: bool = False) -> Exported:
    """Write the model to a file, by default export/model.onnx or .pt2 in the run's folder, and check it.

    The file holds one function, `probabilities` (B, classes) of `input` (B, …) for any B, including the scaling of
    stored pixels, and metadata as JSON: classes, and for texts the vocabulary. Raises UserError if packages are
    missing, if the model cannot be exported or its outputs differ, or if a file that dlproj did not write exists and
    overwrite is false.
    """
    own = f"export/model.{_EXTENSIONS[format]}"
    path = output or trained.folder / own
    folder, name = (path.parent, path.name) if output else (trained.folder, own)
    if path.is_dir():
        raise UserError(f"{path} is a folder: set --output to a file in it, such as {path / 'model'}")
    if not overwrite:
        refuse_foreign(folder, [name], OVERWRITE)
    if format is Format.onnx:
        _require_packages()
    module = _Deployable(trained).eval()
    beside = path.with_name(f".{uuid.uuid4().hex}.{_EXTENSIONS[format]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(module, trained, format, beside)
        difference = _compare(module, _run_of(format, beside), trained.data)
        add(folder, {name: ""})
        os.replace(beside, path)
        add(folder, {name: content_hash(path.read_bytes())})
    except OSError as error:
        raise UserError(f"{path} cannot be written ({why(error)}): set --output to another file") from error
    finally:
        if beside.exists():
            beside.unlink()
    example = stored_examples(trained.data, 1)
    inputs = f"{INPUT}: {_described(example)}"
    return Exported(path, inputs, f"{OUTPUT}: float32 (batch, {len(trained.model.classes)})", difference)


def _described(example: Tensor) -> str:
    shape = ", ".join(["batch", *map(str, example.shape[1:])])
    return f"{str(example.dtype).removeprefix('torch.')} ({shape})"


def _require_packages() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(f"--format onnx needs the package {name}: pip install 'dlproj[onnx]'") from error


def _write(module: _Deployable, trained: LoadedRun, format: Format, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own deprecations
            program = _program(module, stored_examples(trained.data, 3))
            if format is Format.onnx:
                _save_onnx(program, path, details(trained))
            else:
                torch.export.save(program, path, extra_files={DETAILS: json.dumps(details(trained))})
    except OSError:
        raise
    except Exception as error:  # the exporters raise almost any exception on unsupported models
        raise UserError(
            f"this model cannot be exported as {format.value} ({brief(error)}): try the other --format, or "
            "use dlproj predict"
        ) from error


def _program(module: _Deployable, example: Tensor) -> ExportedProgram:
    return torch.export.export(module, (example,), dynamic_shapes=({0: Dim("batch")},))


def _save_onnx(program: ExportedProgram, path: Path, about: dict[str, Any]) -> None:
    import onnx

    names: dict[str, Any] = {"input_names": [INPUT], "output_names": [OUTPUT]}
    shapes = ({0: "batch"},)
    written = torch.onnx.export(program, (), dynamo=True, dynamic_shapes=shapes, verbose=False, **names)
    assert written is not None
    model = written.model_proto
    onnx.helper.set_model_props(model, {DETAILS: json.dumps(about)})
    onnx.save(model, path)


def details(trained: LoadedRun) -> dict[str, Any]:
    """Return the metadata that a program needs to use the function, as plain containers."""
    state = trained.data.state_dict()
    plain = {name: value for name, value in state.items() if not isinstance(value, Tensor)}
    return {"name": trained.config.name, "weights": trained.weights} | plain.pop("spec") | plain


def _run_of(format: Format, path: Path) -> Callable[[Tensor], np.ndarray]:
    """Load the function that the file holds."""
    if format is Format.exported_program:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch 2.11 warns about reading its own files
            module = torch.export.load(path).module()
        return lambda inputs: module(inputs).numpy(force=True)
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run([OUTPUT], {INPUT: inputs.numpy()})[0]


@torch.no_grad()
def _compare(module: _Deployable, run: Callable[[Tensor], np.ndarray], data: DataModule) -> float:
    """Return the largest difference of outputs over several batch sizes. Raises UserError if it is too large."""
    differences = []
    for size in _CHECKED:
        inputs = stored_examples(data, size)
        differences.append(float(np.abs(run(inputs) - module(inputs).numpy()).max()))
    if not np.max(differences) <= _TOLERANCE:
        raise UserError(
            f"the exported model differs from the run's by {max(differences):.1g} and was not kept: try "
            "the other --format, or use dlproj predict"
        )
    return max(differences)


def stored_examples(data: DataModule, count: int) -> Tensor:
    """Return random stored inputs (count, …), the same each time; word ids are padded like the data's."""
    random = np.random.default_rng(0)
    shape = (count, *data.spec.shape)
    if data.spec.kind is Kind.image:
        if data.pixel_dtype.is_floating_point:
            return torch.from_numpy(random.random(shape, np.float32) * data.largest_pixel)
        return torch.from_numpy(random.integers(0, int(data.largest_pixel), shape, endpoint=True).astype(np.uint8))
    if data.spec.kind is Kind.features:
        sizes = data.spec.category_sizes
        numbers = random.random((count, shape[1] - sum(sizes)), np.float32)
        ids = random.integers(0, sum(sizes), (count, len(sizes)), endpoint=True)  # as a table stores its categories
        return torch.from_numpy(np.hstack([numbers, ids.astype(np.float32)]))
    ids = random.integers(1, data.spec.vocabulary_size or 2, shape).astype(np.int32)
    lengths = random.integers(1, shape[1], (count, 1), endpoint=True)
    positions = np.arange(shape[1])[:: 1 if data.spec.padding == "post" else -1]
    return torch.from_numpy(np.where(positions < lengths, ids, 0))
