import pytest

from dlproj.reports.scales import in_order, scale


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 0.001, 0.01], "log"),
        ([16, 32, 64, 128], "log"),
        ([10, 100], "log"),
        ([0.1, 0.2, 0.3], "linear"),
        ([0.0, 0.3], "linear"),
        ([0.0, 0.25, 0.5], "linear"),
        ([-1, 0, 1], "linear"),
        ([32, 64], "linear"),
        ([0.0, 0.0001, 0.001, 0.01], "categories"),
        (["adam", "sgd"], "categories"),
        ([0.1, "null"], "categories"),
        ([5], "categories"),
        ([], "categories"),
    ],
)
def test_an_axis_follows_the_spacing_of_its_values(values, expected):
    assert scale(values) == expected


def test_numbers_come_by_size_and_before_words():
    assert in_order(value for value in ["b", 10, 9.5, "a", 10]) == [9.5, 10, "b", "a"]
