"""Owns a user's own checkout or bare repository, read in place; refuses to fetch and to change anything in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

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


@dataclass(frozen=True)
class _Place:
    """Where a repository is: its common directory, that of this work tree, and the work tree (``None`` if it is bare)."""

    common: Path
    own: Path
    work_tree: Path | None


def _at_or_above(path: Path) -> _Place | None:
    """An ordinary checkout around a path: the usual case, for which a plan need not wait until GitPython is loaded."""
    start = path.resolve()
    for folder in (start, *start.parents):
        git = folder / ".git"
        if git.exists() or (folder / "HEAD").exists():
            return _Place(git, git, folder) if _is_plain(git) and start.is_dir() else None
    return None


def _is_plain(git: Path) -> bool:
    """Whether a ``.git`` is the folder that ``git init`` makes, with nothing of it elsewhere."""
    if not ((git / "HEAD").is_file() and (git / "objects").is_dir()) or (git / "commondir").exists():
        return False
    try:
        said = (git / "config").read_text("utf-8", "replace")
    except OSError:
        return False
    return "worktree" not in said and "bare = true" not in said


def _wherever(path: Path) -> _Place:
    """A linked work tree, a submodule, a bare repository, or none."""
    import git as gitpython  # a tenth of a second

    try:
        with gitpython.Repo(path, search_parent_directories=True) as found:
            work_tree = found.working_tree_dir
            return _Place(Path(found.common_dir), Path(found.git_dir), Path(work_tree) if work_tree else None)
    except (gitpython.InvalidGitRepositoryError, gitpython.NoSuchPathError) as error:
        raise Refused(f"opening {path}: it is not in a git repository; --repo names one") from error


class Checkout(Objects):
    """Implements the repository port over what is on disk. ``folder`` is the git directory."""

    def __init__(self, path: Path) -> None:
        found = _at_or_above(path) or _wherever(path)
        self.folder = found.common
        super().__init__(Git(self.folder, ("https", "ssh", "file")))
        self._head = Git(found.own, ("https", "ssh", "file"))
        self._work_tree = found.work_tree

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
