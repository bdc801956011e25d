"""Owns which failure of Azure is which: later, or never, with the next step; refuses to know what was asked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from service.domain.errors import Refused, Retry

_SOON_SECONDS, _OPERATOR_SECONDS, _LONGEST_WAIT = 5.0, 60.0, 300.0
_ACTION = re.compile(r"perform action '([\w./*-]{1,200})'")
_SECRET = re.compile(r"([?&](?:sig|se|sp|sv|skoid|sktid)=)[^&\s\"']+|(eyJ[\w-]{4,}\.)[\w.-]+", re.IGNORECASE)
_QUOTA = re.compile(r"quota|ResourceLimit|insufficient capacity|exceeds? the limit", re.IGNORECASE)
_TAKEN = re.compile(r"job with this name already exists", re.IGNORECASE)
_RACED = frozenset({"BlobAlreadyExists", "ResourceExistsError"})


@dataclass(eq=False)
class Problem(Exception):
    """What Azure answered instead. ``status`` is HTTP's, 0 if it was not reached; ``after`` is what it asked to wait, in
    seconds; ``operation`` is what was asked."""

    operation: str
    status: int
    code: str = ""
    said: str = ""
    after: float | None = None

    @property
    def is_absent(self) -> bool:
        return self.status == 404

    @property
    def is_denied(self) -> bool:
        return self.status == 403

    @property
    def is_conflict(self) -> bool:
        """That the name is taken: a job's conflict is told with several statuses."""
        return self.status == 409 or _TAKEN.search(self.said) is not None

    @property
    def is_transient(self) -> bool:
        return self.status in (0, 408, 429) or self.status >= 500


def translated(act: str, problem: Problem, *, starts: bool) -> Retry | Refused:
    """What Azure fails at later is ``Retry``. What only a person can mend is ``Refused`` where something ``starts``; where
    something runs already it must not be given up for that, and is asked again."""
    said, operation = without_secrets(problem.said)[:500], problem.operation
    if problem.status == 429:
        wait = _SOON_SECONDS if problem.after is None else min(max(problem.after, 1.0), _LONGEST_WAIT)
        return Retry(f"{act}: Azure asks for patience ({operation})", wait)
    if problem.status == 0:
        return Retry(f"{act}: Azure cannot be reached: {said}", _SOON_SECONDS)
    if problem.is_transient or problem.code in _RACED:
        return Retry(f"{act}: Azure failed ({operation}: {problem.code or problem.status})", _SOON_SECONDS)
    if problem.status == 401:
        return Retry(f"{act}: the Azure credentials are expired or wrong ({said}); renew them", _OPERATOR_SECONDS)
    if problem.is_denied:
        action = _ACTION.search(problem.said)
        what = action.group(1) if action else f"{operation}: {said}"
        reason = f"{act}: Azure does not allow {what}; add it to the role of the service's identity (docs/azureml.md)"
    elif _QUOTA.search(f"{problem.code} {problem.said}"):
        reason = f"{act}: a quota is used up ({operation}: {said}); ask Azure to raise it, or run less at once"
    else:
        reason = f"{act}: Azure refuses {operation}: {problem.code or problem.status}: {said}"
    return Refused(reason) if starts else Retry(reason, _OPERATOR_SECONDS)


def without_secrets(text: str) -> str:
    """Signatures of shared access and tokens are no words for a log."""
    return _SECRET.sub(lambda found: f"{found.group(1) or found.group(2)}…", text)
