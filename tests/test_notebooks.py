"""The notebooks: executed from a fresh kernel, and the outputs that are kept in their files."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = [path.stem for path in sorted(FOLDER.glob("*.ipynb"))]
DATA = {"lab_reproduced": "FashionMNIST", "recurrent_networks": "aclImdb"}
ANSI = "\x1b["
# Folders of the machine that executed the notebooks; a page in a frame has its quotes escaped
PATHS = re.compile(r"(?<![\w./])/(?:home|root|tmp|usr|var|work|Users)/")


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def execute():
    """Call with a name and a folder: the notebook, executed from a fresh kernel that works there."""
    sys.path.insert(0, str(FOLDER))
    from execute import executed, tidied

    yield lambda name, folder: tidied(executed(FOLDER / f"{name}.ipynb", folder), str(folder))
    sys.path.remove(str(FOLDER))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def streams(cells, name):
    found = [output for cell in cells for output in cell.outputs if output.get("name") == name]
    return "".join(output.text for output in found)


def texts(output):
    """All that an output says, pictures aside."""
    data = output.get("data", {})
    return [output.get("text", ""), *(text for kind, text in data.items() if not kind.startswith("image/"))]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_is_small_complete_and_of_no_machine(name):
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 400_000
    notebook = read(name)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert kinds <= {"display_data", "execute_result", "stream"}
    check(cells)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_installs_what_is_missing_and_says_nothing_where_it_is_there(name):
    first = code_cells(read(name))[0]
    assert "except ImportError" in first.source
    assert "%pip install" in first.source
    assert first.outputs == []


@pytest.mark.parametrize("name", NAMES)
def test_links_to_other_notebooks_lead_somewhere(name):
    words = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
    for link in re.findall(r"\]\((\w+\.ipynb)\)", words):
        assert (FOLDER / link).is_file()


def test_the_guide_names_every_notebook():
    guide = (FOLDER.parent / "docs/notebooks.md").read_text(encoding="utf-8")
    assert sorted(set(re.findall(r"notebooks/(\w+)\.ipynb", guide))) == NAMES


def said_by(notebook, source):
    """What the cell with this text in it prints or shows, as plain text."""
    [cell] = [cell for cell in code_cells(notebook) if source in cell.source]
    return "\n".join(output.get("text", "") or output.data.get("text/plain", "") for output in cell.outputs)


def pictures(notebook):
    return sum("image/png" in output.get("data", {}) for cell in code_cells(notebook) for output in cell.outputs)


def check(cells):
    """Nothing to warn of, and no trace of a terminal."""
    assert streams(cells, "stderr") == ""
    said = "\n".join(text for cell in cells for output in cell.outputs for text in texts(output))
    assert ANSI not in said
    assert "\r" not in said
    assert not PATHS.findall(said)


def test_first_run(execute, tmp_path):
    notebook = execute("first_run", tmp_path)
    check(code_cells(notebook))
    assert float(said_by(notebook, "test images are right").split("%")[0]) > 90
    assert pictures(notebook) == 2  # each plot once
    assert said_by(notebook, 'optim="adam", max_epochs=5)').count("epoch ") == 5  # a line each
    assert re.findall(r"^epoch_?\S*|^\d  +(\d)", said_by(notebook, "run.predict"), re.M)[:5] == [
        "0",
        "1",
        "2",
        "3",
        "4",
    ]
    assert len(list((tmp_path / "logs/runs").iterdir())) == 2
    [frame] = [output.data["text/html"] for output in code_cells(notebook)[-1].outputs]
    assert frame.startswith("<iframe")


@pytest.mark.slow
def test_which_activation(execute, tmp_path):
    notebook = execute("which_activation", tmp_path)
    check(code_cells(notebook))
    printed = said_by(notebook, "dlproj.sweep(")
    assert printed.count("test accuracy") >= 15
    best = re.search(r"^best: val/loss [\d.]+, mean of 3 seeds", printed, re.M)
    assert best
    command = printed[best.end() :]
    leader = said_by(notebook, "leads").split()[0]
    assert f"model.activation={leader} " in command  # dlproj's verdict and the notebook's are one
    assert said_by(notebook, "groupby").splitlines()[-1].startswith("sigmoid")  # far behind, as the text has it
    assert pictures(notebook) == 2


@pytest.mark.slow
def test_your_own_data(execute, tmp_path):
    notebook = execute("your_own_data", tmp_path)
    check(code_cells(notebook))
    for samples in ("images", "wines"):
        assert float(said_by(notebook, f"test {samples} are right").split("%")[0]) > 90
    assert float(said_by(notebook, "cross_val_score(").split("%")[0]) > 90
    assert said_by(notebook, "glob(").count("seven  ") >= 2


@pytest.mark.slow
def test_recurrent_networks(execute, real, tmp_path):
    real(DATA["recurrent_networks"])
    notebook = execute("recurrent_networks", tmp_path)
    check(code_cells(notebook))
    rows = [line.split() for line in said_by(notebook, "dlproj.compare(").splitlines()[1:]]
    found = {row[1]: float(row[3]) for row in rows}
    assert set(found) == {"simple", "lstm", "gru"}
    assert min(found["lstm"], found["gru"]) > found["simple"] > 0.5
    praise, pan = said_by(notebook, "predict(").splitlines()[1:3]
    assert "positive" in praise
    assert "negative" in pan


@pytest.mark.slow
def test_lab_reproduced(execute, real, tmp_path):
    real(DATA["lab_reproduced"])
    notebook = execute("lab_reproduced", tmp_path)
    check(code_cells(notebook))
    assert float(re.search(r"([\d.]+) points", said_by(notebook, "largest difference")).group(1)) < 1.5
    assert "tanh scores highest of the five activations" in str(code_cells(notebook)[-1].outputs)
