"""The REST API, one file for each noun; refuses vendors, and any shape that its description does not have."""

from __future__ import annotations

from fastapi import APIRouter

from service.web.api import commits, deliveries, executions, lineage, logs, models, pipelines, plans, tokens
from service.web.instruments import API

router = APIRouter(prefix=API)
for noun in (executions, logs, commits, pipelines, models, lineage, deliveries, plans, tokens):
    router.include_router(noun.router)
