"""Searches of TuRBO-1, with the Gaussian process of BoTorch."""

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.searchers.searcher import Params, Setting
from benchmarks.searchers.shares import from_share, to_share
from ledger.study.dimensions import Categorical

# The settings of Eriksson and others 2019, "Scalable Global Optimization via Local Bayesian Optimization".
LONGEST, SHORTEST, FIRST = 1.6, 0.5**7, 0.8
SUCCESSES = 3
# The bounds of the noise's variance, with and without noisy losses. The others are those of BoTorch's tutorial.
NOISY, EXACT = (5e-4, 0.2), (1e-8, 1e-3)
# The number of perturbed points, and the mean number of perturbed columns of a point.
CANDIDATES, PERTURBED = 5000, 20


class TurboSearcher:
    """TuRBO with one trust region: Thompson samples among perturbed copies of the best point.

    Numbers are columns in [0, 1], and each choice of a categorical parameter is a column. A search that has shrunk its
    region begins again with `Setting.initial` Sobol points.
    """

    def __init__(self, setting: Setting) -> None:
        import torch

        self._torch = torch
        self._dimensions: Sequence[Any] = setting.dimensions
        self._columns = sum(len(one.choices) if isinstance(one, Categorical) else 1 for one in setting.dimensions)
        self._initial = setting.initial
        self._noise = NOISY if setting.is_noisy else EXACT
        self._generator = torch.Generator().manual_seed(setting.seed)
        self._failures_allowed = math.ceil(max(4 / setting.batch, self._columns / setting.batch))
        self._begin()

    def ask(self, size: int) -> list[Params]:
        left = self._initial - len(self._losses)
        rows = self._sobol.draw(size).double() if left > 0 else self._sampled(size)
        return [self._params(row) for row in rows.tolist()]

    def tell(self, batch: Sequence[Params], losses: Sequence[float]) -> None:
        best = min(self._losses, default=math.inf)
        is_local = len(self._losses) >= self._initial
        self._rows += [self._row(params) for params in batch]
        self._losses += losses
        if is_local:
            self._adapt(min(losses) < best - 1e-3 * abs(best))

    def _begin(self) -> None:
        seed = int(self._torch.randint(2**31, (1,), generator=self._generator))
        self._sobol = self._torch.quasirandom.SobolEngine(self._columns, scramble=True, seed=seed)
        self._rows: list[list[float]] = []
        self._losses: list[float] = []
        self._length, self._successes, self._failures = FIRST, 0, 0

    def _adapt(self, is_success: bool) -> None:
        self._successes, self._failures = (self._successes + 1, 0) if is_success else (0, self._failures + 1)
        if self._successes == SUCCESSES:
            self._length, self._successes = min(2 * self._length, LONGEST), 0
        elif self._failures == self._failures_allowed:
            self._length, self._failures = self._length / 2, 0
        if self._length < SHORTEST:
            self._begin()

    def _sampled(self, size: int) -> Any:
        """Return the minima of posterior samples at perturbed copies of the best point."""
        from botorch.fit import fit_gpytorch_mll
        from botorch.generation import MaxPosteriorSampling
        from botorch.models import SingleTaskGP
        from gpytorch.constraints import Interval
        from gpytorch.kernels import MaternKernel, ScaleKernel
        from gpytorch.likelihoods import GaussianLikelihood
        from gpytorch.mlls import ExactMarginalLogLikelihood

        torch = self._torch
        points = torch.tensor(self._rows, dtype=torch.double)
        values = -torch.tensor(self._losses, dtype=torch.double)[:, None]
        values = (values - values.mean()) / values.std().clamp_min(1e-12)
        kernel = ScaleKernel(
            MaternKernel(nu=2.5, ard_num_dims=self._columns, lengthscale_constraint=Interval(0.005, 4.0))
        )
        likelihood = GaussianLikelihood(noise_constraint=Interval(*self._noise))
        model = SingleTaskGP(points, values, covar_module=kernel, likelihood=likelihood, outcome_transform=None)
        # BoTorch draws from the global generator of torch.
        with torch.random.fork_rng():
            torch.manual_seed(int(torch.randint(2**31, (1,), generator=self._generator)))
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
            with torch.no_grad():
                sampling = MaxPosteriorSampling(model=model, replacement=False)
                return sampling(self._perturbed(points[values.argmax()], kernel), num_samples=size)

    def _perturbed(self, centre: Any, kernel: Any) -> Any:
        torch = self._torch
        weights = kernel.base_kernel.lengthscale.squeeze(0).detach()
        weights = weights / weights.mean()
        weights = weights / weights.prod().pow(1 / len(weights))
        low = (centre - weights * self._length / 2).clamp(0.0, 1.0)
        high = (centre + weights * self._length / 2).clamp(0.0, 1.0)
        seed = int(torch.randint(2**31, (1,)))
        count = min(CANDIDATES, max(2000, 200 * self._columns))
        drawn = torch.quasirandom.SobolEngine(self._columns, scramble=True, seed=seed).draw(count).double()
        moved = torch.rand(count, self._columns) <= min(PERTURBED / self._columns, 1.0)
        still = ~moved.any(dim=1)
        moved[still, torch.randint(self._columns, (int(still.sum()),))] = True
        return torch.where(moved, low + (high - low) * drawn, centre.expand(count, -1))

    def _params(self, row: Sequence[float]) -> Params:
        found, start = {}, 0
        for one in self._dimensions:
            if isinstance(one, Categorical):
                shares = row[start : start + len(one.choices)]
                found[one.name] = one.choices[shares.index(max(shares))]
                start += len(one.choices)
            else:
                found[one.name] = from_share(one, row[start])
                start += 1
        return found

    def _row(self, params: Params) -> list[float]:
        row: list[float] = []
        for one in self._dimensions:
            if isinstance(one, Categorical):
                row += [float(choice == params[one.name]) for choice in one.choices]
            else:
                row.append(to_share(one, params[one.name]))
        return row
