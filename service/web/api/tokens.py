"""Owns the routes of API tokens, for administrators; refuses to show a secret twice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from service.domain.tokens import new_token
from service.web.api.documents import token_document
from service.web.api.paged import whole
from service.web.api.parameters import InPath, Text
from service.web.api.shapes import PageOf, TokenShape, example
from service.web.auth import Administers, services_of
from service.web.problems import Problem, documented

router = APIRouter(tags=["tokens"])


class TokenRequest(BaseModel):
    """What it is for, what it may do (each scope includes those before it), and until when."""

    name: Annotated[Text, StringConstraints(min_length=1, max_length=100)] = Field(examples=["ci"])
    scopes: list[Literal["read", "run", "admin"]] = Field(min_length=1, max_length=3, examples=[["run"]])
    expires_at: AwareDatetime | None = Field(None, examples=["2027-01-01T00:00:00Z"])


class NewToken(TokenShape):
    """The token with its secret, which is shown this once."""

    model_config = example(
        id="5f1d7a84db00", name="ci", scopes=["run"], created_at="2026-11-24T10:00:00Z", secret="rft_Vb0…"
    )

    secret: str


@router.get("/tokens", response_model=PageOf[TokenShape], operation_id="listTokens", summary="List tokens")
def list_tokens(request: Request, caller: Administers) -> Any:
    """Oldest first, revoked ones included, all in one page."""
    with services_of(request).store.read() as work:
        return whole([token_document(one) for one in work.tokens.list()])


@router.post("/tokens", response_model=NewToken, status_code=201, operation_id="createToken", summary="Create a token")
def create_token(request: Request, response: Response, caller: Administers, body: TokenRequest) -> Any:
    """Only its hash is stored: keep the secret now."""
    now = datetime.now(UTC)
    if body.expires_at is not None and body.expires_at <= now:
        raise Problem(422, "expires_at has passed already.")
    secret, token = new_token(body.name, body.scopes, now, body.expires_at)
    with services_of(request).store.begin() as work:
        work.tokens.add(token)
    response.headers["Cache-Control"] = "no-store"
    return token_document(token) | {"secret": secret}


@router.delete(
    "/tokens/{id}",
    status_code=204,
    operation_id="revokeToken",
    summary="Revoke a token",
    responses=documented(404),
)
def revoke_token(request: Request, caller: Administers, id: Annotated[Text, InPath]) -> None:
    """From now on it opens nothing."""
    with services_of(request).store.begin() as work:
        if not work.tokens.revoke(id):
            raise Problem(404, "There is no such token that is not revoked already.")
