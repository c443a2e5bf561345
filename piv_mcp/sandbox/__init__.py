"""A faithful piv.day for tests and demonstrations, in-process or on its own port.

An independent reading of piv.day's API reference: it shares no code with the client that it is used to
test. Where the reference is silent or contradicts itself, the module concerned says which reading it
follows.
"""

from piv_mcp.sandbox.clock import Timing
from piv_mcp.sandbox.failures import Failure
from piv_mcp.sandbox.ledger import Charge
from piv_mcp.sandbox.sandbox import Sandbox
from piv_mcp.sandbox.service import Recorded
from piv_mcp.sandbox.webhooks import Delivery, Event

__all__ = ["Charge", "Delivery", "Event", "Failure", "Recorded", "Sandbox", "Timing"]
