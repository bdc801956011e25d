"""Where the kernel refuses namespaces, a native definition is compiled only by the operator's word, and everybody is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Checkout
from tests.namespaces import refused
from tests.native import FILES, PIPELINE
from tests.sdks import SHELF

BACKENDS = """\
aws: {type: sagemaker, region: eu-west-1, role: "arn:aws:iam::123456789012:role/refit-jobs", bucket: acme-refit}
"""
ALLOWED = {"REFIT_COMPILE_UNCONFINED": "true"}


@pytest.fixture
def native(tmp_path: Path) -> Checkout:
    """A checkout with a native definition, and the SDK that the tests share."""
    made = Checkout(tmp_path / "sums", tmp_path / "home")
    for name, text in FILES.items():
        path = made.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (made.home / "sagemaker").mkdir(parents=True)
    (made.home / "sagemaker" / "sdks").symlink_to(SHELF, target_is_directory=True)
    made.git("init", "--quiet", "--initial-branch=main")
    made.commit()
    return made


def test_a_plan_says_why_it_does_not_compile_and_what_to_do(native: Checkout, tmp_path: Path) -> None:
    backends = tmp_path / "backends.yaml"
    backends.write_text(BACKENDS)
    settings = {"REFIT_BACKENDS": str(backends)}
    done = native.refit("plan", within=refused(), settings=settings)
    told = " ".join(done.stderr.split())
    assert done.returncode != 0, done.stdout
    for words in (
        f"compiling {PIPELINE}: ",
        "allows no namespaces",
        "REFIT_COMPILE_UNCONFINED=true",
        "declare its components",
    ):
        assert words in told
    done = native.refit("plan", within=refused(), settings={**settings, **ALLOWED})
    assert done.returncode == 0 and "Merge" in done.stdout, done.stderr


def test_the_doctor_tells_which_of_the_three_it_is(native: Checkout) -> None:
    def told(**more: object) -> str:
        checks = json.loads(native.refit("doctor", "--json", **more).stdout)  # type: ignore[arg-type]
        return str(next(check["detail"] for check in checks if check["check"] == "native definitions"))

    assert "sagemaker: this machine allows no namespaces: refused; " in told(within=refused())
    assert "REFIT_COMPILE_UNCONFINED is set: compiled with this service's network" in told(
        within=refused(), settings=ALLOWED
    )
    if refused():
        assert told() == "; ".join(
            f"{vendor}: compiled in namespaces of their own" for vendor in ("sagemaker", "azureml")
        )
        assert told(settings=ALLOWED) == told(), "the word is not needed there, and takes nothing away"
