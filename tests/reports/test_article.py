"""Tables of articles: cells for people and rows for programs from the same values."""

import pytest

from dlproj.reports.article import Column, Table


@pytest.mark.parametrize(
    ("column", "row", "cell"),
    [
        (Column("largest output", ".1e"), {"largest_output": 0.00123}, "1.2e-03"),
        (Column("median (ms)", ".3f", "median_seconds", 1e3), {"median_seconds": 0.0123456}, "12.346"),
        (Column("layer"), {"layer": "784 → 256"}, "784 → 256"),
        (Column("steps", ","), {"steps": 12345}, "12,345"),
        (Column("MB", lambda count: f"{count / 1e6:.1f}", "bytes"), {"bytes": 2_500_000}, "2.5"),
        (Column("ratio", ".2f", lambda row: row["a"] / row["b"]), {"a": 3, "b": 4}, "0.75"),
        (Column("reported", ".2%", "accuracy"), {"accuracy": None}, "–"),
    ],
)
def test_a_cell_is_the_rows_value_as_people_read_it(column, row, cell):
    assert column.cell(row) == cell


def test_values_become_rows_by_the_columns_keys_and_computed_columns_are_for_people_alone():
    columns = [
        Column("net"),
        Column("time (ms)", ".1f", "seconds", 1e3),
        Column("twice", "g", lambda r: 2 * r["seconds"]),
    ]
    table = Table.of_values([("a", 0.5)], columns, "times")
    assert table == Table(("net", "time (ms)", "twice"), [("a", "500.0", "1")], "times", [{"net": "a", "seconds": 0.5}])


def test_a_value_too_few_is_an_error():
    with pytest.raises(ValueError, match="shorter"):
        Table.of_values([("a",)], [Column("net"), Column("seconds")])
