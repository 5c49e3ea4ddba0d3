"""Conclusions of the benchmarks, and the interruption of a run of hours."""

import inspect
import json
import math
import statistics

import pytest

from benchmarks import __main__ as sections
from benchmarks import earlier, growth, mlp, records, report
from benchmarks.quality import analysis, models, runs
from benchmarks.quality.functions import FUNCTIONS
from benchmarks.searchers.methods import METHODS
from benchmarks.searchers.searcher import Setting
from ledger.study.dimensions import Categorical, Integer, Real


def record(function="branin", method="ours", seed=0, loss=1.0, version="1", **facts):
    known = {"evaluations": 60, "batch": 4, "seconds": 1.0, "date": "2026-01-01", "versions": {}}
    regret = FUNCTIONS[function].regret(loss) if function in FUNCTIONS else None
    return {
        **known,
        "function": function,
        "method": method,
        "seed": seed,
        "loss": loss,
        "regret": regret,
        "version": version,
        **facts,
    }


def test_holm_multiplies_the_smallest_most_and_never_falls():
    # worked by hand: 0.005 x 4, then 0.01 x 3, 0.03 x 2, and 0.04 that is raised to the one before
    assert analysis.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert analysis.holm([0.9, 0.8]) == [1.0, 1.0]
    assert analysis.holm([]) == []


def test_the_bound_is_the_one_sided_one_of_students_t():
    differences = [0.1, -0.1, 0.0, 0.2, -0.2]
    found = analysis.paired(differences)
    error = statistics.stdev(differences) / math.sqrt(5)
    assert found.mean == pytest.approx(0)
    assert found.bound == pytest.approx(2.131847 * error)  # t of 4 degrees of freedom at 95 %
    assert found.pairs == 5


def test_a_bound_at_the_margin_is_a_p_of_five_percent():
    spread = analysis.paired([0.1, -0.1, 0.0, 0.2, -0.2]).bound
    shifted = [one + analysis.MARGIN - spread for one in (0.1, -0.1, 0.0, 0.2, -0.2)]
    assert analysis.paired(shifted).p == pytest.approx(analysis.LEVEL)


def test_equal_results_are_not_inferior_and_equally_worse_ones_are():
    assert analysis.paired([0.0, 0.0]).p == 0.0
    assert analysis.paired([0.2, 0.2]).p == 1.0


def test_only_seeds_that_both_have_are_compared():
    found = analysis.difference({0: 1.0, 1: 2.0, 2: 9.0}, {0: 0.5, 1: 1.0, 3: 9.0})
    assert found is not None
    assert (found.pairs, found.mean) == (2, 0.75)
    assert analysis.difference({0: 1.0}, {0: 1.0}) is None


def test_regrets_of_a_function_are_counted_in_its_scale_down_to_the_floor():
    branin = FUNCTIONS["branin"]
    found = analysis.logarithms(
        [record(loss=branin.minimum + branin.scale / 100), record(method="skopt", loss=branin.minimum)]
    )
    assert found["branin"]["ours"][0] == pytest.approx(-2)
    assert found["branin"]["skopt"][0] == pytest.approx(math.log10(analysis.FLOOR))


def test_regrets_of_a_model_are_measured_from_the_best_of_all():
    found = analysis.logarithms(
        [
            record("svm/iris", "ours", loss=0.1, step=0.05),
            record("svm/iris", "random", loss=0.3, step=0.05),
            record("svm/iris", "random", seed=1, loss=0.3, step=0.05),
        ]
    )["svm/iris"]
    assert found["ours"][0] == pytest.approx(math.log10(0.025))
    assert found["random"] == pytest.approx({0: math.log10(0.2), 1: math.log10(0.025)})


def test_the_last_line_of_a_search_counts():
    branin = FUNCTIONS["branin"]
    better = record(loss=branin.minimum + branin.scale / 10, version="2")
    assert analysis.logarithms([record(loss=50.0), better])["branin"]["ours"][0] == pytest.approx(-1)


def test_ranks_are_means_over_what_all_methods_have_and_ties_share_them():
    table = {
        "branin": {"ours": {0: -2.0, 1: -1.0}, "skopt": {0: -2.0, 1: 0.0}, "random": {0: 0.0}},
        "cliff": {"ours": {0: -3.0}, "skopt": {0: -1.0}, "random": {0: -2.0}},
    }
    ranks, searches = analysis.mean_ranks(table, ["ours", "skopt", "random"])
    assert searches == 2
    assert ranks == {"ours": 1.25, "skopt": 2.25, "random": 2.5}


def test_the_report_has_a_row_per_function_and_marks_a_missed_target():
    losses = {"ours": 1.0, "skopt": 2.0, "optuna-tpe": 3.0, "random": 4.0}
    lines = [
        record(name, method, seed, loss + seed / 100)
        for name in ("branin", "cliff")
        for method, loss in losses.items()
        for seed in range(4)
    ]
    good = analysis.markdown(lines)
    assert "| branin | 4 |" in good
    assert "**no**" not in good
    swapped = {"ours": "skopt", "skopt": "ours"}
    assert "**no**" in analysis.markdown([one | {"method": swapped.get(one["method"], one["method"])} for one in lines])
    assert "Not measured yet" in analysis.markdown([])


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_functions_scale_is_the_median_regret_above_its_minimum(function):
    drawn = METHODS["random"].make(Setting(function.dimensions, 0, 2000, 2000)).ask(2000)
    regrets = [function.value(params) - function.minimum for params in drawn]
    assert min(regrets) >= 0
    assert statistics.median(regrets) == pytest.approx(function.scale, rel=0.2)


@pytest.mark.parametrize(
    ("function", "params"),
    [
        ("branin", {"x": math.pi, "y": 2.275}),
        ("hartmann", dict(zip("abcdef", (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573), strict=True))),
        ("rastrigin", {"x": 0.4, "y": -0.7, "steps": 9, "kind": "flat"}),
        ("ridge", {"C": 10.0, "gamma": 10**-2.5, "kernel": "rbf"}),
        (
            "boosting",
            {"rate": 10**1.2 / 398, "trees": 398, "depth": 5, "penalty": 0.1, "share": 0.8, "booster": "gbtree"},
        ),
        ("stairs", {"x": 0.23, "y": 0.61, "z": 0.42, "level": 13}),
        ("cliff", {"x": 0.55, "y": 0.45, "mode": "fast"}),
        ("ackley", {"i": 3, "j": -2, "k": 1, "x": 1.3, "y": -0.6}),
        ("rosenbrock", {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}),
        (
            "network",
            {
                "rate": 1e-3,
                "decay": 1e-4,
                "layers": 4,
                "width": 160,
                "dropout": 0.25,
                "momentum": 0.9,
                "optimizer": "adam",
                "activation": "gelu",
            },
        ),
    ],
)
def test_a_functions_minimum_is_reached(function, params):
    found = FUNCTIONS[function]
    assert [one.name for one in found.dimensions] == list(params)
    assert all(one.normalise(params[one.name]) == params[one.name] for one in found.dimensions)
    assert found.value(params) == pytest.approx(found.minimum, abs=1e-6)


def test_functions_are_of_2_to_8_dimensions_and_every_kind():
    assert len(FUNCTIONS) >= 8
    assert {len(one.dimensions) for one in FUNCTIONS.values()} >= {2, 8}
    kinds = {type(dimension) for one in FUNCTIONS.values() for dimension in one.dimensions}
    assert kinds == {Real, Integer, Categorical}


def test_an_interrupted_run_does_only_what_is_missing(tmp_path):
    file = tmp_path / "quality.jsonl"
    wanted = runs.tasks(["branin", "stairs"], ["random"], seeds=2, evaluations=8)
    assert len(wanted) == 4
    assert runs.missing(file, wanted) == wanted
    records.append(file, runs.run(wanted[0]))
    records.append(file, runs.run(wanted[2]))
    assert runs.missing(file, wanted) == [wanted[1], wanted[3]]


def test_half_a_line_left_by_a_kill_is_run_again_and_spoils_no_other(tmp_path):
    file = tmp_path / "quality.jsonl"
    wanted = runs.tasks(["branin"], ["random"], seeds=2, evaluations=8)
    whole = json.dumps(runs.run(wanted[0]))
    file.write_text(whole[: len(whole) // 2])
    assert runs.missing(file, wanted) == wanted
    for task in wanted:
        records.append(file, runs.run(task))
    assert runs.missing(file, wanted) == []
    assert len(records.read(file)) == 2


def test_a_line_of_another_version_or_size_is_not_of_this_search(tmp_path):
    file = tmp_path / "quality.jsonl"
    (task,) = runs.tasks(["branin"], ["random"], seeds=1, evaluations=8)
    found = runs.run(task)
    records.append(file, found | {"version": "another"})
    records.append(file, found | {"evaluations": 60})
    assert runs.missing(file, [task]) == [task]


def test_the_same_search_finds_the_same(tmp_path):
    (task,) = runs.tasks(["network"], ["random"], seeds=1, evaluations=10)
    first, second = runs.run(task), runs.run(task)
    assert first["loss"] == second["loss"]
    assert first["regret"] == FUNCTIONS["network"].regret(first["loss"])


def test_models_are_searched_in_their_default_spaces_on_five_datasets(tmp_path):
    assert len(models.NAMES) == 15
    (task,) = runs.tasks(["svm/synthetic"], ["random"], seeds=1, evaluations=4)
    found = runs.run(task)
    assert found["step"] == pytest.approx(1 / 120)
    assert 0 <= found["loss"] < 1


def test_growth_is_that_of_a_power():
    seconds = {64: 1.0, 256: 8.0}
    assert growth.exponent(seconds) == pytest.approx(1.5)
    assert growth.extrapolated(seconds, 1024) == pytest.approx(64.0)
    assert growth.extrapolated(seconds, 64) == pytest.approx(1.0)


def test_the_loss_to_reach_is_one_that_each_search_without_the_rule_has():
    without = [mlp.Search([(2.0, 0.3), (6.0, 0.2)], 0, 54), mlp.Search([(4.0, 0.1), (8.0, 0.05)], 0, 54)]
    ruled = [mlp.Search([(1.0, 0.25), (3.0, 0.15)], 2, 60), mlp.Search([(5.0, 0.3)], 3, 33)]
    text = mlp.markdown(without, ruled, 9)
    assert "the log loss 0.2," in text
    assert "| without a rule | 5 (4 to 6) |" in text
    assert "| `halving` | > 9 (3 to > 9) |  | 1 of 2 seeds |" in text
    both = mlp.markdown(without, [ruled[0], mlp.Search([(2.0, 0.2)], 3, 33)], 9)
    assert "| `halving` | 2.5 (2 to 3) | 2 \N{MULTIPLICATION SIGN} | 2 of 2 seeds |" in both


def test_only_changed_code_needs_another_run(tmp_path):
    file = tmp_path / "module.py"
    file.write_text('"""Old."""\ndef f():\n    """Old."""\n    return 1\n')
    before = records.fingerprint([file])
    file.write_text('"""New."""\n\n\ndef f():\n    """New."""\n    # a comment\n    return 1\n')
    assert records.fingerprint([file]) == before
    file.write_text('"""New."""\ndef f():\n    """New."""\n    return 2\n')
    assert records.fingerprint([file]) != before


def test_sections_run_one_by_one_keep_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(report, "RESULTS", tmp_path / "RESULTS.md")
    report.keep("one", "## One\n\nfirst\n", "python -m benchmarks one", 1.0)
    report.keep("two", "## Two\n", "python -m benchmarks two", 1.0)
    report.keep("one", "## One\n\nsecond\n", "python -m benchmarks one", 1.0)
    report.assemble(("two", "one", "three"))
    text = report.RESULTS.read_text()
    assert text.index("## Two") < text.index("## One")
    assert "second" in text
    assert "first" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (12345, "12,300")],
)
def test_numbers_have_three_digits(value, text):
    assert report.number(value) == text


def test_each_section_of_the_report_runs_without_arguments():
    for section in sections.sections().values():
        inspect.signature(section.run).bind()


def test_a_difference_of_times_is_the_median_of_the_pairs():
    # The noise of the machine is the same for both times of a pair.
    before = [1.0 + index % 3 for index in range(101)]
    after = [time + index / 1000 for index, time in enumerate(before)]
    assert earlier.difference(before, after) == pytest.approx(0.05)
    assert earlier.difference([2.0], [1.0]) == -1.0
