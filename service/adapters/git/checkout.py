"""Owns a user's own checkout or bare repository, read in place; refuses to fetch and to change anything in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import git as gitpython

from service.adapters.git.command import Git
from service.adapters.git.objects import Objects
from service.domain.errors import Refused
from service.domain.names import is_sha, shown

_DEFAULTS = (
    "refs/remotes/origin/HEAD",
    "refs/remotes/origin/main",
    "refs/remotes/origin/master",
    "refs/heads/main",
    "refs/heads/master",
)


class Checkout(Objects):
    """Implements the repository port over what is on disk. ``folder`` is the git directory."""

    def __init__(self, path: Path) -> None:
        try:
            with gitpython.Repo(path, search_parent_directories=True) as found:
                self.folder = Path(found.common_dir)
        except (gitpython.InvalidGitRepositoryError, gitpython.NoSuchPathError) as error:
            raise Refused(f"opening {path}: it is not in a git repository; --repo names one") from error
        super().__init__(Git(self.folder, ("https", "ssh", "file")))
        self._head = Git(Path(found.git_dir), ("https", "ssh", "file"))
        self._work_tree = found.working_tree_dir

    def __enter__(self) -> Checkout:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fetch(self, *shas: str) -> Mapping[str, str]:
        """Nothing is fetched: what is here is what there is."""
        for sha in shas:
            self.commit(sha)
        return self.refs()

    def resolve(self, revision: str) -> str:
        """Full commit SHA of anything that ``git rev-parse`` understands and that is no option."""
        if is_sha(revision):
            return self.commit(revision).sha
        if not revision or "\0" in revision:
            raise Refused(f"resolving {shown(revision)!r}: it is not a revision")
        try:
            found = self._head.run(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", act="resolving"
            )
        except Refused as error:
            raise Refused(f"resolving {shown(revision)[:100]}: there is no such commit, branch or tag here") from error
        sha = found.decode().strip()
        if not is_sha(sha):  # `^main` excludes a commit and names none
            raise Refused(f"resolving {shown(revision)[:100]}: it names no single commit")
        return sha

    def uncommitted(self) -> int:
        """How many tracked files differ from ``HEAD`` in the working tree; 0 in a bare repository."""
        if self._work_tree is None:
            return 0
        words = ("-c", "core.fsmonitor=false", "diff", "--no-ext-diff", "--name-only", "-z", "HEAD", "--")
        try:
            found = self._head.run(*words, act="looking for changes", more={"GIT_WORK_TREE": str(self._work_tree)})
        except Refused:  # no commit yet
            return 0
        return found.count(b"\0")

    def default_branch(self) -> str | None:
        """The head of the branch that work is merged into, as far as this repository says."""
        refs = self.fetch()
        for name in _DEFAULTS:
            if name in refs:
                return refs[name]
        heads = [name for name in refs if name.startswith("refs/heads/")]
        return refs[heads[0]] if len(heads) == 1 else None
