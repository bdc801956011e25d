"""Owns how git is run: a clean environment, no prompts, no hooks, no foreign configuration, always a limit of time and of
size; refuses to let a credential into an argument list or an error."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.adapters.git.orphans import OWNER, owner
from service.adapters.git.talk import TooMuch, TooSlow, talk
from service.domain.errors import Refused, Retry
from service.domain.names import shown

_PASSED_ON = (
    "PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "TMPDIR",
)
_CREDENTIALS = re.compile(r"(\w+://)[^/@\s]+@")
_PASSES = re.compile(
    r"unable to access|could not resolve|timed out|connection (?:refused|reset|closed|timed)|early eof|rpc failed"
    r"|hung up|unexpected disconnect|died of signal|no space left|quota exceeded|cannot allocate|temporarily unavailable"
    r"|\.lock': file exists",
    re.IGNORECASE,
)
"""What git says of failures that may pass: of the network, the server, the machine, another git."""
_STAYS = re.compile(r"returned error: 4(?!08|25|29)\d\d", re.IGNORECASE)
"""The server's word that it will not: no such repository, no access."""
_LONG = 1_800.0
_ENDED = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals from outside. Git crashing by itself is its answer to what it was asked, and would come again."""
_MEMORY, _FETCH_MEMORY = 1024**3, 4 * 1024**3
"""Bytes that a git which reads, or fetches, may take: ``diff-tree`` keeps its whole answer before it says any of it."""
MOST = 64 * 1024 * 1024
"""Bytes of one answer unless the caller says otherwise: a list of about half a million files."""


@dataclass(frozen=True)
class Git:
    """Runs git in one repository. ``protocols`` are the transports it may use, ``remote`` the URL of its origin, and
    ``credential`` (``user:password``) what opens it; ``patience`` in seconds is for what needs no network."""

    folder: Path
    protocols: Sequence[str] = ("https",)
    remote: str = ""
    credential: str = field(default="", repr=False)
    patience: float = 60.0

    def environment(self, **more: str) -> dict[str, str]:
        """Everything git sees of the outside."""
        settings = {"core.hooksPath": os.devnull, "safe.directory": "*", "gc.auto": "0", "protocol.version": "2"}
        settings |= {
            "http.lowSpeedLimit": "1",
            "http.lowSpeedTime": "300",
        }  # a server that is silent keeps nobody waiting
        if self.remote:
            settings["remote.origin.url"] = self.remote
        if self.credential:
            basic = base64.b64encode(self.credential.encode()).decode()
            settings["http.extraHeader"] = f"Authorization: Basic {basic}"
        found = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        found |= {
            "GIT_DIR": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_ALLOW_PROTOCOL": ":".join(self.protocols),
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_CONFIG_COUNT": str(len(settings)),
            "LC_ALL": "C",
            OWNER: owner(),
        }
        for at, (key, value) in enumerate(settings.items()):
            found |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
        return found | more

    def run(
        self,
        *arguments: str,
        act: str,
        stdin: bytes = b"",
        long: bool = False,
        most: int = MOST,
        more: Mapping[str, str] | None = None,
        holding: Sequence[int] = (),
    ) -> bytes:
        """Stdout of a successful run. ``act`` names what is being done, for the error: ``Retry`` for what may pass
        (network, locks, time), ``Refused`` for the rest. ``holding`` are descriptors, of locks, that git keeps open; one
        without any only reads, and gets by with less memory."""
        process = subprocess.Popen(
            ["git", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(**(more or {})),
            start_new_session=True,
            pass_fds=holding,
        )
        bound(process, _FETCH_MEMORY if holding else _MEMORY)
        try:
            output, errors = talk(process, stdin, _LONG if long else self.patience, most)
        except TooSlow:
            raise Retry(f"{act}: git took too long") from None
        except TooMuch:
            raise Refused(f"{act}: git's answer is larger than {most} bytes") from None
        if process.returncode:
            raise self._failure(act, process.returncode, errors.decode("utf-8", "replace"))
        return output

    def _failure(self, act: str, code: int, errors: str) -> Exception:
        lines = [line for line in errors.splitlines() if line.strip() and not line.startswith(("hint:", "warning:"))]
        silent = f"git was ended by {signal.Signals(-code).name}" if code < 0 else "git failed without a message"
        said = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else silent)
        text = f"{act}: {shown(self.scrub(said[:1_000]))}"
        return (
            Retry(text) if -code in _ENDED or (_PASSES.search(errors) and not _STAYS.search(errors)) else Refused(text)
        )

    def scrub(self, text: str) -> str:
        """Without credentials in URLs and without the password itself."""
        user, _, password = self.credential.partition(":")
        text = _CREDENTIALS.sub(r"\1***@", text)
        return text.replace(password or user, "***") if self.credential else text


def bound(process: subprocess.Popen[bytes], most: int = _MEMORY) -> None:
    """Limit the memory of a git, and of each that it starts: a file of a few kilobytes may say that it unpacks to as many
    gigabytes. From here rather than between fork and exec, where threads make Python unsafe."""
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (most, most))
