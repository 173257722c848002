"""The bench's rows: quantiles, the printed table, the CSV record. No time is asserted."""

import csv

from app.evaluate.bench import Row, record, table


def test_quantiles_of_eleven_values_are_its_second_sixth_and_tenth():
    values = (5.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0, 10.0)
    assert Row("x", "s", values).spread == (1.0, 5.0, 9.0)


def test_one_value_is_its_own_quantiles():
    assert Row("x", "s", (2.5,)).spread == (2.5, 2.5, 2.5)


def test_table_shows_name_median_and_unit():
    assert "index" in (text := table([Row("index", "s", (1.0, 2.0, 3.0))]))
    assert "2.00" in text and text.endswith(" s")


def test_record_appends_with_one_header(tmp_path):
    path = tmp_path / "deep" / "rows.csv"
    record([Row("index", "s", (1.0, 2.0, 3.0))], path)
    record([Row("peak memory", "GB", (1.5,))], path)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["index", "peak memory"]
    assert rows[0]["median"] == "2" and rows[0]["n"] == "3" and rows[0]["cpu"]
