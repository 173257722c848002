"""Rows of the benches: quantiles, shares, the printed table, the record, README's table."""

import csv

import pytest

from app.bench.rows import Row, markdown, read, record, table


def test_quantiles_of_eleven_values_are_its_second_sixth_and_tenth():
    values = (5.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0, 10.0)
    assert Row("x", "s", values).spread == (1.0, 5.0, 9.0)


def test_one_value_is_its_own_quantiles():
    assert Row("x", "s", (2.5,)).spread == (2.5, 2.5, 2.5)


def test_table_shows_name_median_and_unit():
    assert "index" in (text := table([Row("index", "s", (1.0, 2.0, 3.0))]))
    assert "       2 " in text and text.endswith(" s")


def test_record_appends_with_one_header(tmp_path):
    path = tmp_path / "deep" / "rows.csv"
    record([Row("index", "s", (1.0, 2.0, 3.0))], path)
    record([Row("peak memory", "GB", (1.5,))], path)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["index", "peak memory"]
    assert rows[0]["median"] == "2" and rows[0]["n"] == "3" and rows[0]["cpu"]


def test_a_bound_and_a_peer_are_ratios_that_grow_with_speed():
    slow = Row("forward", "us", (200.0,), bound=50.0, peer=600.0)
    fast = Row("decode", "tokens/s", (200.0,), bound=250.0, peer=40.0)
    assert (slow.share, slow.speedup) == (0.25, 3.0)
    assert (fast.share, fast.speedup) == (0.8, 5.0)
    assert Row("x", "s", (1.0,)).share is Row("x", "s", (1.0,)).speedup is None


def test_table_shows_bound_and_peer():
    row = Row("forward", "us", (200.0,), "S 512", "bf16", 50.0, "bandwidth", 600.0, "theirs")
    assert "forward  S 512  bf16" in (text := table([row]))
    assert "25% of 50 (bandwidth)" in text and "3.00x theirs (600)" in text


def test_an_older_record_keeps_its_rows_and_gains_columns(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("date,cpu,name,median\n2026-01-01,old cpu,index,7\n")
    record([Row("index", "s", (2.0,), bound=1.0)], path)
    old, new = read(path)
    assert (old["cpu"], old["median"], old["share"]) == ("old cpu", "7", "")
    assert (new["median"], new["share"]) == ("2", "0.5")


def test_markdown_shows_the_newest_row_of_each_figure_and_machine():
    base = {"torch": "2.0", "triton": "3", "units": "avx2", "cores": "2", "date": "2026-01-02"}
    base |= {"name": "forward", "unit": "us", "q10": "1", "q90": "9"}
    other = base | {"cpu": "A", "gpu": "", "median": "5"}
    old = base | {"cpu": "A", "gpu": "G", "median": "8"}
    new = old | {"median": "4", "share": "0.5", "bound": "2", "speedup": "3", "peer_name": "P"}
    text = markdown({"kernels": [other, old, new | {"peer": "12"}]})
    assert text.count("| forward |") == 2 and "8 us" not in text
    assert "`python -m app bench kernels`, A (avx2), 2 cores, torch 2.0" in text
    assert "| forward |  | 4 us (1 to 9) | 50% of 2 | 3x P (12 us) |" in text


def test_every_bench_has_its_file():
    from importlib.util import find_spec

    from app.bench import BENCHES

    assert all(find_spec(f"app.bench.{name}") for name in BENCHES)


@pytest.mark.parametrize("repeats", [1, 4])
def test_calls_are_counted_and_timed(repeats):
    from app.bench.timing import cpu_seconds

    calls = []
    seconds = cpu_seconds(lambda: calls.append(1), repeats=repeats, warmup=2)
    assert len(calls) == repeats + 2 and len(seconds) == repeats


def test_markdown_leaves_out_a_spread_that_no_log_has():
    base = {"torch": "2.0", "triton": "3", "cpu": "", "gpu": "G", "date": "2026-01-02"}
    row = base | {"name": "step", "unit": "tokens/s", "q10": "", "median": "244.7", "q90": ""}
    assert "| 244.7 tokens/s |" in markdown({"decode": [row]})
