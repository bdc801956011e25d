"""Owns one node of a look → an observation, with what its job reported or why it failed; refuses to look by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from service.adapters.backends.azureml import names
from service.adapters.backends.azureml.azure import Azure, calling
from service.adapters.backends.azureml.datastores import Datastores
from service.adapters.backends.azureml.failures import without_secrets
from service.adapters.backends.azureml.following import ENDED, time_of
from service.adapters.backends.azureml.loglines import Logs
from service.adapters.backends.azureml.native.running import NativeRuns
from service.adapters.backends.azureml.registering import Models
from service.adapters.backends.cloud.failures import explained
from service.adapters.backends.cloud.looks import Look
from service.adapters.backends.cloud.outputs import NO_REPORT, Index, Report, Unbelievable, read_report
from service.adapters.backends.steps.container.receipts import REPORT_FILE
from service.domain.execution import Observation, Seen

_REUSED, _REUSED_RUN = "azureml.isreused", "azureml.reusedrunid"
_VANISHED = frozenset({"ServiceError", "TransientError", "RequestThrottled", "AzureStorageError"})
"""Codes of run history's errors that are the platform's own."""
_STOPPING = frozenset({"Canceled", "CancelRequested"})
_LOST_AFTER = timedelta(minutes=15)
_LARGEST_REPORT = 4 * 1024 * 1024


@dataclass(frozen=True)
class Ran:
    """What ran a node, or what Azure ML took instead of running it: ``reused`` then."""

    run: str
    outputs: Mapping[str, Any]
    reused: bool


class Observer:
    """Tells how a step stands."""

    def __init__(
        self, azure: Azure, datastores: Datastores, index: Index, logs: Logs, native: NativeRuns | None = None
    ) -> None:
        self._native = native
        self._azure = azure
        self._datastores = datastores
        self._index = index
        self._logs = logs
        self._models = Models(azure)

    def observation(self, look: Look, job: str, node: str) -> Observation:
        """A node that has not begun when its job has ended never will."""
        row = look.steps.get(node)
        if row is None or row.get("status") == "NotStarted":
            return self._not_begun(look, node)
        status, run = str(row.get("status")), str(row["runId"])
        seen = Observation(Seen.RUNNING, started_at=time_of(row.get("startTimeUtc")), job=self._link(run))
        if status not in ENDED:
            lost = look.has_ended and datetime.now(UTC) - look.changed > _LOST_AFTER
            why = f"Azure ML ended the pipeline job and left {node} as {status}"
            return replace(seen, seen=Seen.LOST, error=why, ended_at=look.changed) if lost else seen
        seen = replace(seen, ended_at=time_of(row.get("endTimeUtc")) or look.changed)
        match status:
            case "Completed":
                return self._succeeded(seen, look, job, node)
            case "Canceled":
                stopped = look.status in _STOPPING or not look.has_ended
                return replace(seen, seen=Seen.CANCELLED if stopped else Seen.SKIPPED, error="cancelled")
            case _:
                return self._failed(seen, run, row)

    @staticmethod
    def _not_begun(look: Look, node: str) -> Observation:
        if not look.has_ended:
            return Observation(Seen.RUNNING)
        if look.status in _STOPPING:
            return Observation(Seen.CANCELLED, error="cancelled before it began", ended_at=look.changed)
        why = f"the pipeline job ended as {look.status} before {node} began"
        return Observation(Seen.SKIPPED, error=why, ended_at=look.changed)

    def ran(self, row: Mapping[str, Any]) -> Ran:
        """Whose outputs and log are the node's."""
        properties = row.get("properties") or {}
        other = str(properties.get(_REUSED_RUN) or "")
        if str(properties.get(_REUSED, "")).lower() != "true" or not other:
            return Ran(str(row["runId"]), row.get("outputs") or {}, False)
        found = self._azure.history("GET", f"/runs/{other}")
        return Ran(other, found.get("outputs") or {}, True)

    def _link(self, run: str) -> str:
        """A page of the Studio; the name where there is none."""
        declared = self._azure.declared
        if declared.endpoints is not None:
            return run
        scope = f"/subscriptions/{declared.subscription}/resourcegroups/{declared.resource_group}/workspaces/{declared.workspace}"
        return f"{declared.places.aml_resource_id.rstrip('/')}/runs/{run}?wsid={scope}"

    # success ----------------------------------------------------------------------------------------------------------

    def _succeeded(self, seen: Observation, look: Look, job: str, node: str) -> Observation:
        """With its outputs' places written to the index before anybody can hear of the success."""
        with calling(f"reading what {node} made"):
            ran = self.ran(look.steps[node])
            if self._native is not None and names.is_native(job):
                noted = self._native.noted(job, node)
                places = self._places(ran, noted[1])
                if ran.reused and (gone := self._native.gone(noted[1], ran.run, places)):
                    why = f"Azure ML reused {ran.run}, but its output {gone} is not there any more as that job made it"
                    return replace(seen, seen=Seen.LOST, error=why)  # the next attempt is told to run
                outputs = self._native.made(job, noted, places)
                metrics, reused = self._native.metrics(ran.run), ran.run if ran.reused else ""
                return replace(
                    seen, seen=Seen.SUCCEEDED, outputs=outputs, metrics=metrics, job=self._link(ran.run), reused=reused
                )
            try:
                report, placed = self._reported(ran)
            except Unbelievable as problem:
                if ran.reused:  # its outputs were removed meanwhile; the next attempt is told to run
                    why = f"Azure ML reused {ran.run}, but {problem}"
                    return replace(seen, seen=Seen.LOST, error=why)
                return replace(seen, seen=Seen.FAILED, error=f"the job ended well, but {problem}")
            self._index.write([replace(one, uri=placed[one.name]) for one in report.outputs])
            self._register(look, job, node, report)
        return replace(
            seen, seen=Seen.SUCCEEDED, exit_code=report.exit_code, inputs=report.inputs, outputs=report.outputs,
            metrics=report.metrics, environment=report.environment, job=self._link(ran.run), reused=ran.run if ran.reused else "",
        )  # fmt: skip

    def _reported(self, ran: Ran) -> tuple[Report, dict[str, str]]:
        """What a job said, and where each of its outputs lies."""
        ports = self._ports(ran)
        content = self._datastores.read(f"{self._port(ran, ports, names.REPORT_PORT)}/{REPORT_FILE}", _LARGEST_REPORT)
        if content is None:
            raise Unbelievable(NO_REPORT)
        report = read_report(content)
        return report, {one.name: self._port(ran, ports, names.output_port(one.name)) for one in report.outputs}

    def _places(self, ran: Ran, outputs: Mapping[str, str]) -> dict[str, str]:
        """Where a native step's outputs lie: those that are no datastore's lie nowhere that anybody may read."""
        ports = self._ports(ran)
        found = {}
        for name in outputs:
            with contextlib.suppress(Unbelievable):
                found[name] = self._port(ran, ports, name)
        return found

    def _ports(self, ran: Ran) -> dict[str, str]:
        """Port → URI, as the data catalogue tells them."""
        assets = {str(one["assetId"]): port for port, one in ran.outputs.items() if one.get("assetId")}
        if not assets:
            return {}
        answer = self._azure.history("POST", "/dataversion/batchGetResolvedUris", {"values": list(assets)}, "data/v1.0")
        return {
            assets[asset]: str(one["uri"]) for asset, one in (answer.get("values") or {}).items() if asset in assets
        }

    def _port(self, ran: Ran, ports: Mapping[str, str], port: str) -> str:
        """In the short form. Where the catalogue says nothing, an output lies where Azure ML puts it by default."""
        default = names.datastore_uri(self._azure.declared.datastore, f"azureml/{ran.run}/{port}")
        try:
            return names.datastore_uri(*names.parts_of(ports.get(port, default)))
        except ValueError as error:
            raise Unbelievable(f"its output {port} lies at {ports[port]!r}, which is no datastore's") from error

    def _register(self, look: Look, job: str, node: str, report: Report) -> None:
        described = self._azure.history("GET", f"/runs/{job}")
        wanted = Models.wanted(described, node)
        if wanted is None:
            return
        run, uri, digest = "", str(wanted.get("uri", "")), str(wanted.get("digest", ""))
        if not uri:
            row = look.steps.get(str(wanted.get("node")))
            if row is None:
                return
            ran = self.ran(row)
            made, placed = self._reported(ran)
            output = next((one for one in made.outputs if one.name == wanted.get("output")), None)
            if output is None:
                return
            run, uri, digest = ran.run, placed[output.name], output.digest
        self._models.register(wanted, described, uri, digest, run, report.metrics)

    # failure ----------------------------------------------------------------------------------------------------------

    def _failed(self, seen: Observation, run: str, row: Mapping[str, Any]) -> Observation:
        """In the step's own words where the container had any; else in Azure ML's."""
        error = (row.get("error") or {}).get("error") or {}
        tail = self._logs.tail(run)
        own = [text for stream, text in tail if stream == "refit" and not text.startswith("running ")]
        if own:
            text, code = explained(own[-1], tail)
            return replace(seen, seen=Seen.FAILED, error=text, exit_code=code)
        said = without_secrets(str(error.get("message") or "Azure ML says nothing of why"))[:2_000]
        vanished = str(error.get("code")) in _VANISHED
        return replace(seen, seen=Seen.LOST if vanished else Seen.FAILED, error=_with_next_step(said))


def _with_next_step(said: str) -> str:
    if "quota" in said.lower():
        return f"{said}; ask Azure to raise this quota, or name another `instance`"
    if "AuthorizationFailed" in said or "does not have authorization" in said:
        return f"{said}; give it to the compute's identity (docs/azureml.md)"
    return said
