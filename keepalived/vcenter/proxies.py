"""Which proxy to go through: the configured one, or what the usual environment variables say."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from keepalived.settings import VCenterSettings
from keepalived.vcenter.transport import ConnectFailed


def proxy_for(settings: VCenterSettings) -> str | None:
    """Return the proxy's URL, or None to go directly. NO_PROXY counts; .netrc never does."""
    if settings.proxy is not None:
        return settings.proxy
    url = urlsplit(settings.url)
    proxies = getproxies_environment()
    if proxy_bypass(url.netloc, proxies):
        return None
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if proxy is not None and "://" not in proxy:
        proxy = f"http://{proxy}"
    return proxy


def check_proxy(url: str) -> None:
    """Raise ConnectFailed for a proxy that cannot be spoken to. Nothing of its URL is repeated:
    it may hold a password.
    """
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConnectFailed("the proxy is not one that is spoken to: give it as http://HOST:PORT")
