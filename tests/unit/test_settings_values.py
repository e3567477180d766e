"""Single values: addresses, fingerprints, names."""

from __future__ import annotations

import pytest

from keepalived.settings import values

SHA256 = "ab" * 32


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("https://vcsa.lab.example", "https://vcsa.lab.example"),
        ("https://vcsa.lab.example/", "https://vcsa.lab.example"),
        ("https://vcsa.lab.example/sdk", "https://vcsa.lab.example"),
        ("https://vcsa.lab.example/sdk/", "https://vcsa.lab.example"),
        ("https://VCSA.lab.example:443/sdk", "https://vcsa.lab.example"),
        ("https://vcsa.lab.example:8443", "https://vcsa.lab.example:8443"),
        ("http://127.0.0.1:8989/sdk", "http://127.0.0.1:8989"),
        ("vcsa.lab.example", "https://vcsa.lab.example"),
        ("vcsa.lab.example:8443/sdk", "https://vcsa.lab.example:8443"),
        ("https://[fd00::1]:8443/sdk", "https://[fd00::1]:8443"),
        ("https://[fd00::1]", "https://[fd00::1]"),
    ],
)
def test_the_forms_that_govc_takes_come_out_as_one(written: str, normal: str) -> None:
    assert values.vcenter_url(written) == normal


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "names no host"),
        ("https://", "names no host"),
        ("https://a b", "names no host"),
        ("https://[fd00::zz]", "is not a URL"),
        ("https://[v7.x:y]", "names no host"),
        ("https://host:99999", "is not a URL"),
        ("https://host:0", "port 0"),
        ("ftp://host", "begins with ftp://; write https://HOST"),
        ("https://host/rest", "without a path"),
        ("https://host?x=1", "and all that follows"),
        ("https://uploader@host", "remove `user@`, and give it as `username`"),
        ("https://u:hunter2@host", "password_file, password_env or credential"),
    ],
)
def test_other_urls_are_refused(written: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("?", r"\?")) as caught:
        values.vcenter_url(written)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        "https://u:hun/ter2@host",
        "https://u:12/ter2@host",
        "https://u:hun#ter2@host",
        "u:ter2?@host",
        "https://u:hun/t@er2@host",
    ],
)
def test_a_password_that_was_not_escaped_is_not_repeated(written: str) -> None:
    with pytest.raises(ValueError, match="percent-encoded, as %2F %3F %23 %5B %5D") as caught:
        values.vcenter_url(written)
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ('"https://vcsa.lab"', "contains quotes"),
        ("'vcsa.lab'", "contains quotes"),
        ('https://vcsa.lab/sdk"', "contains quotes"),
        (
            "\N{LEFT DOUBLE QUOTATION MARK}vcsa.lab\N{RIGHT DOUBLE QUOTATION MARK}",
            "contains quotes",
        ),
        ("2001:db8::1", r"brackets; write https://\[2001:db8::1\]:443"),
        ("https://u:p@2001:db8::1/sdk", "brackets"),
        ("https://::1:8443", "brackets"),
        ("https://u:hun[ter2@host", "percent-encoded"),
    ],
)
def test_an_address_that_needs_other_punctuation(written: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        values.split_vcenter_url(written)
    assert "ter2" not in str(caught.value)


def test_user_and_password_are_taken_apart() -> None:
    address = values.split_vcenter_url("https://admin%40vsphere.local:p%2Fw@vcsa.lab/sdk")
    assert (address.username, address.password) == ("admin@vsphere.local", "p/w")
    assert values.split_vcenter_url("admin@vsphere.local:pw@vcsa.lab").username == (
        "admin@vsphere.local"
    )


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("proxy.example:3128/", "http://proxy.example:3128"),
        ("https://proxy.example", "https://proxy.example"),
    ],
)
def test_proxies(written: str, normal: str) -> None:
    assert values.proxy_url(written) == normal


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("http://u:hunter2@proxy", "HTTPS_PROXY"),
        ("socks5://proxy", "socks5"),
        ("http://p/x", "path"),
    ],
)
def test_other_proxies_are_refused(written: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        values.proxy_url(written)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        SHA256,
        SHA256.upper(),
        values.colons(SHA256),
        f" {values.colons(SHA256).lower()} ",
        f"SHA256 Fingerprint={values.colons(SHA256)}",
        f"sha256:{SHA256}",
    ],
)
def test_fingerprints_come_out_as_one(written: str) -> None:
    assert values.fingerprint(written) == SHA256


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("aa" * 20, "is a SHA-1 fingerprint, which can be forged; take the SHA-256"),
        (values.colons("aa" * 20), "check-config --connect"),
        ("aa" * 31, "has 62 hex digits; the SHA-256 of a certificate has 64"),
        ("xy" * 32, "is not a fingerprint"),
        ("", "has 0 hex digits"),
    ],
)
def test_other_fingerprints_are_refused(written: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        values.fingerprint(written)


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("127.0.0.1:9878", "127.0.0.1", 9878),
        ("localhost:0", "localhost", 0),
        ("[::1]:9878", "::1", 9878),
        (":9878", "", 9878),
    ],
)
def test_addresses_to_listen_on(written: str, host: str, port: int) -> None:
    assert values.split_listen(written) == (host, port)
    assert values.listen(written) == written


@pytest.mark.parametrize(
    "written", ["9878", "host", "host:", "host:x", "host:70000", "::1:9878", "a b:1"]
)
def test_other_addresses_are_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"write for example 127\.0\.0\.1:9878"):
        values.listen(written)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "vc.localhost"])
def test_loopback(host: str) -> None:
    assert values.is_loopback(host)


@pytest.mark.parametrize("host", ["vcsa.lab.example", "10.0.0.1", "fd00::1", "localhost.example"])
def test_not_loopback(host: str) -> None:
    assert not values.is_loopback(host)


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "a\x07"])
def test_names_that_no_path_could_hold_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="consists of letters"):
        values.vcenter_name(name)
