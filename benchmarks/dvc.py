"""Owns `dvc status` on the stages of the generated pipelines, beside Refit's decision; refuses to run without DVC."""

from __future__ import annotations

from benchmarks.measure import Report


def beside(report: Report) -> None:
    report.note("dvc is not installed, so `dvc status` was not measured.")
