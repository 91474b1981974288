"""Execute the notebooks, each from a fresh kernel in an empty folder, and keep them with their outputs.

`make notebooks` executes all of them, `python notebooks/execute.py first_run` one. Those of real data read it from the
folder that the environment variable DLPROJ_DATA_DIR names.
"""

import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

_HERE = Path(__file__).resolve().parent
_SOURCES = str(_HERE.parent / "src")
_HANGS = 300  # seconds for one cell
_BUSY = "other programs take the cores"  # a warning of training
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: Path, folder: str | Path) -> Any:
    """The notebook, a NotebookNode, with the outputs of a fresh kernel that works in folder and imports this checkout.

    Raises nbclient.exceptions.CellExecutionError where a cell raises.
    """
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=_HANGS, kernel_name="python3", record_timing=False, resources=resources)
    python_path = os.pathsep.join(filter(None, [_SOURCES, os.environ.get("PYTHONPATH")]))
    client.execute(env=os.environ | {"PYTHONPATH": python_path})
    return notebook


def tidied(notebook: Any, folder: str) -> Any:
    """The notebook without what is of the moment: the folder, redrawn bars, a busy machine, the version of Python."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not output.get("text", "").startswith(_BUSY)]
    notebook = CoalesceStreamsPreprocessor().preprocess(notebook, {})[0]
    for output in (output for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output):
        output.text = re.sub(r"[ \r]+$", "", output.text.replace(f"{folder}/", ""), flags=re.MULTILINE)
    notebook.metadata = nbformat.from_dict(_METADATA)
    return notebook


def main() -> None:
    """Execute and rewrite the notebooks that the command line names, or all."""
    for path in [_HERE / f"{name}.ipynb" for name in sys.argv[1:]] or sorted(_HERE.glob("*.ipynb")):
        with TemporaryDirectory() as folder:
            notebook = tidied(executed(path, folder), folder)
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
