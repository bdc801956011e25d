"""Owns a story of pushes to several branches, the same from the same seed, and what must be true of the lineage at its end;
refuses times, which differ, and who of two equals was first, which chance decides."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.adapters.database.unit_of_work import Database
from service.domain.execution import Execution, Seen, Status
from service.ports.store import ExecutionFilter, ResultFilter
from tests.crash.stand import Clone
from tests.crash.sums import params

BRANCHES = ("main", "one", "two", "three")


@dataclass(frozen=True)
class Wave:
    """Pushes that come one after the other. ``races``: several to one branch, so that chance decides what is superseded."""

    acts: tuple[tuple[str, str, int, int], ...]
    races: bool = False


def story(seed: int) -> tuple[Wave, ...]:
    """Five waves: new branches, edits, force-pushes and a deletion, a race, and an end that touches every branch."""
    numbers = random.Random(seed)
    fresh = iter(numbers.sample(range(10, 10_000), 100))  # no two branches want the same at once, but in a race

    def acts(*kinds: str) -> tuple[tuple[str, str, int, int], ...]:
        return tuple(
            (kind, branch, next(fresh), next(fresh)) for kind, branch in zip(kinds, BRANCHES, strict=True) if kind
        )

    same = next(fresh), next(fresh)
    race = [
        (numbers.choice(["edit", "edit", "force", "text"]), numbers.choice(BRANCHES), *same)
        if numbers.random() < 0.5
        else ("edit", numbers.choice(BRANCHES), next(fresh), next(fresh))
        for _ in range(10)
    ]
    return (
        Wave(acts("edit", "edit", "edit", "edit")),
        Wave(acts("edit", "text", "force", "edit")),
        Wave((*race, ("delete", "three", 0, 0), ("edit", "three", *same)), races=True),
        Wave(acts("force", "edit", "delete", "text")),
        Wave(acts("edit", "force", "edit", "edit")),
    )


@dataclass
class Teller:
    """Tells the waves in a clone; knows where every branch should stand."""

    clone: Clone
    heads: dict[str, str] = field(default_factory=dict)
    settled: list[str] = field(default_factory=list)
    """Commits whose fate chance has no part in."""
    ends: list[tuple[str, str]] = field(default_factory=list)
    """Where each branch stood at the end of a wave: chance must not decide on what."""

    def tell(self, wave: Wave, pause: Callable[[], None]) -> None:
        for kind, branch, scale, factor in wave.acts:
            self._act(kind, branch, scale, factor, keep=not wave.races)
            pause()
        self.ends += [(f"refs/heads/{branch}", head) for branch, head in self.heads.items()]

    def _act(self, kind: str, branch: str, scale: int, factor: int, *, keep: bool) -> None:
        git = self.clone.git
        if kind == "delete":
            git("checkout", "--quiet", "main")
            git("branch", "--quiet", "-D", branch)
            self.clone.push("--delete", branch)
            del self.heads[branch]
            return
        if branch in self.heads:
            git("checkout", "--quiet", branch)
        elif self.heads:
            git("checkout", "--quiet", "-b", branch, "main")
        if kind == "force" and branch in self.heads:
            git("reset", "--quiet", "--hard", "HEAD~1")
        text = {"README.md": f"sums {scale}\n"}
        head = self.clone.commit(f"{kind} {branch}", text if kind == "text" else params(scale, factor, 0.5))
        self.clone.push("--force", "HEAD")
        self.heads[branch] = head
        if keep:
            self.settled.append(head)


@dataclass(frozen=True)
class Truth:
    """What is in the database, by content."""

    results: frozenset[Any]
    standing: frozenset[Any]
    heads: frozenset[Any]
    models: frozenset[Any]


def truth(store: Database, teller: Teller) -> Truth:
    """Results by key and content; for settled commits each decision and what satisfied it; what every head stands on;
    the versions registered for settled commits."""
    executions = everything(store)
    with store.begin() as work:
        records = {one.id: one for one in work.lineage.page(ResultFilter(), limit=10_000).items}
        models = [one for one in work.models.all() if one.commit in teller.settled]
    content = {
        id: (
            one.component,
            one.key,
            one.static_key,
            tuple((a.name, a.digest, a.size) for a in one.outputs),
            tuple(sorted((a.name, a.digest) for a in one.inputs)),
            tuple(sorted(one.metrics.items())),
            tuple(sorted(one.parameters.items())),
        )
        for id, one in records.items()
    }
    standing, heads = set(), set()
    for execution in executions:
        for step in execution.steps:
            fact = (execution.ref, execution.commit, step.name, content.get(step.result.id) if step.result else None)
            if execution.commit in teller.settled:
                decision = step.decision.value if step.decision else ""
                # Not what was planned: `run` becomes `pending` where a commit that was not waited for has left a result.
                standing.add((*fact, decision, step.state.value, execution.status.value))
            if (execution.ref, execution.commit) in teller.ends and not execution.is_stopping:
                heads.add(fact)
    wanted = [content[id] for id, one in records.items() if one.commit in teller.settled]
    return Truth(
        frozenset(wanted), frozenset(standing), frozenset(heads), frozenset((m.name, m.digest) for m in models)
    )


def everything(store: Database) -> Sequence[Execution]:
    with store.begin() as work:
        return work.executions.page(ExecutionFilter(), limit=10_000).items


def broken_rules(store: Database, starts: Counter[str], ends: Counter[str]) -> list[str]:
    """What was lost or run twice, in words."""
    found = [f"{token} was started {count} times" for token, count in (starts + ends).items() if starts[token] != 1]
    made: Counter[str] = Counter()
    for execution in everything(store):
        if execution.ended_at is None:
            found.append(f"{execution.id} has not ended")
        if execution.status is Status.FAILED:
            found.append(f"{execution.id} failed: {[a.error for s in execution.steps for a in s.attempts if a.error]}")
        for step in execution.steps:
            for attempt in step.attempts:
                if attempt.seen is Seen.LOST:
                    found.append(f"{attempt.token} was lost: {attempt.error}")
                if attempt.seen is Seen.SUCCEEDED:
                    made[step.key or ""] += 1
                    if ends[attempt.token] != 1:
                        found.append(f"{attempt.token} succeeded and came to its end {ends[attempt.token]} times")
    found += [f"{key} was computed {count} times" for key, count in made.items() if count > 1]
    with store.begin() as work:
        page = work.deliveries.page(limit=1_000)
        recorded = Counter(one.key for one in work.lineage.page(ResultFilter(), limit=10_000).items)
    found += [
        f"delivery {one.delivery.guid}: {one.job}" for one in page.items if not one.outcome or one.job.quarantined
    ]
    if recorded != made:
        found.append(f"lineage has {recorded - made} too much and lacks {made - recorded}")
    return found
