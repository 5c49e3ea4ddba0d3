"""Short attack on a running study. `make attack` runs a long one."""

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.attack.campaign import attack


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_a_study_under_attack_goes_on_and_everything_can_be_read():
    # Another user runs a worker and its trainer. This user can enter no folder of pytest.
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    folder.chmod(0o755)
    attacked = attack(folder, seconds=120, seed=3)
    assert not any(attacked.must_be_zero.values()), (folder, attacked.details)
    assert all(tried for _, tried, _ in attacked.rows)
    shutil.rmtree(folder)
