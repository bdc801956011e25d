"""Owns how git is run: a clean environment, no prompts, no hooks, no foreign configuration, always a time limit; refuses
to let a credential into an argument list or an error."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
    "TMPDIR",
)
_CREDENTIALS = re.compile(r"(\w+://)[^/@\s]+@")
_TRANSIENT = (
    "could not resolve",
    "timed out",
    "connection",
    "early eof",
    "rpc failed",
    "503",
    "502",
    "500",
    "429",
    ".lock",
)
_SHORT, _LONG = 60.0, 1_800.0


@dataclass(frozen=True)
class Git:
    """Runs git in one repository. ``protocols`` are the transports it may use, ``token`` its read credential."""

    folder: Path
    protocols: Sequence[str] = ("https",)
    token: str = field(default="", repr=False)

    def environment(self, **more: str) -> dict[str, str]:
        """Everything git sees of the outside."""
        settings = {"core.hooksPath": os.devnull, "safe.directory": "*", "gc.auto": "0", "protocol.version": "2"}
        if self.token:
            basic = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
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
        }
        for at, (key, value) in enumerate(settings.items()):
            found |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
        return found | more

    def run(
        self, *arguments: str, act: str, stdin: bytes = b"", long: bool = False, more: Mapping[str, str] | None = None
    ) -> bytes:
        """Stdout of a successful run. ``act`` names what is being done, for the error: ``Retry`` for what may pass
        (network, locks, time), ``Refused`` for the rest."""
        process = subprocess.Popen(
            ["git", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(**(more or {})),
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(stdin, timeout=_LONG if long else _SHORT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Retry(f"{act}: git took too long") from None
        if process.returncode:
            raise self._failure(act, errors.decode("utf-8", "replace"))
        return output

    def _failure(self, act: str, errors: str) -> Exception:
        lines = [line for line in errors.splitlines() if line.strip() and not line.startswith(("hint:", "warning:"))]
        text = shown(self.scrub(lines[-1] if lines else "git failed without a message"))
        transient = any(sign in errors.lower() for sign in _TRANSIENT)
        return Retry(f"{act}: {text}") if transient else Refused(f"{act}: {text}")

    def scrub(self, text: str) -> str:
        """Without credentials in URLs and without the token itself."""
        text = _CREDENTIALS.sub(r"\1***@", text)
        return text.replace(self.token, "***") if self.token else text
