"""`python3 run.py demo | test | sync | lock | <refit command>`: needs Python 3.11+ and git, brings everything else."""

import hashlib
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
UV_VERSION = "0.13.9"
COMPILE = "pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11"


def stop(message: str) -> None:
    sys.exit(f"run.py: {message}")


def run(act: str, *command: object, **variables: str) -> None:
    """Run to success, or end with the command's own exit code after saying what it was for."""
    code = subprocess.run([str(word) for word in command], cwd=ROOT, env={**os.environ, **variables}).returncode
    if code:
        if act:
            print(f"run.py: {act} ended with {code}; mend what is said above and run the same again", file=sys.stderr)
        sys.exit(code if code > 0 else 128 - code)


def registry() -> dict:
    """What uv must be told because it reads neither pip's configuration nor, by itself, the system's certificates: the index
    that pip is configured for, and the system's store where there is one, as behind a company's proxy."""
    told = {}
    if not (os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")):
        ask = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
        url = os.environ.get("PIP_INDEX_URL") or subprocess.run(ask, capture_output=True, text=True).stdout.strip()
        told |= {"UV_DEFAULT_INDEX": url} if url else {}
    if "UV_SYSTEM_CERTS" not in os.environ and ssl.get_default_verify_paths().cafile:
        told["UV_SYSTEM_CERTS"] = "true"
    return told


def uv() -> str:
    """uv from PATH, else installed once below .uv/."""
    own = ROOT / ".uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(own) if own.exists() else None)
    if found:
        return found
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True).returncode:
        stop(f"looking for uv: it is not on PATH and {sys.executable} has no pip to bring it; install either one")
    target = ["install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target", ROOT / ".uv"]
    run("installing uv into .uv/", *pip, *target, f"uv=={UV_VERSION}")
    return str(own)


def python(name: str) -> Path:
    """The interpreter of .venv, synced from a lock when the stamp does not name it; dev contains base, so never back."""
    interpreter, stamp = ROOT / ".venv" / "bin" / "python", ROOT / ".venv" / "refit.stamp"
    have = stamp.read_text() if stamp.exists() and interpreter.exists() else ""
    name = "dev" if have.startswith("dev ") else name
    lock = ROOT / "requirements" / f"{name}.lock"
    wanted = f"{name} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    if have == wanted:
        return interpreter
    print(f"run.py: preparing .venv from {lock.relative_to(ROOT)}", file=sys.stderr, flush=True)
    if not interpreter.exists():
        run("making .venv", uv(), "venv", "--quiet", "--clear", "--python", sys.executable, ROOT / ".venv")
    stamp.unlink(missing_ok=True)  # an interrupted sync must not pass for a finished one
    sync = ["pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", interpreter, lock]
    run(f"installing {lock.name}", uv(), *sync, **registry())
    stamp.write_text(wanted)
    return interpreter


def lock(*options: str) -> None:
    for name in ("base", "dev", "sagemaker", "azureml"):
        of = [] if name == "base" else ["--extra", name, "-c", "requirements/base.lock"]
        to = ["pyproject.toml", "-o", f"requirements/{name}.lock"]
        run(f"locking {name}", uv(), *COMPILE.split(), *options, *of, *to, **registry())
    for of in sorted((ROOT / "service/adapters/backends").glob("*/sdk/*.in")):  # each has an environment of its own
        to = [of.relative_to(ROOT), "-o", of.with_suffix(".lock").relative_to(ROOT)]
        run(f"locking the SDK {of.stem}", uv(), *COMPILE.split(), *options, *to, **registry())


def main(verb: str = "--help", *rest: str) -> None:
    if sys.version_info < (3, 11):
        stop(f"Refit needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    if verb == "lock":
        lock(*rest)
    elif verb == "sync":
        python("dev")
    elif verb == "test":
        run("", python("dev"), "-m", "pytest", *rest, **registry())
    elif verb == "demo" and rest[:1] == ("--backend",) and rest[1:2] not in ((), ("local",)):
        run("", python("dev"), "-m", "tests.emulators.demo", *rest[1:], **registry())  # an emulator is a test's part
    else:
        command = [str(python("base")), "-m", "service", verb, *rest]
        os.execve(command[0], command, {**os.environ, "PYTHONPATH": str(ROOT), **registry()})


if __name__ == "__main__":
    main(*sys.argv[1:])
