"""Owns a process tree in which the kernel refuses every namespace; refuses to pretend it."""

from __future__ import annotations

import subprocess

_NONE_LEFT = "echo 0 > /proc/sys/user/max_user_namespaces && echo 0 > /proc/sys/user/max_mnt_namespaces"


def refused() -> list[str]:
    """Words to put before a command: it runs in a user namespace in which not one more may be made, nor a mount namespace, by
    nobody; no words where this machine refuses them to us already."""
    words = ["unshare", "--user", "--map-root-user", "sh", "-c", f'{_NONE_LEFT}; exec "$@"', "sh"]
    if subprocess.run(["unshare", "--user", "true"], check=False, capture_output=True).returncode:
        return []
    tried = subprocess.run([*words, "sh", "-c", "! unshare --user true && ! unshare --mount true"], capture_output=True)
    assert tried.returncode == 0, f"the kernel still allows them: {tried.stderr.decode()}"
    return words
