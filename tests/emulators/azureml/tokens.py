"""Owns who may come in: a tenant's token endpoint and the tokens it signs; refuses a token that is old, foreign or for
another audience."""

from __future__ import annotations

import secrets
import time
from typing import Any

import jwt

from tests.emulators.azureml.messages import Answer, Refusal, Request, Route
from tests.emulators.azureml.state import State

TENANT = "11111111-aaaa-4aaa-8aaa-111111111111"
CLIENT = "22222222-bbbb-4bbb-8bbb-222222222222"
PRINCIPAL = "33333333-cccc-4ccc-8ccc-333333333333"
STORAGE = "https://storage.azure.com"
"""Whom a token for blobs is for, in every cloud."""
LIFETIME = 3600


class Tokens:
    """The authority of one tenant with one application. Its secrets are in the state: tokens outlive a restart."""

    def __init__(self, state: State, url: str) -> None:
        kept = state.get("secrets", "tenant") or {"client": secrets.token_urlsafe(24), "key": secrets.token_hex(32)}
        state.put("secrets", "tenant", kept)
        self.client_secret: str = kept["client"]
        self._key: str = kept["key"]
        self._url = url

    def routes(self) -> list[Route]:
        tenant = r"/(?P<tenant>[\w.-]+)"
        return [
            Route("POST", rf"{tenant}/oauth2/v2.0/token", "token.post", self.grant, open=True),
            Route("GET", rf"{tenant}/v2.0/.well-known/openid-configuration", "token.openid", self.openid, open=True),
            Route("GET", "/common/discovery/instance", "token.instance", self.instance, open=True),
        ]

    def grant(self, request: Request) -> Answer:
        form = request.form
        if request.groups["tenant"] != TENANT:
            return _denied("invalid_request", f"AADSTS90002: Tenant '{request.groups['tenant']}' not found.", 400)
        if form.get("grant_type") != "client_credentials":
            return _denied("unsupported_grant_type", "AADSTS70003: The app requested an unsupported grant type.", 400)
        if form.get("client_id") != CLIENT:
            return _denied("unauthorized_client", "AADSTS700016: Application with identifier was not found.", 400)
        if form.get("client_secret") != self.client_secret:
            return _denied("invalid_client", "AADSTS7000215: Invalid client secret provided.", 401)
        audience = form.get("scope", "").split()[0].removesuffix("/.default")
        token = {"token_type": "Bearer", "expires_in": LIFETIME, "ext_expires_in": LIFETIME,
                 "access_token": self.signed(audience)}  # fmt: skip
        return Answer(200, token)

    def signed(self, audience: str, lifetime: int = LIFETIME, **more: Any) -> str:
        now = int(time.time())
        claims = {"aud": audience, "iss": f"{self._url}/{TENANT}/v2.0", "iat": now, "nbf": now, "exp": now + lifetime,
                  "tid": TENANT, "appid": CLIENT, "oid": PRINCIPAL, "sub": PRINCIPAL, **more}  # fmt: skip
        return jwt.encode(claims, self._key, algorithm="HS256")

    def check(self, header: str, *others: str) -> dict[str, Any]:
        """The claims of a bearer token for this place, or instead for one of ``others``; 401 for everything else."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refusal(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        try:
            return dict(
                jwt.decode(token, self._key, algorithms=["HS256"], audience=others or [self._url, f"{self._url}/"])
            )
        except jwt.ExpiredSignatureError as error:
            raise Refusal(401, "ExpiredAuthenticationToken", "The access token is expired.") from error
        except jwt.InvalidAudienceError as error:
            raise Refusal(401, "InvalidAuthenticationTokenAudience", "The access token's audience is wrong.") from error
        except jwt.PyJWTError as error:
            raise Refusal(401, "InvalidAuthenticationToken", "The access token is invalid.") from error

    def openid(self, request: Request) -> Any:
        base = f"{self._url}/{request.groups['tenant']}"
        return {
            "token_endpoint": f"{base}/oauth2/v2.0/token", "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode", "issuer": f"{base}/v2.0",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
        }  # fmt: skip

    def instance(self, request: Request) -> Any:
        return {
            "tenant_discovery_endpoint": f"{self._url}/{TENANT}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1", "metadata": [],
        }  # fmt: skip


def _denied(error: str, description: str, status: int) -> Answer:
    return Answer(status, {"error": error, "error_description": description, "error_codes": [int(
        description.partition(":")[0].removeprefix("AADSTS"))]})  # fmt: skip
