"""Owns what Prometheus reads: this process's requests and deliveries, and the store's state when asked; refuses labels
that a caller chooses, and the global registry, which two apps in one process would share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from service.ports.store import Store

API = "/api/v1"
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE"})


class Instruments:
    """One app's metrics."""

    def __init__(self, store: Store) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "refit_request_seconds", "Answered requests", ["method", "route", "status"], registry=self._registry
        )
        self._deliveries = Counter(
            "refit_deliveries", "Webhooks by what was answered", ["outcome"], registry=self._registry
        )
        for outcome in ("stored", "duplicate", "rejected", "failed"):
            self._deliveries.labels(outcome)
        self._registry.register(_Stored(store))

    def answered(self, method: str, scope: Scope, status: int, seconds: float) -> None:
        """Count one request under its route's template: paths are without number."""
        route = getattr(scope.get("route"), "path", "") or "none"
        if scope["path"].startswith(f"{API}/") and route != "none":
            route = f"{API}{route.removeprefix(API)}"  # FastAPI's nested routes know only their own part
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).observe(seconds)

    def delivered(self, outcome: str) -> None:
        self._deliveries.labels(outcome).inc()

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Stored(Collector):
    """Counted in the database when asked, so that every replica tells the same."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterable[Metric]:
        return ()  # else registering would ask the database

    def collect(self) -> Iterable[Metric]:
        with self._store.read() as work:
            yield _gauge("refit_executions", "Executions by status", "status", work.executions.counts())
            yield _gauge("refit_steps", "Steps of executions by outcome", "outcome", work.executions.outcomes())
            yield _gauge("refit_jobs", "Rows that wait or are in work, by queue", "queue", work.jobs.depth())
            yield GaugeMetricFamily("refit_workers", "Workers seen in the last 30 seconds", work.jobs.beats(30.0))


def _gauge(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([value], count)
    return family
