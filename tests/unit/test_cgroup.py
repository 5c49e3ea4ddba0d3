"""The folder of a process's cgroup, and a trainer that gets no cgroup."""

import subprocess
from pathlib import Path

import pytest

from ledger.worker import cgroup

MOUNTS = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw
42 31 0:38 /a /mnt/of\040a rw - cgroup2 none rw
43 31 0:38 /../b /mnt/outside rw - cgroup2 none rw
""".strip()


@pytest.mark.parametrize(
    ("cgroups", "folders"),
    [
        ("9:name=systemd:/s\n1:cpu:/c\n0::/\n", ["/sys/fs/cgroup/unified"]),
        ("0::/b/c d\n", ["/sys/fs/cgroup/unified/b/c d"]),
        ("0::/a\n", ["/sys/fs/cgroup/unified/a", "/mnt/of a"]),
        ("0::/a/b:c\n", ["/sys/fs/cgroup/unified/a/b:c", "/mnt/of a/b:c"]),
        ("0::/ab\n", ["/sys/fs/cgroup/unified/ab"]),
        ("0::/../b\n", []),
        ("9:name=systemd:/s\n1:cpu:/c\n", []),
        ("", []),
    ],
)
def test_each_mount_that_shows_the_cgroup_gives_a_folder(cgroups, folders):
    assert cgroup.folders_of_own_cgroup(MOUNTS, cgroups) == [Path(folder) for folder in folders]


@pytest.mark.parametrize("mounts", ["", MOUNTS.replace("cgroup2", "cgroup"), MOUNTS.splitlines()[4]])
def test_without_a_mount_of_version_2_a_cgroup_has_no_folder(mounts):
    assert cgroup.folders_of_own_cgroup(mounts, "0::/a\n") == []


@pytest.mark.parametrize("kind", ["missing", "no cgroup", "read-only"])
def test_without_a_cgroup_a_trainer_runs_as_before(kind, tmp_path, monkeypatch, capfd):
    folder = tmp_path / "cgroup"
    if kind != "missing":
        folder.mkdir()
        # a folder of another file system, without the other files of a cgroup
        (folder / "cgroup.procs").touch()
    if kind == "read-only":
        monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(cgroup, "folders_of_own_cgroup", lambda *_: [folder])
    group = cgroup.TrainerCgroup()
    process = subprocess.Popen(["sleep", "1000"])
    try:
        group.contain(process.pid)
        group.kill()
        group.remove()
        cgroup.end_abandoned()
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert not list(tmp_path.rglob("ledger-trainer-*"))
    assert capfd.readouterr() == ("", "")


def refuse(self: Path, *_: int) -> None:
    raise PermissionError(str(self))
