"""All planted faults."""

from tests.planted_faults.faults import label, length, model, row, template
from tests.planted_faults.faults.fault import PlantedFault

FAULTS: tuple[PlantedFault, ...] = (
    *template.FAULTS, *label.FAULTS, *length.FAULTS, *row.FAULTS, *model.FAULTS
)  # fmt: skip
