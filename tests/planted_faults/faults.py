"""All planted faults."""

from tests.planted_faults import label_faults, length_faults, model_faults, row_faults, template_faults
from tests.planted_faults.fault import PlantedFault

FAULTS: tuple[PlantedFault, ...] = (
    *template_faults.FAULTS, *label_faults.FAULTS, *length_faults.FAULTS, *row_faults.FAULTS, *model_faults.FAULTS
)  # fmt: skip
