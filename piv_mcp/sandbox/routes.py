"""The 38 endpoints: method, path, handler, and the fields of their query and body.

The fields are those of the reference's tables; `*` marks a required one. Every other field is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from piv_mcp.sandbox import account, dns, domains, numbers, proxies, registration, sms, verification, whites
from piv_mcp.sandbox.state import Handler


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    handler: Handler
    query: str = ""
    body: str = ""

    def match(self, segments: Sequence[str]) -> dict[str, str] | None:
        """The path parameters, or None if the path does not match."""
        own = self.path.strip("/").split("/")
        if len(own) != len(segments):
            return None
        params: dict[str, str] = {}
        for mine, given in zip(own, segments, strict=True):
            if mine.startswith("{"):
                params[mine.strip("{}")] = given
            elif mine != given:
                return None
        return params


# The first match counts, so a fixed path comes before a path with a parameter in the same position.
ROUTES = (
    Route("GET", "/account", account.get_account),
    # numbers
    Route("GET", "/numbers/countries", numbers.list_countries),
    Route("GET", "/numbers", numbers.list_numbers, query="limit offset country status search"),
    Route(
        "POST",
        "/numbers/purchase",
        numbers.purchase,
        body="country_code* duration_months* auto_renew* custom_name",
    ),
    Route("POST", "/numbers/restore", numbers.restore, body="piv_num_ids*"),
    Route("GET", "/numbers/{piv_num_id}", numbers.get_number),
    Route("PATCH", "/numbers/{piv_num_id}", numbers.update, body="custom_name*"),
    Route("POST", "/numbers/{piv_num_id}/renew", numbers.renew, body="duration_months*"),
    Route("PATCH", "/numbers/{piv_num_id}/auto-renewal", numbers.set_auto_renewal, body="auto_renew*"),
    Route("GET", "/numbers/{piv_num_id}/sms", sms.list_messages, query="limit offset"),
    Route("POST", "/numbers/{piv_num_id}/sms/send", sms.send, body="to_number* message_body*"),
    Route("POST", "/numbers/{piv_num_id}/verify", verification.verify, body="gv_url*"),
    # proxies
    Route("GET", "/proxy/servers", proxies.list_servers),
    Route("GET", "/proxy/orders", proxies.list_orders, query="limit offset status search"),
    Route("GET", "/proxy/orders/{id}", proxies.get_order),
    Route("POST", "/proxy/purchase", proxies.purchase, body="server_id* quantity* months*"),
    Route("POST", "/proxy/orders/{id}/renew", proxies.renew, body="months*"),
    Route("POST", "/proxy/orders/{id}/restore", proxies.restore),
    Route("GET", "/proxy/orders/{id}/export", proxies.export, query="format"),
    # domains
    Route("GET", "/domains/search", domains.search, query="q*"),
    Route(
        "GET",
        "/domains",
        domains.list_domains,
        query="limit offset status cloudflare auto_renew search",
    ),
    Route(
        "POST",
        "/domains",
        registration.register,
        body="domain* period* cloudflare* auto_renew* ssl_mode nameservers dns_records",
    ),
    Route("GET", "/domains/queue/{id}", registration.get_queue_entry),
    Route("GET", "/domains/{id}", domains.get_domain),
    Route("POST", "/domains/{id}/renew", registration.renew, body="period*"),
    Route("POST", "/domains/{id}/auto-renew", domains.set_auto_renew, body="auto_renew*"),
    Route("GET", "/domains/{id}/dns", dns.list_records),
    Route("POST", "/domains/{id}/dns", dns.create, body=dns.RECORD_FIELDS),
    Route("PUT", "/domains/{id}/dns/{recordId}", dns.update, body=dns.RECORD_FIELDS.replace("*", "")),
    Route("DELETE", "/domains/{id}/dns/{recordId}", dns.delete),
    Route("POST", "/domains/{id}/cloudflare", domains.enable_cloudflare, body="enabled*"),
    Route("POST", "/domains/{id}/ns-servers", domains.set_nameservers, body="nameservers*"),
    # whites
    Route("GET", "/whites/tiers", whites.list_tiers),
    Route("GET", "/whites", whites.list_whites, query="limit offset status tier_key"),
    Route("POST", "/whites", whites.create, body=whites.CREATE_FIELDS),
    Route("GET", "/whites/{id}", whites.get_white),
    Route("GET", "/whites/{id}/download", whites.download, query="format"),
    Route("POST", "/whites/{id}/config", whites.configure, body=whites.CONFIG_FIELDS),
)


def find_route(method: str, segments: Sequence[str]) -> tuple[Route, dict[str, str]] | None:
    for route in ROUTES:
        if route.method == method and (params := route.match(segments)) is not None:
            return route, params
    return None
