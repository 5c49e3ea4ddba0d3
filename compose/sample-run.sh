#!/usr/bin/env bash
# Writes the file docs/sample-run.log. This file contains the output of `docker compose up --build --scale worker=4`
# until the study is complete, without the output of the build. The script uses a separate Compose project, and removes
# this project at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
log=docs/sample-run.log
# port 0 selects a free port
export COMPOSE_PROJECT_NAME=ledger-sample LEDGER_DB_PORT=0
trap 'docker compose down --rmi local --volumes --remove-orphans >/dev/null 2>&1' EXIT

docker compose --progress quiet build
{
  echo '$ docker compose up --build --scale worker=4'
  docker compose --ansi never --progress plain up --build --scale worker=4 2>&1 &
  until manager=$(docker compose ps --all --quiet --status exited manager) && [ -n "$manager" ]; do
    sleep 1
  done
  docker compose stop >/dev/null 2>&1
  wait
  echo '$ docker inspect --format {{.State.ExitCode}} ledger-manager-1'
  docker inspect --format '{{.State.ExitCode}}' "$manager"
} | sed -E -e 's/\x1b\[[0-9]*K//g' -e '/^(#[0-9]+ .*|)$/d' -e 's/ +$//' -e 's/ledger-sample/ledger/g' >"$log"
echo "wrote $log"
