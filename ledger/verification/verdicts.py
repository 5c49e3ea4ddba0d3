"""Verification of early stopping. The module computes each cutoff and verdict again, and checks each promotion."""

import math
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from ledger.database.rows import PromotionRow, TrialRow, VerdictRow
from ledger.database.transfer import StudySnapshot
from ledger.study.early_stopping import EarlyStopping
from ledger.study.spec import StudySpec
from ledger.study.verdicts import (
    compared_trials,
    cutoff_of_ordered,
    goes_on,
    is_audited,
    promotion_cutoff,
    promotion_cutoff_of_ordered,
    stops,
)


def disagreements(ledger: StudySnapshot, study: StudySpec) -> Iterator[str]:
    """Yield the contradictions between the recorded verdicts, cutoffs, reports and pruned trials of a study.

    Each yielded text describes one contradiction, and names the trial or the iteration.
    """
    rule, recorded = study.stopping, ledger.stopping
    known = {verdict.rung for verdict in recorded.verdicts} | {limit.rung for limit in recorded.cutoffs}
    unknown = known - set(rule.rungs)
    if unknown:
        yield f"the study itself: rung {min(unknown)} is recorded, but it is not a rung of the study's rule"
        return
    for verdict in recorded.verdicts:
        for difference in _reported(verdict, ledger):
            yield f"{_place(verdict)}: {difference}"
    yield from _pruned(ledger)
    if study.mode == "steady":
        yield from _steady(ledger, study)
        return
    if recorded.promotions:
        yield f"{_promotion_place(recorded.promotions[0])}: a study in batch mode has no promotions"
    if rule.rule == "promotion":
        yield from _unjudged(ledger, rule)
        yield from _promotions(ledger, study)
    else:
        yield from _never_paused(ledger, rule)
        yield from _cutoffs(ledger, rule)
        yield from _verdicts(ledger, study)
        yield from _missing(ledger, rule, list(_judged(ledger, rule)))


def _place(verdict: VerdictRow) -> str:
    return f"trial {verdict.trial}: the verdict at rung {verdict.rung}"


def _promotion_place(promotion: PromotionRow) -> str:
    return f"trial {promotion.trial}: the promotion at rung {promotion.rung}"


def _reported(verdict: VerdictRow, ledger: StudySnapshot) -> Iterator[str]:
    """Compare the attempt, the step and the loss of a verdict with the reports."""
    # In a snapshot of a running study, a verdict can be newer than the verdict's trial, or the verdict's trial can be
    # missing.
    trial = ledger.trials[verdict.trial] if verdict.trial < len(ledger.trials) else None
    if verdict.attempt < 1 or (trial is not None and not trial.is_open and verdict.attempt > trial.attempts):
        yield f"the verdict belongs to attempt {verdict.attempt}, which does not exist"
        return
    report = ledger.stopping.reports.get((verdict.trial, verdict.rung))
    if report is None:
        yield "no report belongs to the rung, because the trial has not reached the rung or has skipped it"
    elif report.step > verdict.step and report.reported_at > verdict.decided_at:
        # The objective has reported a lower step after a higher step, and after the verdict. A ledger before revision
        # 0015 did not record this order.
        return
    elif (report.attempt, report.step, report.loss) != (verdict.attempt, verdict.step, verdict.loss):
        yield (
            f"the verdict has step {verdict.step} and loss {verdict.loss} of attempt {verdict.attempt}, but the reports"
            f" result in step {report.step} and loss {report.loss} of attempt {report.attempt}"
        )


def _pruned(ledger: StudySnapshot) -> Iterator[str]:
    """Compare the trials that this ledger has pruned with the verdicts that stopped them."""
    stopping: dict[int, VerdictRow] = {}
    promoted = {(promotion.trial, promotion.rung) for promotion in ledger.stopping.promotions}
    for verdict in ledger.stopping.verdicts:
        if verdict.stops and not verdict.audited and (verdict.trial, verdict.rung) not in promoted:
            stopping.setdefault(verdict.trial, verdict)
    for trial in ledger.trials:
        if trial.state != "pruned" or trial.source == "imported":
            continue
        found = stopping.get(trial.number)
        if found is None:
            yield f"trial {trial.number}: the state is pruned, but no verdict stops the trial"
        elif (trial.pruned_step, trial.pruned_loss) != (found.step, found.loss):
            yield (
                f"trial {trial.number}: `pruned_step` is {trial.pruned_step} and `pruned_loss` is {trial.pruned_loss},"
                f" but the verdict at rung {found.rung} is about step {found.step} with the loss {found.loss}"
            )


def _cutoffs(ledger: StudySnapshot, rule: EarlyStopping) -> Iterator[str]:
    """For a study in batch mode, compute the cutoffs of each iteration from the verdicts on the trials of earlier
    iterations."""
    recorded = {
        (row.iteration, row.group_number, row.rung): (row.compared, row.loss) for row in ledger.stopping.cutoffs
    }
    needed = _needed_groups(ledger, rule)
    losses: Mapping[int, list[float]] = {rung: [] for rung in rule.rungs}
    left = iter(ledger.stopping.verdicts)
    verdict = next(left, None)
    for iteration in ledger.iterations:
        for group in range(rule.group_of(max(iteration.size, 1) - 1) + 1):
            first = iteration.first_trial + group * (rule.group_size or 0)
            while verdict is not None and verdict.trial < first:
                insort(losses[verdict.rung], math.inf if verdict.loss is None else verdict.loss)
                verdict = next(left, None)
            for rung, earlier in losses.items():
                of_group = f" of group {group}" if group else ""
                place = f"iteration {iteration.number}: the cutoff{of_group} at rung {rung}"
                found = recorded.pop((iteration.number, group, rung), None)
                expected = len(earlier), _finite(cutoff_of_ordered(rule.rule, rule.eta, earlier))
                if found is None:
                    if group == 0 or (iteration.number, group, rung) in needed:
                        yield f"{place} is missing"
                elif found != expected:
                    yield (
                        f"{place} is {found[1]} (from {found[0]} trials), but the earlier"
                        f" {'groups and ' if group else ''}iterations result in {expected[1]} (from {expected[0]}"
                        " trials)"
                    )
    for row in ledger.stopping.cutoffs:
        if row.trial is not None:
            yield f"iteration {row.iteration}: the cutoff at rung {row.rung} names a trial, which only promotion does"
    for number, group, rung in recorded:
        # In a snapshot of a running study, a cutoff can belong to an iteration or a group that the snapshot does not
        # contain.
        if number < len(ledger.iterations) and not (group and ledger.iterations[number].told is None):
            yield f"iteration {number}: the cutoff at rung {rung} belongs to no iteration"


def _verdicts(ledger: StudySnapshot, study: StudySpec) -> Iterator[str]:
    """For a study in batch mode, compute the verdicts from the cutoffs of the iterations."""
    cutoffs = {(row.iteration, row.group_number, row.rung): row for row in ledger.stopping.cutoffs}
    for verdict in ledger.stopping.verdicts:
        if verdict.trial >= len(ledger.trials):
            continue
        trial: TrialRow = ledger.trials[verdict.trial]
        given = cutoffs.get((trial.iteration, _group(ledger, study.stopping, trial), verdict.rung))
        compared, limit = (0, None) if given is None else (given.compared, given.loss)
        stopped = _stops(verdict, study, compared, limit)
        yield from _differences(verdict, study, compared, limit, None, stopped=stopped)


def _group(ledger: StudySnapshot, rule: EarlyStopping, trial: TrialRow) -> int:
    return rule.group_of(trial.number - ledger.iterations[trial.iteration].first_trial)


def _needed_groups(ledger: StudySnapshot, rule: EarlyStopping) -> Collection[tuple[int, int, int]]:
    """Return the iteration, the group and the rung of each verdict. The ledger records the cutoff of a group before the
    first verdict on a trial of the group.
    """
    if rule.group_size is None:
        return ()
    known = [verdict for verdict in ledger.stopping.verdicts if verdict.trial < len(ledger.trials)]
    trials = [ledger.trials[verdict.trial] for verdict in known]
    return {
        (trial.iteration, _group(ledger, rule, trial), verdict.rung)
        for verdict, trial in zip(known, trials, strict=True)
    }


def _judged(ledger: StudySnapshot, rule: EarlyStopping) -> Iterator[int]:
    """Yield each trial with reports that must have a verdict at each rung that it has reached.

    With groups, a trial can reach a rung before its verdict is known. When the iteration is told, all verdicts are
    known.
    """
    for number in ledger.stopping.reached:
        if rule.group_size is None or (
            number < len(ledger.trials) and ledger.iterations[ledger.trials[number].iteration].told is not None
        ):
            yield number


def _missing(ledger: StudySnapshot, rule: EarlyStopping, trials: Collection[int]) -> Iterator[str]:
    """Find each rung that one of the given trials has reached without a verdict."""
    decided = _decided(ledger)
    for trial in trials:
        for rung in _rungs_without_verdict(ledger, rule.rungs, trial, decided):
            yield _missing_verdict(trial, rung)


def _missing_verdict(trial: int, rung: int) -> str:
    return f"trial {trial}: the trial has reached rung {rung}, but the verdict is missing"


def _decided(ledger: StudySnapshot) -> Mapping[tuple[int, int], bool]:
    """Return whether the verdict at a rung has ended the trial, for each trial and rung with a verdict."""
    return {(verdict.trial, verdict.rung): verdict.ends for verdict in ledger.stopping.verdicts}


def _rungs_without_verdict(
    ledger: StudySnapshot, rungs: Iterable[int], trial: int, decided: Mapping[tuple[int, int], bool]
) -> Iterator[int]:
    for rung in rungs:
        ends = decided.get((trial, rung))
        if ends is None and _has_reached(ledger.stopping.reached.get(trial, ()), rung):
            yield rung
        # A trial gets no verdicts above the rung that has stopped the trial.
        if ends:
            return


def _has_reached(attempts: Sequence[tuple[int, int]], rung: int) -> bool:
    """Return whether a trial has reached the rung, and has not skipped it.

    A trial skips the rung if neither the first attempt that reaches the rung nor an earlier attempt has reported a step
    at or below the rung before.
    """
    lowest = rung + 1
    for first, last in attempts:
        lowest = min(lowest, first)
        if last >= rung:
            return lowest <= rung
    return False


def _promotions(ledger: StudySnapshot, study: StudySpec) -> Iterator[str]:
    """Compute the cutoffs and the verdicts of the rule "promotion" from the losses of the compared trials."""
    cutoffs = {(row.iteration, row.rung): row for row in ledger.stopping.cutoffs}
    for row in ledger.stopping.cutoffs:
        if row.group_number != 0:
            yield (
                f"iteration {row.iteration}: the cutoff at rung {row.rung} belongs to group {row.group_number}, but the"
                " rule promotion has no groups"
            )
    at_rung: dict[tuple[int, int], list[VerdictRow]] = defaultdict(list)
    stopped: set[int] = set()
    earlier: dict[int, list[tuple[int, float | None]]] = defaultdict(list)
    # In a snapshot of a running study, verdicts can belong to trials that the snapshot does not contain.
    newer = {verdict.rung for verdict in ledger.stopping.verdicts if verdict.trial >= len(ledger.trials)}
    for verdict in ledger.stopping.verdicts:
        if verdict.trial < len(ledger.trials):
            at_rung[ledger.trials[verdict.trial].iteration, verdict.rung].append(verdict)
            if verdict.trial in stopped:
                yield f"{_place(verdict)}: an earlier rung has stopped the trial"
            if verdict.stops and not verdict.audited:
                stopped.add(verdict.trial)
    for (iteration, rung), found in sorted(at_rung.items()):
        place = f"iteration {iteration}: the cutoff at rung {rung}"
        given = cutoffs.pop((iteration, rung), None)
        judged = [verdict for verdict in found if not is_audited(study.seed, verdict.trial, study.stopping.audit)]
        known = list(earlier[rung])
        earlier[rung] += [(verdict.trial, verdict.loss) for verdict in judged]
        if rung not in study.stopping.rungs_of(iteration):
            yield f"{_place(found[0])}: the trials of iteration {iteration} do not stop at this rung"
        if given is None:
            yield f"{place} is missing"
            continue
        limit = None if given.loss is None else (given.loss, -1 if given.trial is None else given.trial)
        comparisons = [compared_trials(study.batch_size, own, known) for own in _compared_at_once(judged)]
        results = [(compared, promotion_cutoff(study.stopping.eta, compared)) for compared in comparisons]
        compared, expected = next(
            (each for each in results if (len(each[0]), each[1]) == (given.compared, limit)), results[0]
        )
        if rung in newer and iteration == len(ledger.iterations) - 1:
            pass  # The snapshot may lack some trials of the iteration.
        elif len(compared) != given.compared:
            yield (
                f"{place} compares {given.compared} trials, but the verdicts of the iteration and of earlier iterations"
                f" result in {len(compared)} compared trials"
            )
        elif limit != expected:
            yield (
                f"{place} is {_limit(limit)}, but the losses of the {given.compared} compared trials result in"
                f" {_limit(expected)}"
            )
        for verdict in found:
            is_stopped = not goes_on(verdict.loss, verdict.trial, limit)
            yield from _differences(verdict, study, given.compared, given.loss, None, stopped=is_stopped)
    for iteration, rung in cutoffs:
        if iteration < len(ledger.iterations) and rung not in newer:
            yield f"iteration {iteration}: the cutoff at rung {rung} belongs to no verdict"


def _unjudged(ledger: StudySnapshot, rule: EarlyStopping) -> Iterator[str]:
    """Find each rung of the rule "promotion" that a trial of a told iteration has reached without a verdict.

    A rung without a cutoff has no verdicts. Each pause of a trial led to a verdict, unless the trial was cancelled.
    """
    decided = _decided(ledger)
    cutoffs = {(row.iteration, row.rung) for row in ledger.stopping.cutoffs}
    pauses = Counter(attempt.trial for attempt in ledger.attempts if attempt.outcome == "paused")
    verdicts = Counter(verdict.trial for verdict in ledger.stopping.verdicts)
    for trial in ledger.trials:
        missing = []
        if ledger.iterations[trial.iteration].told is not None:
            rungs = _rungs_without_verdict(ledger, rule.rungs_of(trial.iteration), trial.number, decided)
            missing = [rung for rung in rungs if (trial.iteration, rung) in cutoffs]
        for rung in missing:
            yield _missing_verdict(trial.number, rung)
        unjudged = pauses[trial.number] - verdicts[trial.number]
        if not missing and unjudged > (trial.is_open or trial.state == "cancelled"):
            yield (
                f"trial {trial.number}: the number of paused attempts is {pauses[trial.number]}, but the number of"
                f" verdicts is {verdicts[trial.number]}"
            )


def _compared_at_once(judged: Sequence[VerdictRow]) -> Iterator[list[tuple[int, float | None]]]:
    """Yield the trials and losses of the verdicts that were recorded at the same moment, for each moment.

    The first comparison determined the cutoff. If a trial joins the iteration after this comparison, the verdict on the
    new trial is usually later, and earlier only if the clock of the database was set back.
    """
    if not judged:
        yield []
    for moment in sorted({verdict.decided_at for verdict in judged}):
        yield [(verdict.trial, verdict.loss) for verdict in judged if verdict.decided_at == moment]


def _limit(limit: tuple[float, int] | None) -> str:
    return "None" if limit is None else f"{limit[0]} of trial {limit[1]}"


def _steady(ledger: StudySnapshot, study: StudySpec) -> Iterator[str]:
    """Compute the verdicts and the promotions of a study in steady mode. At each rung, the function follows the
    recorded order of the arrivals.
    """
    recorded = ledger.stopping
    if recorded.cutoffs:
        yield f"iteration {recorded.cutoffs[0].iteration}: a study in steady mode has no cutoffs"
    at_rung: dict[int, list[VerdictRow]] = defaultdict(list)
    for verdict in recorded.verdicts:
        if verdict.arrival is None:
            yield f"{_place(verdict)}: `arrival` is missing"
            return
        at_rung[verdict.rung].append(verdict)
    for rung in sorted(at_rung):
        at_rung[rung].sort(key=lambda verdict: verdict.arrival or 0)
        for expected, verdict in enumerate(at_rung[rung], start=1):
            if verdict.arrival != expected:
                yield (
                    f"{_place(verdict)}: `arrival` is {verdict.arrival}, but the arrivals at a rung are 1, 2, 3 and so"
                    " on"
                )
                return
    if study.stopping.rule == "promotion":
        yield from _steady_promotions(ledger, study, at_rung)
    else:
        if recorded.promotions:
            yield f"{_promotion_place(recorded.promotions[0])}: the rule {study.stopping.rule} promotes no trials"
        yield from _never_paused(ledger, study.stopping)
        for rung in sorted(at_rung):
            yield from _arrivals(at_rung[rung], study)
    # If another transaction is recording an arrival at the rung, `ledger.arrive` can leave a rung without a verdict.
    # Therefore a missing verdict is a contradiction only if the hash of the trial's arrivals differs.
    yield from _missing(ledger, study.stopping, sorted(ledger.changed_reports))


def _arrivals(arrived: Sequence[VerdictRow], study: StudySpec) -> Iterator[str]:
    """Compute the verdicts at one rung. Each trial is compared with the earlier arrivals."""
    rule = study.stopping
    earlier: list[float] = []
    for verdict in arrived:
        limit = _finite(cutoff_of_ordered(rule.rule, rule.eta, earlier))
        stopped = _stops(verdict, study, len(earlier), limit)
        yield from _differences(verdict, study, len(earlier), limit, len(earlier) + 1, stopped=stopped)
        insort(earlier, math.inf if verdict.loss is None else verdict.loss)


def _steady_promotions(
    ledger: StudySnapshot, study: StudySpec, at_rung: Mapping[int, Sequence[VerdictRow]]
) -> Iterator[str]:
    """Compute the verdicts of the rule "promotion" in steady mode, and check the promotions of the paused trials."""
    eta = study.stopping.eta
    promoted: dict[tuple[int, int], PromotionRow] = {}
    for promotion in ledger.stopping.promotions:
        if (promotion.trial, promotion.rung) in promoted:
            yield f"{_promotion_place(promotion)} is recorded twice"
        promoted[promotion.trial, promotion.rung] = promotion
    left = dict(promoted)
    for rung in sorted(at_rung):
        ranked: list[tuple[float, int]] = []
        limits: list[tuple[float, int] | None] = []
        for place, verdict in enumerate(at_rung[rung], start=1):
            if verdict.loss is not None:
                insort(ranked, (verdict.loss, verdict.trial))
            limit = promotion_cutoff_of_ordered(eta, place, ranked)
            limits.append(limit)
            stopped = not goes_on(verdict.loss, verdict.trial, limit)
            highest = None if limit is None else limit[0]
            yield from _differences(verdict, study, place - 1, highest, place, stopped=stopped)
        for verdict in at_rung[rung]:
            given = left.pop((verdict.trial, rung), None)
            if given is not None:
                for difference in _promoted(given, verdict, limits, eta):
                    yield f"{_promotion_place(given)}: {difference}"
    for promotion in left.values():
        yield f"{_promotion_place(promotion)}: the trial has no verdict at this rung"
    for before, verdict in pairwise(ledger.stopping.verdicts):
        is_stopped = before.stops and not before.audited and (before.trial, before.rung) not in promoted
        if before.trial == verdict.trial and is_stopped:
            yield f"{_place(verdict)}: the trial was stopped at rung {before.rung}, and no promotion is recorded there"
    yield from _pauses(ledger)
    waited = {(verdict.trial, verdict.rung) for verdict in ledger.stopping.verdicts if verdict.stops}
    for iteration in ledger.iterations:
        for number, seen_rung in zip(iteration.seen or (), iteration.seen_rungs or (), strict=False):
            if seen_rung is not None and (number, seen_rung) not in waited:
                yield (
                    f"iteration {iteration.number} records the pause of trial {number} at rung {seen_rung}, but no"
                    " verdict stops the trial at this rung"
                )


def _promoted(
    promotion: PromotionRow, verdict: VerdictRow, limits: Sequence[tuple[float, int] | None], eta: int
) -> Iterator[str]:
    """Check the promotion of a trial. The list `limits` contains the cutoff after each arrival at the rung."""
    arrival = verdict.arrival or 0
    if not verdict.stops or verdict.audited:
        yield "the trial did not wait at the rung, because no verdict stopped it"
    elif not arrival <= promotion.arrivals <= len(limits):
        yield (
            f"`arrivals` is {promotion.arrivals}, but the trial was arrival {arrival}, and the rung has {len(limits)}"
            " arrivals"
        )
    elif not goes_on(verdict.loss, verdict.trial, limits[promotion.arrivals - 1]):
        yield f"the trial was not among the best 1/{eta} of the first {promotion.arrivals} arrivals"


def _never_paused(ledger: StudySnapshot, rule: EarlyStopping) -> Iterator[str]:
    for attempt in ledger.attempts:
        if attempt.outcome == "paused":
            yield (
                f"trial {attempt.trial}: attempt {attempt.number} is paused, but the rule {rule.rule} pauses no trials"
            )


def _pauses(ledger: StudySnapshot) -> Iterator[str]:
    """For each trial, compare the number of pauses with the number of promotions."""
    paused = Counter(attempt.trial for attempt in ledger.attempts if attempt.outcome == "paused")
    promoted = Counter(promotion.trial for promotion in ledger.stopping.promotions)
    stopped = {verdict.trial for verdict in ledger.stopping.verdicts if verdict.stops and not verdict.audited}
    for trial in ledger.trials:
        pauses, promotions = paused[trial.number], promoted[trial.number]
        waits = trial.state in ("paused", "pruned") and trial.source != "imported"
        if trial.state == "cancelled":
            agrees = pauses - promotions in (0, 1)
        elif trial.is_open and not ledger.study.has_ended:
            # A snapshot of a running study can contain a promotion that is newer than the state of the trial.
            agrees = pauses <= promotions + waits
        else:
            agrees = pauses == promotions + waits
        if not agrees:
            yield (
                f"trial {trial.number}: the state is {trial.state}, but the number of paused attempts is {pauses}, and"
                f" the number of promotions is {promotions}"
            )
        if trial.state == "paused" and trial.number not in stopped:
            yield f"trial {trial.number}: the state is paused, but no verdict stops the trial"


def _stops(verdict: VerdictRow, study: StudySpec, compared: int, limit: float | None) -> bool:
    return compared >= study.stopping.eta and stops(verdict.loss, math.inf if limit is None else limit)


def _differences(
    verdict: VerdictRow, study: StudySpec, compared: int, limit: float | None, arrival: int | None, *, stopped: bool
) -> Iterator[str]:
    expected = {
        "cutoff": limit,
        "compared": compared,
        "arrival": arrival,
        "stops": stopped,
        "audited": is_audited(study.seed, verdict.trial, study.stopping.audit),
    }
    for column, value in expected.items():
        if (recorded := getattr(verdict, column)) != value:
            yield f"{_place(verdict)}: `{column}` is {recorded}, but the recorded losses result in {value}"


def _finite(limit: float | None) -> float | None:
    """Return the cutoff in the form in which the ledger records it. The ledger records None instead of infinity."""
    return None if limit == math.inf else limit
