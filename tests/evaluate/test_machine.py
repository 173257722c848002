"""The machine's description comes from what the kernel says of it."""

from app.evaluate.machine import cpu_info, describe


def test_cpu_is_read_from_the_first_processor(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor\t: 0\nmodel name\t: Xeon 8488C\nflags\t\t: fpu avx2 amx_bf16 avx512f\n\n"
        "processor\t: 1\nmodel name\t: Other\nflags\t\t: fpu\n"
    )
    assert cpu_info(info) == ("Xeon 8488C", "amx_bf16 avx512f avx2")


def test_without_the_file_there_is_still_a_name(tmp_path):
    name, units = cpu_info(tmp_path / "none")
    assert isinstance(name, str) and units == ""


def test_every_value_is_text():
    assert all(isinstance(value, str) for value in describe().values())
    assert describe()["torch"].startswith("2.13.0")
