"""The energy of a run is what the machine's counters say, or it is absent."""

import time
from pathlib import Path

from pipelines.records.energy import Counter, EnergyMeter, energy_counters


def domain(powercap: Path, folder: str, name: str, microjoules: int, wraps_at: int = 262_143_328_850) -> Path:
    place = powercap / folder
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n")
    (place / "energy_uj").write_text(f"{microjoules}\n")
    (place / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    return place / "energy_uj"


def test_packages_are_counted_and_neither_their_parts_nor_the_whole_board(tmp_path: Path) -> None:
    first = domain(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    second = domain(tmp_path, "intel-rapl:1", "package-1", 7_000_000)
    part = domain(tmp_path, "intel-rapl:0:0", "core", 0)
    board = domain(tmp_path, "intel-rapl:2", "psys", 0)
    meter = EnergyMeter(energy_counters(0, tmp_path))
    first.write_text("8000000")
    second.write_text("9500000")
    part.write_text("2000000")
    board.write_text("9000000")
    assert [counter.name for counter in meter.counters] == ["package-0", "package-1"]
    assert meter.stop() == 5.5


def test_a_counter_that_wraps_between_two_readings_goes_on(tmp_path: Path) -> None:
    counter = domain(tmp_path, "intel-rapl:0", "package-0", 99_000_000, wraps_at=100_000_000)
    meter = EnergyMeter(energy_counters(0, tmp_path))
    counter.write_text("3000000")
    assert meter.stop() == 4.0


def test_a_meter_of_a_long_run_reads_in_between_so_that_no_wrap_is_missed() -> None:
    readings = iter(range(0, 10_000, 60))
    meter = EnergyMeter([Counter("package-0", lambda: next(readings) % 100, wraps_at=100)], seconds_between=0.001)
    time.sleep(0.1)
    joules = meter.stop()
    assert joules is not None
    assert joules > 200  # first and last reading alone can be no further apart than one wrap
    assert joules == next(readings) - 60


def test_counters_that_nobody_may_read_are_absent(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", 1).unlink()
    (tmp_path / "intel-rapl:0" / "energy_uj").mkdir()  # fails for root too, whom no mode stops
    assert energy_counters(0, tmp_path) == []
    assert energy_counters(0, tmp_path / "absent") == []
    assert EnergyMeter([]).stop() is None


def test_a_counter_that_is_lost_on_the_way_leaves_no_figure(tmp_path: Path) -> None:
    counter = domain(tmp_path, "intel-rapl:0", "package-0", 1)
    meter = EnergyMeter(energy_counters(0, tmp_path))
    counter.unlink()
    assert meter.stop() is None
