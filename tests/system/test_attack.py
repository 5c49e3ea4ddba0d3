"""Short attack on a running study. `make attack` runs a long one."""

import stat

import pytest

from tests.attack.campaign import attack


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_a_study_under_attack_goes_on_and_everything_can_be_read(tmp_path):
    # Another user runs a worker and its trainer. This user must reach the folder of the worker and the store.
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(0o755)
    attacked = attack(tmp_path, seconds=120, seed=3)
    assert not any(attacked.must_be_zero.values()), attacked.details
    assert all(tried for _, tried, _ in attacked.rows)
