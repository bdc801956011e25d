"""Owns the page of metrics over commits; refuses to say whether up is good: no metric declares it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from service.web.api.parameters import Text
from service.web.auth import Reads, services_of
from service.web.pages.charts import trend
from service.web.pages.rendering import branch as spoken
from service.web.pages.rendering import page

router = APIRouter()
_POINTS, _CHARTS = 60, 12


@router.get("/trends", response_class=HTMLResponse)
def trends(
    request: Request, caller: Reads, repository: Text = "", pipeline: Text = "", branch: Text = ""
) -> HTMLResponse:
    """One chart for each metric of a pipeline: a line for one branch, dots for the others."""
    with services_of(request).store.read() as work:
        known = work.lineage.metrics()
        pipelines = sorted({(one[0], one[1]) for one in known})
        chosen = next((one for one in pipelines if one == (repository, pipeline)), pipelines[0] if pipelines else None)
        repository, pipeline = chosen or ("", "")
        names = sorted({one[3] for one in known if (one[0], one[1]) == chosen})
        series = {}
        for name in names[:_CHARTS]:
            newest = work.lineage.measurements(name, repository, pipeline, limit=_POINTS).items
            series[name] = tuple(reversed(newest))
    refs = [point.ref for points in series.values() for point in points]
    usual = f"refs/heads/{branch}" if branch else _main(refs)
    return page(
        request,
        "trends.html",
        pipelines=pipelines,
        chosen=chosen,
        branch=spoken(usual),
        branches=sorted({spoken(ref) for ref in refs}),
        charts=[(name, trend(points, usual)) for name, points in series.items()],
        left_out=names[_CHARTS:],
    )


def _main(refs: list[str]) -> str:
    usual = [ref for ref in ("refs/heads/main", "refs/heads/master") if ref in refs]
    return usual[0] if usual else max(refs, key=refs.count, default="")
