"""An HTTP client for the servers that the tests run on this machine."""

import ssl

import httpx


def http_client(base_url: str = "", *, timeout: float = 5) -> httpx.AsyncClient:
    """For plain HTTP. No certificates are loaded, which takes 30 ms of a processor for each client."""
    without_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(base_url=base_url, timeout=timeout, trust_env=False, verify=without_certificates)
