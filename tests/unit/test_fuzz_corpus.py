"""Each case that the fuzzer began with or has found keeps the promise of its target, without the fuzzer."""

import pytest

from tests.attack.fuzz.targets import CORPUS, TARGETS

CASES = [(name, path) for name in TARGETS for path in sorted((CORPUS / name).iterdir())]


@pytest.mark.parametrize(("name", "path"), CASES, ids=[f"{name}-{path.name}" for name, path in CASES])
def test_a_case_of_the_fuzzer_keeps_the_promise_of_its_target(name, path):
    TARGETS[name](path.read_bytes())


def test_each_target_of_the_fuzzer_has_cases_and_each_case_a_target():
    assert {path.name for path in CORPUS.iterdir()} == {name for name, _ in CASES} == set(TARGETS)
