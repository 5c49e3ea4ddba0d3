"""docs/kubernetes/: manifests that are valid for Kubernetes and KEDA, and agree with the ledger."""

import kubernetes_validate
import psycopg
import pytest
import yaml

from ledger.database import studies
from tests.databases import upgrade
from tests.integration.ledgers import make_study, take
from tests.pages import ROOT
from tests.roles import make_roles

FOLDER = ROOT / "docs" / "kubernetes"
OBJECTS = {
    f"{file.name} {one['kind']}": one
    for file in sorted(FOLDER.glob("*.yaml"))
    for one in yaml.safe_load_all(file.read_text())
}
CORE = {name: one for name, one in OBJECTS.items() if not one["apiVersion"].startswith("keda.sh/")}


def container(one):
    return one["spec"]["template"]["spec"]["containers"][0]


def variables(one):
    return {each["name"]: each.get("value") for each in container(one)["env"]}


@pytest.mark.parametrize("name", CORE)
def test_each_manifest_is_what_kubernetes_knows(name):
    assert kubernetes_validate.validate(CORE[name], "1.34", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**CORE[name], "sepc": {}}, "1.34", strict=True)


@pytest.mark.parametrize("name", [name for name in CORE if "Secret" not in name])
def test_each_process_has_an_image_its_roles_url_and_no_rights(name):
    one = CORE[name]
    target = container(one)["image"].partition("ledger-")[2].partition(":")[0]
    assert f" AS {target}\n" in (ROOT / "compose" / "Dockerfile").read_text()
    (url,) = (each["valueFrom"]["secretKeyRef"] for each in container(one)["env"] if each["name"] == "DATABASE_URL")
    assert url["key"] in OBJECTS["secret.yaml Secret"]["stringData"]
    assert container(one)["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert one["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 10001


def test_a_worker_has_the_time_to_leave_and_the_memory_to_fail_alone():
    workers = OBJECTS["workers.yaml Deployment"]
    assert workers["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > int(
        variables(workers)["LEDGER_WORKER_GRACE"]
    )
    assert variables(workers)["LEDGER_WORKER_MEMORY_LIMIT"] == "3G"
    assert container(workers)["resources"]["limits"]["memory"] == "4Gi"
    assert container(workers)["livenessProbe"]["exec"]["command"] == ["python", "/opt/ledger/healthy.py"]


def test_the_scaler_names_what_there_is_by_the_fields_that_keda_knows():
    authentication, scaled = (
        OBJECTS["scaler.yaml TriggerAuthentication"],
        OBJECTS["scaler.yaml ScaledObject"],
    )
    (reference,) = authentication["spec"]["secretTargetRef"]
    assert reference == {"parameter": "connection", "name": "ledger", "key": "reader"}
    assert scaled["spec"].keys() <= {
        *("scaleTargetRef", "pollingInterval", "cooldownPeriod", "initialCooldownPeriod", "idleReplicaCount"),
        *("minReplicaCount", "maxReplicaCount", "fallback", "advanced", "triggers"),
    }
    assert scaled["spec"]["scaleTargetRef"]["name"] == OBJECTS["workers.yaml Deployment"]["metadata"]["name"]
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "postgresql"
    assert trigger["metadata"].keys() == {"query", "targetQueryValue", "activationTargetQueryValue"}
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}


def test_a_reader_gets_the_scalers_answer(url, db, connection):
    of_role = make_roles(url)
    upgrade(of_role("ledger_owner"))
    query = OBJECTS["scaler.yaml ScaledObject"]["spec"]["triggers"][0]["metadata"]["query"]
    with psycopg.connect(of_role("ledger_reader"), autocommit=True) as reader:
        assert reader.execute(query).fetchall() == [(0,)]
        make_study(db, "busy", trials=3)
        take(connection, "busy")
        make_study(db, "paused", trials=2)
        studies.pause(db, studies.get(db, "paused").id)
        assert reader.execute(query).fetchall() == [(3,)]
