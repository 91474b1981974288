"""`python train.py --help`: all choices, and the settings that the typed ones come to."""

import pytest
from hydra import compose
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from dlproj.cli.help import asks_for_help, choices, help_text
from dlproj.config.places import CONF
from dlproj.experiments import composing


def test_every_file_of_conf_is_listed_under_its_group():
    listed = choices([CONF])
    names = {f"{group.removeprefix('+')}/{name}" for group, names in listed.items() for name in names}
    files = {str(file.relative_to(CONF).with_suffix("")) for file in CONF.glob("*/**/*.yaml")}
    assert names == {file for file in files if "/_" not in file}
    assert {group for group in listed if group.startswith("+")} == {"+experiment", "+search", "+trial"}


def test_files_of_ones_own_are_listed_with_the_others(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/wide.yaml").write_text("hidden: [3000]\n")
    assert choices([CONF, tmp_path])["model"] == ["cnn", "custom", "gru", "lstm", "mlp", "simple_rnn", "wide"]


def test_the_settings_are_those_of_the_typed_choices():
    lines = help_text(["--help", "model=lstm", "model.embedding_dim=7"]).splitlines()
    assert "model.cell=lstm                         type of recurrent cell; simple, lstm or" in lines
    assert any(line.startswith("model.embedding_dim=7 ") for line in lines)
    assert "model.cell" not in help_text(["--help"])


def test_every_setting_of_a_run_is_there_as_it_is_typed():
    """The same composed settings, as Hydra's own tools flatten them."""
    with composing():
        settings = OmegaConf.to_container(compose("config"), enum_to_str=True)
    lines = help_text(["--help"]).splitlines()
    assert [name for name in flat(settings) if not any(line.startswith(f"{name}=") for line in lines)] == []


def flat(settings, prefix=""):
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        elif value is not None or "initializer" not in prefix:  # whose numbers are listed once
            yield prefix + key


def test_a_group_of_a_kind_explained_above_lists_what_is_set():
    lines = help_text(["--help", "model.bias_initializer={name: normal, std: 0.1}"]).splitlines()
    start = lines.index("model.bias_initializer: as model.weight_initializer")
    assert lines[start + 1 : start + 4] == ["model.bias_initializer.name=normal", "model.bias_initializer.std=0.1", ""]


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_help_texts_fit_the_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = help_text(["--help"]).splitlines()
    texts = [line for line in lines[lines.index("Settings, SETTING=VALUE, with these choices:") :] if line[:1] == " "]
    assert max(map(len, texts)) <= columns
    after = lines[next(i for i, line in enumerate(lines) if line.startswith("trainer.deterministic=true")) :]
    words = " ".join(" ".join(after[:5]).split()).removeprefix("trainer.deterministic=true ")
    assert words.startswith("use only operations whose results are the same to the bit every time")


def test_what_cannot_be_composed_is_refused():
    with pytest.raises(ConfigCompositionException, match="dropuot"):
        help_text(["--help", "model.dropuot=0.1"])


@pytest.mark.parametrize(
    ("arguments", "asked"), [(["-h"], True), (["model=lstm", "--help"], True), (["seed=1"], False)]
)
def test_help_is_asked_for_anywhere_on_the_line(arguments, asked):
    assert asks_for_help(arguments) is asked
