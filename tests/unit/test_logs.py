"""Log lines as text and as JSON, and seeds."""

import json
import logging

from ledger.logs import log_event, set_up
from ledger.seeds import derive


def test_a_text_line_contains_the_source_and_a_severe_level(capfd):
    set_up("text", "info")
    log_event(logging.getLogger("ledger.worker"), "result", "trial 1: loss 0.5", loss=0.5)
    log_event(logging.getLogger("ledger.worker"), "failed", "trial 2 failed", level=logging.WARNING)
    log_event(logging.getLogger("ledger.worker"), "detail", "not shown", level=logging.DEBUG)
    first, second = capfd.readouterr().err.splitlines()
    assert first.split(maxsplit=2)[1:] == ["worker", "trial 1: loss 0.5"]
    assert second.endswith("warning: trial 2 failed")


def test_control_characters_in_a_message_are_escaped_on_one_line(capfd):
    set_up("text", "info")
    log_event(logging.getLogger("ledger.worker"), "failed", "ValueError: \x1b[31m\x9b2J\u202e\r\n12:00:00 forged")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith(r"ValueError: \x1b[31m\x9b2J\u202e 12:00:00 forged")


def test_a_json_line_contains_the_fields_of_its_event(capfd):
    set_up("json", "info")
    log_event(logging.getLogger("ledger.manager"), "told", "iteration 0: done", mean_loss=0.5, study="s")
    (line,) = capfd.readouterr().err.splitlines()
    event = json.loads(line)
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "info",
        "source": "manager",
        "event": "told",
        "message": "iteration 0: done",
        "mean_loss": 0.5,
        "study": "s",
    }


def test_a_seed_depends_on_every_word_and_never_changes():
    seeds = {derive(42, "trial", 7), derive(43, "trial", 7), derive(42, "trial", 8), derive(42, "iteration", 7)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)
    # another number would change the proposals of every study
    assert derive(42, "trial", 7) == 2022401491
