"""The confidence ledger of one tenant: a calibration for each key, none of them mixed."""

from __future__ import annotations

from collections import OrderedDict

from app.models import Confidence
from app.services.calibration import METHOD, Calibration, CalibrationKey
from app.services.reliability import Reliability

KEYS = 64
"""So many are kept; the one that has gone longest without a label goes first."""
UNCALIBRATED = "uncalibrated"


class ConfidenceLedger:
    """A fold over labels in one order; asking changes nothing."""

    def __init__(self) -> None:
        self._calibrations: OrderedDict[CalibrationKey, Calibration] = OrderedDict()

    def observe(self, key: CalibrationKey, raw: float, label: bool, weight: float = 1.0) -> None:
        """See `Calibration.observe`."""
        self._calibrations.setdefault(key, Calibration()).observe(raw, label, weight)
        self._calibrations.move_to_end(key)
        if len(self._calibrations) > KEYS:
            self._calibrations.popitem(last=False)

    def confidence(self, key: CalibrationKey, raw: float) -> Confidence:
        """`calibrated` is None for a new key, and until it has labels enough."""
        known = self._calibrations.get(key)
        said = None if known is None else known.probability(raw)
        return Confidence(
            raw=raw,
            calibrated=said,
            labels=0 if known is None else known.labels,
            method=UNCALIBRATED if said is None else METHOD,
        )

    def reports(self) -> dict[CalibrationKey, Reliability]:
        """For people and the console; the key with the newest label last."""
        return {key: calibration.report() for key, calibration in self._calibrations.items()}
