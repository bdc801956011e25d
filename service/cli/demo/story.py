"""Owns the story: what each push changes, and what it is announced to lead to; refuses to know what really happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STEPS = ("preprocess", "train", "evaluate")
MAIN, BRANCH = "main", "feature/smaller-trees"


@dataclass(frozen=True)
class Edit:
    """Replace ``old``, which must be there exactly once, by ``new``; an empty ``old`` appends."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Chapter:
    """One push. ``plan`` is announced for (preprocess, train, evaluate) when it arrives, ``outcome`` when it ends.

    ``act``: ``edit``, ``revert`` (the newest ``count`` commits), or ``squash`` (the branch into main). ``base``: how many
    chapters back the last success lies that explains this push (0: there is none).
    """

    title: str
    message: str
    plan: tuple[str, str, str]
    outcome: tuple[str, str, str]
    edits: tuple[Edit, ...] = ()
    branch: str = MAIN
    act: str = "edit"
    count: int = 0
    base: int = 1


@dataclass(frozen=True)
class Played:
    """A chapter and the execution that it led to, as the REST API tells it."""

    chapter: Chapter
    commit: str
    execution: Mapping[str, Any] = field(default_factory=dict)

    def differences(self) -> list[str]:
        """Where decisions or outcomes differ from what was announced."""
        steps = {step["component"]: step for step in self.execution.get("steps", ())}
        found = []
        for at, name in enumerate(STEPS):
            step = steps.get(name, {"planned": "nothing", "state": "nothing"})
            for what, announced in (("planned", self.chapter.plan[at]), ("state", self.chapter.outcome[at])):
                if step[what] != announced:
                    found.append(f"{name} {what} {step[what]}, announced {announced}")
        return found

    def document(self) -> dict[str, Any]:
        return {
            "title": self.chapter.title,
            "commit": self.commit,
            "announced": {"plan": list(self.chapter.plan), "outcome": list(self.chapter.outcome)},
            "execution": dict(self.execution),
            "differences": self.differences(),
        }


_RUN, _REUSE, _PENDING = "run", "reuse", "pending"
_RAN, _REUSED, _FAILED, _BLOCKED = "succeeded", "reused", "failed", "blocked"
_NONE, _KEPT = (_REUSE, _REUSE, _REUSE), (_REUSED, _REUSED, _REUSED)


def story() -> tuple[Chapter, ...]:
    """The pushes in order."""
    return (
        Chapter(
            "First commit: everything runs", "Predict diamond prices", (_RUN, _RUN, _RUN), (_RAN, _RAN, _RAN), base=0
        ),
        Chapter(
            "README edit: nothing runs",
            "Explain the data",
            _NONE,
            _KEPT,
            (Edit("README.md", "", "\nThe data are 53,940 diamonds; see data/README.md.\n"),),
        ),
        Chapter(
            "A comment and formatting in train.py: nothing runs",
            "Tidy train.py",
            _NONE,
            _KEPT,
            (
                Edit(
                    "src/diamonds/train.py",
                    "    rows = read_table",
                    "    # One row is one diamond.\n    rows = read_table",
                ),
                Edit("src/diamonds/train.py", "        early_stopping=False,\n", "        early_stopping = False,\n"),
            ),
        ),
        Chapter(
            "Learning rate: train runs, evaluate follows, preprocess is reused",
            "Learn more slowly",
            (_REUSE, _RUN, _PENDING),
            (_REUSED, _RAN, _RAN),
            (Edit("params.yaml", "learning_rate: 0.1", "learning_rate: 0.08"),),
        ),
        Chapter(
            "A helper that preprocess imports, same output: preprocess runs, what follows is cut off",
            "Name the smallest side",
            (_RUN, _PENDING, _PENDING),
            (_RAN, _REUSED, _REUSED),
            (
                Edit(
                    "src/diamonds/cleaning.py",
                    "    if min(x, y, z) <= 0:\n        return False\n",
                    "    smallest = min(x, y, z)\n    if smallest <= 0:\n        return False\n",
                ),
            ),
        ),
        Chapter(
            "The same helper, other output: everything that reads it runs",
            "Believe fewer measurements",
            (_RUN, _PENDING, _PENDING),
            (_RAN, _RAN, _RAN),
            (Edit("src/diamonds/cleaning.py", '- float(row["depth"])) < 5', '- float(row["depth"])) < 1'),),
        ),
        Chapter(
            "A metric is added: evaluate alone runs",
            "Measure the median error",
            (_REUSE, _REUSE, _RUN),
            (_REUSED, _REUSED, _RAN),
            (
                Edit(
                    "src/diamonds/evaluate.py",
                    '        "r2": float(r2_score(truth, guess)),\n',
                    '        "r2": float(r2_score(truth, guess)),\n'
                    '        "median_error": float(np.median(np.abs(truth - guess))),\n',
                ),
            ),
        ),
        Chapter(
            "A commit breaks train: it fails, and says where",
            "Train on dollars (oops)",
            (_REUSE, _RUN, _PENDING),
            (_REUSED, _FAILED, _BLOCKED),
            (Edit("src/diamonds/train.py", "np.log(prices(rows))", "np.log(dollars(rows))"),),
        ),
        Chapter(
            "README only: train is still wanted, a failure is not forgotten",
            "Thank the data's authors",
            (_REUSE, _RUN, _PENDING),
            (_REUSED, _FAILED, _BLOCKED),
            (Edit("README.md", "", "\nWith thanks to the authors of ggplot2.\n"),),
            base=2,
        ),
        Chapter("Revert to the good commit: all reused", "", _NONE, _KEPT, act="revert", count=2, base=3),
        Chapter(
            "A branch tries smaller trees: train and evaluate run there",
            "Grow smaller trees",
            (_REUSE, _RUN, _PENDING),
            (_REUSED, _RAN, _RAN),
            (Edit("params.yaml", "max_leaf_nodes: 31", "max_leaf_nodes: 24"),),
            branch=BRANCH,
        ),
        Chapter(
            "The branch is squash-merged: promoted, nothing runs", "Grow smaller trees (#1)", _NONE, _KEPT, act="squash"
        ),
    )
