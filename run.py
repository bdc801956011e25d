"""`python3 run.py demo | test | sync | lock | <refit command>`: needs Python 3.11+ and git, brings everything else."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
UV_VERSION = "0.13.9"
LOCKS = {
    "base": [],
    "dev": ["--extra", "dev"],
    "sagemaker": ["--extra", "sagemaker"],
    "azureml": ["--extra", "azureml"],
}


def say(message: str) -> None:
    print(f"run.py: {message}", file=sys.stderr, flush=True)


def run(*command: object, **variables: str) -> None:
    """Run to success, or end with the command's own exit code: it has said why."""
    code = subprocess.run([str(word) for word in command], cwd=ROOT, env={**os.environ, **variables}).returncode
    if code:
        sys.exit(code)


def index() -> dict:
    """pip's configured index, handed to uv, which does not read pip's configuration."""
    if os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL"):
        return {}
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True
    )
    url = os.environ.get("PIP_INDEX_URL") or asked.stdout.strip()
    return {"UV_DEFAULT_INDEX": url} if url else {}


def uv() -> str:
    """uv from PATH, else installed once below .uv/."""
    own = ROOT / ".uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(own) if own.exists() else None)
    if found:
        return found
    say("installing uv into .uv/ (once)")
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
        ROOT / ".uv",
        f"uv=={UV_VERSION}",
    )
    return str(own)


def python(lock: str) -> Path:
    """The interpreter of .venv, synced from the lock whose hash its stamp lacks; dev contains base, so never back."""
    interpreter, stamp = ROOT / ".venv" / "bin" / "python", ROOT / ".venv" / "refit.stamp"
    wanted = {
        name: hashlib.sha256((ROOT / "requirements" / f"{name}.lock").read_bytes()).hexdigest()
        for name in ("base", "dev")
    }
    have = stamp.read_text().split() if stamp.exists() and interpreter.exists() else []
    if wanted["dev"] in have or wanted[lock] in have:
        return interpreter
    say(f"preparing .venv from requirements/{lock}.lock")
    if not interpreter.exists():
        run(uv(), "venv", "--quiet", "--clear", "--python", sys.executable, ROOT / ".venv")
    run(
        uv(),
        "pip",
        "sync",
        "--quiet",
        "--require-hashes",
        "--python",
        interpreter,
        ROOT / "requirements" / f"{lock}.lock",
        **index(),
    )
    stamp.write_text(wanted[lock])
    return interpreter


def lock() -> None:
    for name, extra in LOCKS.items():
        against = [] if name == "base" else ["-c", "requirements/base.lock"]
        run(uv(), "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-emit-index-url", "--no-header", "--python-version", "3.11",
            *extra, *against, "pyproject.toml", "-o", f"requirements/{name}.lock", **index())  # fmt: skip


def main(arguments: list) -> None:
    if sys.version_info < (3, 11):
        sys.exit("run.py: Refit needs Python 3.11 or newer; this is " + sys.version.split()[0])
    verb, rest = (arguments[0] if arguments else "--help"), arguments[1:]
    if verb == "lock":
        lock()
    elif verb == "sync":
        python("dev")
    elif verb == "test":
        run(python("dev"), "-m", "pytest", *rest)
    else:
        interpreter = python("base")
        os.execve(
            interpreter,
            [str(interpreter), "-m", "service", *arguments],
            {**os.environ, "PYTHONPATH": str(ROOT), **index()},
        )


if __name__ == "__main__":
    main(sys.argv[1:])
