"""`python train.py --help`: all choices, and the settings that the typed ones come to."""

import pytest
from hydra.errors import ConfigCompositionException

from dlproj.cli.help import asks_for_help, choices, help_text
from dlproj.config.places import CONF


def test_every_file_of_conf_is_listed_under_its_group():
    listed = choices([CONF])
    names = {f"{group.removeprefix('+')}/{name}" for group, names in listed.items() for name in names}
    files = {str(file.relative_to(CONF).with_suffix("")) for file in CONF.glob("*/**/*.yaml")}
    assert names == {file for file in files if "/_" not in file}
    assert {group for group in listed if group.startswith("+")} == {"+experiment", "+search", "+trial"}


def test_files_of_ones_own_are_listed_with_the_others(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/wide.yaml").write_text("hidden: [3000]\n")
    assert choices([CONF, tmp_path])["model"] == ["gru", "lstm", "mlp", "simple_rnn", "wide"]


def test_the_settings_are_those_of_the_typed_choices():
    text = help_text(["--help", "model=lstm", "model.embedding_dim=7"])
    assert "  cell: lstm\n" in text
    assert "  embedding_dim: 7\n" in text
    assert "  cell: " not in help_text(["--help"])


def test_what_cannot_be_composed_is_refused():
    with pytest.raises(ConfigCompositionException, match="dropuot"):
        help_text(["--help", "model.dropuot=0.1"])


@pytest.mark.parametrize(
    ("arguments", "asked"), [(["-h"], True), (["model=lstm", "--help"], True), (["seed=1"], False)]
)
def test_help_is_asked_for_anywhere_on_the_line(arguments, asked):
    assert asks_for_help(arguments) is asked
