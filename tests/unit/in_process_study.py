"""A `ledger.Study` without database and processes, for tests of the code around a study.

The objective goes through its pickle, the metrics go through JSON, and each error is the text of a traceback, as with
the processes of a worker. All points are random.
"""

import json
import pickle
import traceback
from datetime import UTC, datetime
from typing import Any

import cloudpickle
import pytest

import ledger
from ledger.objectives import pickled
from ledger.objectives.result import to_result
from ledger.proposals import ProposalInput, propose
from ledger.study.file import assemble


class InProcessStudies:
    """Replaces `ledger.Study` and `ledger.load_study` in a test.

    Attributes
    ----------
    results : dict of str to StudyResult
        The studies that have ended, by name.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.results: dict[str, ledger.StudyResult] = {}
        monkeypatch.setattr(ledger, "Study", self._study)
        monkeypatch.setattr(ledger, "load_study", lambda name, database=None: self.results[name])

    def _study(self, objective: Any, **settings: Any) -> "_InProcessStudy":
        return _InProcessStudy(self, objective, **settings)


class _InProcessStudy:
    def __init__(self, studies: InProcessStudies, objective: Any, **settings: Any) -> None:
        self._studies, self._objective = studies, objective
        self._spec = assemble(
            {},
            tables={
                "study": {key: settings[key] for key in ("name", "trials", "batch_size", "seed")},
                "objective": {
                    "function": f"{pickled.MODULE}:{objective.__name__}",
                    "direction": settings["direction"],
                },
                "space": {each.pop("name"): each for each in objective.ledger_space.to_json()},
                "optimizer": settings["optimizer"] or {},
                "limits": settings["limits"],
            },
        )
        self.name = self._spec.name

    def run(self, workers: int | None = None) -> ledger.StudyResult:
        spec, results = self._spec, self._studies.results
        if self.name not in results:
            points = propose(spec, 0, 0, spec.budget, ProposalInput()).points
            trials = tuple(self._trial(number, point) for number, point in enumerate(points))
            state = "complete" if any(trial.state == "complete" for trial in trials) else "failed"
            results[self.name] = ledger.StudyResult(self.name, state, None, spec.budget, spec.spec(), trials)
        if results[self.name].state == "failed":
            raise ledger.LedgerError(f"study {self.name} is failed: every trial failed")
        return results[self.name]

    def _trial(self, number: int, point: dict[str, Any]) -> ledger.Trial:
        value, loss, metrics, error = None, None, {}, None
        scale = self._spec.objective.scale
        try:
            objective = pickle.loads(cloudpickle.dumps(self._objective))
            context = ledger.Context(self.name, number, 1, number, self._spec.seed)
            result = to_result(objective(point, context), scale)
            value, loss = scale.value(result.loss), result.loss
            metrics = json.loads(json.dumps(result.metrics))
        except Exception:
            error = traceback.format_exc()
        now = datetime.now(UTC)
        state = "complete" if error is None else "failed"
        return ledger.Trial(
            *(number, 0, state, "proposed", point, value, loss, metrics),
            *(None if error else 0.5, 1, "worker", now, now, error),
        )
