"""The grammar of gates: a metric, an operator, and a number or a factor of the baseline; nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.gates import Gate, judge, parse_gate


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("rmse < 560", Gate("rmse", "<", 560.0, False)),
        ("rmse<=560", Gate("rmse", "<=", 560.0, False)),
        ("  r2 >= 0.97  ", Gate("r2", ">=", 0.97, False)),
        ("drift > -.5", Gate("drift", ">", -0.5, False)),
        ("loss < 1e-3", Gate("loss", "<", 0.001, False)),
        ("loss < +1.5E+2", Gate("loss", "<", 150.0, False)),
        ("regression_metrics.rmse.value < 560", Gate("regression_metrics.rmse.value", "<", 560.0, False)),
        ("rmse <= baseline", Gate("rmse", "<=", 1.0, True)),
        ("rmse <= baseline * 1.01", Gate("rmse", "<=", 1.01, True)),
        ("rmse<=baseline*.5", Gate("rmse", "<=", 0.5, True)),
        ("baseline < 3", Gate("baseline", "<", 3.0, False)),
    ],
)
def test_a_gate(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    "text",
    [
        "", "rmse", "rmse <", "< 5", "rmse = 5", "rmse == 5", "rmse != 5", "rmse =< 5", "rmse <> 5", "rmse < 5 6",
        "rmse < five", "rmse < nan", "rmse < inf", "rmse < 1e999", "1rmse < 5", "rm-se < 5", "rmse < 0x10", "rmse < 1_000",
        "rmse < baseline * -1", "rmse < baseline *", "rmse < baseline / 2", "rmse < 2 * baseline", "rmse < baseline + 1",
        "rmse < baselines", "a < 1 and b < 2", "__import__('os') < 1", "rmse < 5; x", "rmse < 5\nr2 > 1", "a" * 200 + " < 1",
    ],
)  # fmt: skip
def test_what_is_no_gate_is_shown_with_two_that_are(text: str) -> None:
    assert parse_gate(text) == f"{text[:80]!r} is not a gate such as `rmse < 560` or `rmse <= baseline * 1.01`"


_LIKE = st.text("rmse<=>baseline*.0123456789+- ", max_size=60)


@given(st.text(max_size=250) | _LIKE | st.builds("rmse <= {}".format, st.floats()))
def test_any_text_is_a_gate_that_reads_back_or_a_mistake(text: str) -> None:
    found = parse_gate(text)
    if isinstance(found, str):
        assert found.startswith(f"{text[:80]!r} is not a gate")
    elif not found.of_baseline:
        assert parse_gate(f"{found.metric} {found.operator} {found.value!r}") == found
    else:
        assert parse_gate(f"{found.metric} {found.operator} baseline * {found.value:.50f}") == found


@pytest.mark.parametrize("gate", ["rmse < 5", "rmse <= 5", "rmse > 5", "rmse >= 5"])
def test_what_is_no_number_holds_no_gate(gate: str) -> None:
    assert not judge([gate], {"rmse": float("nan")}, None)[0].passed
