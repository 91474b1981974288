"""What data sets that come as files share."""

import pwd
from pathlib import Path

import pytest

from dlproj.config.checks import DataError
from dlproj.data.data_files import data_root


def test_the_home_folder_is_where_the_shell_has_it(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert data_root("~/data") == Path("/somewhere/data")


def test_a_user_without_a_home_folder_is_told_to_write_the_whole_path(monkeypatch):
    def unknown(*user):
        raise KeyError("no such user")

    monkeypatch.delenv("HOME")
    for name in ("getpwuid", "getpwnam"):
        monkeypatch.setattr(pwd, name, unknown)
    for root in ("~", "~/data", "~nobody_of_that_name/data"):
        with pytest.raises(DataError, match=rf"^data\.root={root} cannot be found \(.*\): write the full path$"):
            data_root(root)
