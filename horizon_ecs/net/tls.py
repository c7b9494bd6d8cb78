"""TLS: a server's certificate, and the warning where there is none."""

from __future__ import annotations

import logging
import ssl

from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError
from horizon_ecs.net.gate import is_loopback

log = logging.getLogger("horizon_ecs.server")


def server_context(config: ServerConfig) -> ssl.SSLContext | None:
    """What a server encrypts with; None without a certificate. Raises ArgumentError for files that aren't such."""
    if not config.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, config)
    return context


def load_certificate(context: ssl.SSLContext, config: ServerConfig) -> None:
    """Show this certificate to whoever connects from now on. Raises ArgumentError; the one before stays then."""
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key or None)
    except (OSError, ssl.SSLError) as error:
        files = " and ".join(repr(path) for path in (config.tls_certificate, config.tls_key) if path)
        raise ArgumentError(f"tls_certificate and tls_key must be PEM files, not {files}: {error}") from None


def warn_of_plain_text(host: str) -> None:
    """Say so where clients beyond this machine are served without encryption."""
    if not is_loopback(host):
        log.warning(
            "listening on %s without TLS: what clients send and are sent, tokens too, can be read on the way; set "
            "tls_certificate, or let a proxy on this machine do that and listen on 127.0.0.1", host or "all addresses"
        )  # fmt: skip
