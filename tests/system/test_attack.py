"""Short attack on a running study. `make attack` runs a long one."""

import pytest

from tests.attack.campaign import attack


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_a_study_under_attack_goes_on_and_everything_can_be_read(tmp_path):
    # the user of a trainer must reach the folder of its worker
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    attacked = attack(tmp_path, seconds=120, seed=3)
    assert not any(attacked.must_be_zero.values()), attacked.details
    assert all(tried for _, tried, _ in attacked.rows)
