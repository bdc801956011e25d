"""Owns the images of the container tests: the project's own, built from its Dockerfile as it is, on a stand-in for its base;
refuses to change a line of it.

No image can be pulled on a machine without a way to a container registry. Debian's mirror is reached, so the base is what
the official image is made of: the same Debian release, with that release's own Python of the same version.
"""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from pathlib import Path

from tests.container.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "refit:local"
NEIGHBOURS = "neighbours:local"
RELEASES = {"3.11": "bookworm", "3.13": "trixie"}
"""The Debian release whose own Python has that version; official images of 3.13 are made of the same."""

# What the official images bring besides Python, which Debian's own may not share with pip.
_PACKAGES = "ca-certificates,netbase,tzdata,python3,python3-pip,python3-venv"
_LIKE_THE_OFFICIAL_ONE = (
    'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
    'for name in python python3; do ln -s /usr/bin/python3 "$1/usr/local/bin/$name"; done',
    'ln -s /usr/bin/pip "$1/usr/local/bin/pip"',
)
# PostgreSQL and nginx in one image, which takes one apt-get; the compose test gives it the names of the official ones.
_NEIGHBOURS = """\
FROM {base}
RUN mkdir -p /etc/postgresql-common \\
 && echo create_main_cluster=false > /etc/postgresql-common/createcluster.conf \\
 && apt-get update -qq \\
 && apt-get install -y -qq --no-install-recommends nginx-light postgresql \\
 && useradd --system nginx \\
 && rm -rf /var/lib/nginx && ln -s /var/cache/nginx /var/lib/nginx
COPY postgres.sh /usr/local/bin/postgres.sh
"""


def base(engine: Engine, folder: Path) -> str:
    """Makes the image that the Dockerfile starts from; its name."""
    version = re.search(r"^ARG PYTHON=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert version is not None
    archive, name = folder / "base.tar", f"python:{version[1]}-slim"
    hooks = [f"--customize-hook={hook}" for hook in _LIKE_THE_OFFICIAL_ONE]
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}", *hooks, RELEASES[version[1]]]
    done = subprocess.run(
        [*command, str(archive), *_mirror()], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-8000:]
    engine.podman("import", "--quiet", "--change", 'CMD ["python3"]', archive, name)
    archive.unlink()
    return name


def build(engine: Engine, folder: Path, *more: str, image: str = IMAGE) -> str:
    """Builds the project's image; what the builder said."""
    engine.podman(*_BUILD, *mirrors(folder), *more, "--tag", image, ROOT, outside=True)
    return image


def neighbours(engine: Engine, folder: Path, base: str) -> str:
    """Builds the image with PostgreSQL and nginx."""
    context = folder / "neighbours"
    context.mkdir()
    (context / "Dockerfile").write_text(_NEIGHBOURS.format(base=base))
    entry = context / "postgres.sh"
    entry.write_text(Path(__file__).with_name("postgres.sh").read_text())
    entry.chmod(0o755)
    engine.podman(*_BUILD, "--tag", NEIGHBOURS, context, outside=True)
    return NEIGHBOURS


# chroot: as podman's containers here, without limits that not every machine may set. docker: the one that has health checks.
_BUILD = (
    "build",
    "--quiet",
    "--layers=false",
    "--isolation=chroot",
    "--network=host",
    "--pull=never",
    "--format=docker",
)


def _mirror() -> list[str]:
    """Where this machine gets its own Debian packages."""
    listing = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run(listing, capture_output=True, text=True, check=False).stdout
    return [line.split()[1] for line in found.splitlines() if line.startswith("Debian ")][:1]


def mirrors(folder: Path) -> list[str]:
    """Mounts that tell pip and uv, inside, what this machine knows of package indexes and certificates."""
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL")
    authorities = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    pip, uv = ["[global]"], ["system-certs = true"]
    mounts = []
    if index:
        pip.append(f"index-url = {index}")
        uv.append(f'[[index]]\nurl = "{index}"\ndefault = true')
    if authorities:
        pip.append("cert = /etc/ssl/certs/ca-certificates.crt")
        mounts.append(f"{authorities}:/etc/ssl/certs/ca-certificates.crt:ro")
    for name, lines, place in (("pip.conf", pip, "/etc/pip.conf"), ("uv.toml", uv, "/etc/uv/uv.toml")):
        (folder / name).write_text("\n".join(lines) + "\n")
        mounts.append(f"{folder / name}:{place}:ro")
    return [word for mount in mounts for word in ("--volume", mount)]
