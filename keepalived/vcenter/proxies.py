"""Which proxy to go through: the configured one, or what the usual environment variables say."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from keepalived.settings import VCenterSettings


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
