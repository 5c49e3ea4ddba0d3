"""The methods that can be measured, by name, with the packages and the code that their results depend on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ledger
from benchmarks import report
from benchmarks.records import fingerprint
from benchmarks.searchers import ax, cma, drop_in, hebo, optuna_samplers, proposals, smac, turbo
from benchmarks.searchers.searcher import Searcher, Setting

_HERE = Path(__file__).parent
_LEDGER = Path(str(ledger.__file__)).parent


@dataclass(frozen=True)
class Method:
    """A search method.

    Attributes
    ----------
    name : str
    make : callable
        Returns a new searcher from a `Setting`.
    packages : tuple of str
        The packages that the results depend on.
    folders : tuple of str
        The folders of the ledger that the results depend on.
    modules : tuple of str
        The modules of this folder that drive another tool, if their settings influence the results.
    version_of : callable
        Returns the version of an installed package from its name, or None.
    """

    name: str
    make: Callable[[Setting], Searcher]
    packages: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    version_of: Callable[[str], str | None] = report.version

    @property
    def why_not(self) -> str | None:
        """The reason why the method cannot be measured here, or None."""
        missing = [package for package in self.packages if self.version_of(package) is None]
        return f"not measured: {missing[0]} is not installed" if missing else None

    @property
    def version(self) -> str:
        """The version that the results depend on. Another version needs another run."""
        return _version(self)


@cache
def _version(method: Method) -> str:
    parts = [f"{package} {method.version_of(package)}" for package in method.packages]
    if method.folders:
        files = [file for folder in method.folders for file in sorted((_LEDGER / folder).glob("*.py"))]
        parts.append(f"{' and '.join(method.folders)} {fingerprint(files)}")
    if method.modules:
        parts.append(f"driver {fingerprint([_HERE / f'{module}.py' for module in method.modules])}")
    return ", ".join(parts)


METHODS = {
    method.name: method
    for method in (
        # The drop-in alone. `ours-study` is what a study proposes, which adds the scaling of the losses.
        Method("ours", drop_in.ours, folders=("optimizer",)),
        Method("ours-study", proposals.StudySearcher, folders=("optimizer", "proposals")),
        Method("skopt", drop_in.skopt, ("scikit-optimize",)),
        Method("optuna-tpe", optuna_samplers.tpe, ("optuna",)),
        Method("optuna-gp", optuna_samplers.gp, ("optuna", "torch")),
        Method("turbo", turbo.TurboSearcher, ("botorch", "torch"), modules=("turbo",)),
        Method("cma", cma.CmaSearcher, ("cmaes",), modules=("cma",)),
        Method("ax", ax.AxSearcher, ("ax-platform", "botorch"), modules=("ax",)),
        Method("hebo", hebo.HeboSearcher, ("HEBO",), modules=("hebo", "hebo_process"), version_of=hebo.version),
        Method("smac", smac.SmacSearcher, ("smac",), modules=("smac",)),
        Method("random", drop_in.RandomSearcher, ("scikit-optimize",)),
    )
}
