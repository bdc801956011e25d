"""The pages: server-drawn, readable without JavaScript; refuses inline scripts, inline styles and anything from elsewhere."""

from __future__ import annotations

from fastapi import APIRouter

from service.web.pages import commit, deliveries, execution, executions, lineage, models, trends

router = APIRouter(include_in_schema=False)
for page in (executions, execution, commit, lineage, models, trends, deliveries):
    router.include_router(page.router)
