"""Gates judge with figures, and a gate that cannot be seen to hold does not."""

from __future__ import annotations

import pytest

from service.domain.gates import Baseline, judge

BASELINE = Baseline("exec-1", "a" * 40, {"rmse": 500.0})


@pytest.mark.parametrize(
    ("gate", "value", "passed", "detail"),
    [
        ("rmse < 560", 559.9, True, "rmse = 559.9 is < 560"),
        ("rmse < 560", 560.0, False, "rmse = 560 is not < 560"),
        ("rmse <= 560", 560.0, True, "rmse = 560 is <= 560"),
        ("rmse > -1.5e2", -150.0, False, "rmse = -150 is not > -150"),
        ("rmse >= 0.5", 0.5, True, "rmse = 0.5 is >= 0.5"),
        ("rmse <= baseline", 500.0, True, "rmse = 500 is <= baseline 500"),
        ("rmse <= baseline * 1.01", 505.1, False, "rmse = 505.1 is not <= baseline 500 × 1.01 = 505"),
    ],
)
def test_a_verdict_has_the_figures(gate: str, value: float, passed: bool, detail: str) -> None:
    (verdict,) = judge([gate], {"rmse": value}, BASELINE)
    assert (verdict.passed, verdict.detail, verdict.value) == (passed, detail, value)
    assert verdict.baseline == ("exec-1" if "baseline" in gate else "")


def test_a_metric_that_nobody_measured_fails() -> None:
    (verdict,) = judge(["rmse < 560"], {"r2": 0.9, "mae": 1.0}, None)
    assert (verdict.passed, verdict.detail) == (False, "no step measured rmse; measured: mae, r2")
    assert judge(["rmse < 560"], {}, None)[0].detail == "no step measured rmse; measured: nothing"


def test_somebody_must_be_the_first() -> None:
    (verdict,) = judge(["rmse <= baseline"], {"rmse": 9.0}, None)
    assert (verdict.passed, verdict.bound) == (True, None)
    assert "no success on the target branch" in verdict.detail
    (verdict,) = judge(["r2 >= baseline"], {"r2": 0.5}, BASELINE)
    assert (verdict.passed, verdict.detail) == (True, "r2 = 0.5; the baseline exec-1 did not measure it")


def test_what_is_no_gate_does_not_pass() -> None:
    (verdict,) = judge(["__import__('os')"], {"rmse": 1.0}, None)
    assert not verdict.passed
    assert "is not a gate" in verdict.detail
