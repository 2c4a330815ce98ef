"""An identity service for the tests: OAuth2's token endpoint, and the one that App Service gives to an app's identity."""

import time

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

IDENTITY_HEADER = "identity-header-of-the-host"


class TokenEndpoint:
    """Issues `token-1`, `token-2`, ...; only the newest is good, until it is revoked or `life` seconds have passed.

    `asked` keeps every form or query that came in. `refusal` is answered instead of a token.
    """

    def __init__(self, life: int = 3600) -> None:
        self.life = life
        self.asked: list[dict[str, str]] = []
        self.refusal: Response | None = None
        self.good: str | None = None
        self.app = Starlette(routes=[Route("/token", self._token, methods=["POST"]), Route("/msi/token", self._msi)])

    def accepts(self, authorization: str | None) -> bool:
        return authorization == f"Bearer {self.good}"

    def revoke(self) -> None:
        self.good = None

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        return self._issued({name: str(value) for name, value in form.items()}, {"expires_in": self.life})

    async def _msi(self, request: Request) -> Response:
        if request.headers.get("X-IDENTITY-HEADER") != IDENTITY_HEADER:
            return Response(status_code=401)
        return self._issued(dict(request.query_params), {"expires_on": str(int(time.time()) + self.life)})

    def _issued(self, asked: dict[str, str], life: dict[str, object]) -> Response:
        self.asked.append(asked)
        if self.refusal:
            return self.refusal
        self.good = f"token-{len(self.asked)}"
        return JSONResponse({"access_token": self.good, "token_type": "Bearer", **life})
