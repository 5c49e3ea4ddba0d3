"""Searches of a study of the ledger, without its database."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.searchers.searcher import Params, Setting
from ledger.proposals import ProposalInput, propose
from ledger.proposals.observations import Observation
from ledger.study.file import assemble


class StudySearcher:
    """The proposals of a study in batch mode, with the default settings."""

    def __init__(self, setting: Setting) -> None:
        tables: dict[str, dict[str, Any]] = {
            "study": {
                "name": "search",
                "trials": setting.evaluations,
                "batch_size": setting.batch,
                "seed": setting.seed,
            },
            "objective": {"function": "benchmarks.searchers:objective"},
            "space": {one.name: {k: v for k, v in one.to_json().items() if k != "name"} for one in setting.dimensions},
        }
        self._study = assemble({}, tables=tables)
        self._observations: list[Observation] = []
        self._surrogate: Mapping[str, Any] | None = None
        self._iteration = 0

    def ask(self, size: int) -> list[Params]:
        given = ProposalInput(self._observations, surrogate=self._surrogate)
        proposal = propose(self._study, self._iteration, 0, size, given)
        self._surrogate = proposal.surrogate or self._surrogate
        self._iteration += 1
        return proposal.points

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None:
        self._observations += [Observation(params, loss, None) for params, loss in zip(batch, losses, strict=True)]
