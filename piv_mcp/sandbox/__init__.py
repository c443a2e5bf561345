"""A simulated piv.day for tests and demonstrations. It runs in-process or on its own port.

It follows piv.day's API reference and shares no code with the client that it is used to test. Where the reference
is silent or contradicts itself, the module concerned says which reading it follows.
"""

from piv_mcp.sandbox.app import sandbox_app
from piv_mcp.sandbox.clock import Timing
from piv_mcp.sandbox.failures import Failure
from piv_mcp.sandbox.ledger import Charge
from piv_mcp.sandbox.sandbox import Sandbox
from piv_mcp.sandbox.service import Recorded
from piv_mcp.sandbox.transport import SandboxTransport
from piv_mcp.sandbox.webhooks import Delivery, SandboxEvent

__all__ = [
    "Charge",
    "Delivery",
    "Failure",
    "Recorded",
    "Sandbox",
    "SandboxEvent",
    "SandboxTransport",
    "Timing",
    "sandbox_app",
]
