"""The energy that a run took, by the machine's own counters: NVIDIA's for its GPUs, the kernel's for its processors."""

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread

POWERCAP = Path("/sys/class/powercap")
_SECONDS_BETWEEN = 60.0  # a processor's counter wraps at some 262 kJ: with 1 kW within five minutes


@dataclass(frozen=True)
class Counter:
    """A counter of joules that only grows; one that `wraps_at` a number of them begins again at 0."""

    name: str
    read: Callable[[], float]
    wraps_at: float | None = None


class EnergyMeter:
    """Joules used since it was made. Counters that wrap are read once a minute by a thread of its own."""

    def __init__(self, counters: Sequence[Counter], seconds_between: float = _SECONDS_BETWEEN) -> None:
        self.counters = tuple(counters)
        self._last = [counter.read() for counter in self.counters]
        self._joules, self._is_whole = 0.0, True
        self._stopped, self._lock = Event(), Lock()
        self._thread = Thread(target=self._watch, args=(seconds_between,), daemon=True)
        if self.counters:
            self._thread.start()

    def joules(self) -> float | None:
        """The joules until now, None without a counter or where one could not be read."""
        if not self.counters:
            return None
        if not self._stopped.is_set():
            with self._lock:
                self._add()
        return round(self._joules, 3) if self._is_whole else None

    def stop(self) -> float | None:
        """The joules until now, None without a counter or where one could not be read; the meter then stands still."""
        joules = self.joules()
        if self.counters:
            self._stopped.set()
            self._thread.join()
        return joules

    def _watch(self, seconds_between: float) -> None:
        while not self._stopped.wait(seconds_between):
            with self._lock:
                self._add()

    def _add(self) -> None:
        try:
            readings = [counter.read() for counter in self.counters]
        except OSError:  # a run does not end because its meter does
            self._is_whole = False
            return
        for counter, before, now in zip(self.counters, self._last, readings, strict=True):
            self._joules += now - before if now >= before else now - before + (counter.wraps_at or 0.0)
        self._last = readings


def energy_counters(n_gpus: int, powercap: Path = POWERCAP) -> list[Counter]:
    """The counters that can be read here: of the first `n_gpus` CUDA devices, and of all processors, whole as they are,
    with whatever else runs on them."""
    return [*_gpus(n_gpus), *_processors(powercap)]


def _processors(powercap: Path) -> Iterator[Counter]:
    """Linux's powercap: one domain for each processor package, in microjoules. Many systems let only root read it."""
    for domain in sorted(powercap.glob("intel-rapl:*")):
        try:
            name = (domain / "name").read_text().strip()
            wraps_at = int((domain / "max_energy_range_uj").read_text()) / 1e6
            _joules_of_package(domain)
        except (OSError, ValueError):
            continue
        if name.startswith("package"):  # core and uncore are parts of one, psys is the whole board
            yield Counter(name, partial(_joules_of_package, domain), wraps_at)


def _joules_of_package(domain: Path) -> float:
    return int((domain / "energy_uj").read_text()) / 1e6


def _gpus(n_gpus: int) -> list[Counter]:
    """NVIDIA's management library, which comes with the driver; it counts the millijoules of a whole device."""
    torch = sys.modules.get("torch")
    if not n_gpus or torch is None or not torch.version.cuda:
        return []
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    if library.nvmlInit_v2() != 0:
        return []
    counters = []
    for place in range(n_gpus):
        properties, device = torch.cuda.get_device_properties(place), ctypes.c_void_p()
        uuid = f"GPU-{properties.uuid}".encode()
        if library.nvmlDeviceGetHandleByUUID(uuid, ctypes.byref(device)) != 0:
            return []
        try:
            _joules_of_gpu(library, device)
        except OSError:  # a share of a device has no counter of its own
            return []
        counters.append(Counter(properties.name, partial(_joules_of_gpu, library, device)))
    return counters


def _joules_of_gpu(library: ctypes.CDLL, device: ctypes.c_void_p) -> float:
    millijoules = ctypes.c_ulonglong()
    if library.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)) != 0:
        raise OSError("the GPU's energy counter cannot be read")
    return millijoules.value / 1e3
