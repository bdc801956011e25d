"""The REST API, one file for each noun; refuses vendors, and any shape that is not in ``shapes``."""

from __future__ import annotations

from fastapi import APIRouter

from service.web.api import commits, deliveries, executions, lineage, models, pipelines, plans

router = APIRouter(prefix="/api/v1")
for noun in (executions, commits, pipelines, models, lineage, deliveries, plans):
    router.include_router(noun.router)
