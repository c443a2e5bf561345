"""What seals the state of a question that a client sends back: keys that all servers with the same store share."""

import secrets
from collections.abc import Sequence

from mcp.server.context import ServerRequestContext
from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState, RequestStateSecurity

from piv_mcp.services import CALLER


class SharedSeal:
    """A codec of the SDK. Its keys come from the store, and may change while the server runs."""

    def __init__(self) -> None:
        self._keys: Sequence[str] = ()
        self._codec: AESGCMRequestStateCodec | None = None

    def take(self, keys: Sequence[str]) -> None:
        """Use these keys from now on: the first seals, each one opens."""
        if keys != self._keys:
            self._keys, self._codec = keys, AESGCMRequestStateCodec(keys)

    def seal(self, payload: bytes) -> str:
        if self._codec is None:
            raise RuntimeError("the keys of the store are not known yet")
        return self._codec.seal(payload)

    def unseal(self, token: str) -> bytes:
        if self._codec is None:
            raise InvalidRequestState("no keys")
        return self._codec.unseal(token)


def security(seal: SharedSeal) -> RequestStateSecurity:
    """The SDK's policy: what was sealed for an agent is opened for no other."""
    return RequestStateSecurity(codec=seal, bind_principal=_caller)


def new_key() -> str:
    return secrets.token_urlsafe(48)


def _caller(_: ServerRequestContext[object, object]) -> str | None:
    agent = CALLER.get()
    return None if agent is None else agent.name
