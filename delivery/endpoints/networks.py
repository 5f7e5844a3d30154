"""Which network addresses an endpoint may have: not this machine, not a cloud's metadata service, unless a setting allows it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from delivery.endpoints.outcome import EndpointFailed

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Services that hand out a machine's credentials and whose addresses are not link-local.
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "192.0.0.192", "fd00:ec2::254")))


def address_fault(address: Address, networks: Sequence[str]) -> str | None:
    """Say why nothing is sent to an address; None where it may be, by its kind or by one of the allowed ``networks``."""
    inner = _inner_address(address)
    if any(inner in ipaddress.ip_network(network) for network in networks):
        return None
    if inner in _METADATA or inner.is_link_local:
        return "is an address of machines' own services (metadata)"
    if inner.is_loopback or inner.is_unspecified:
        return "is this machine itself"
    if inner.is_multicast or inner.is_reserved:
        return "is no address of one machine"
    return None


def _inner_address(address: Address) -> Address:
    """Give the IPv4 address that an IPv6 address stands for, else the address."""
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address


def literal_address(host: str) -> Address | None:
    """Give the address that a host's name is; None where it is a name. Short and octal forms, which resolvers know too, count."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def resolve_host(host: str, port: int, networks: Sequence[str]) -> str:
    """Give the address to connect to; the connection is made to it, so that the name cannot mean another one a moment later.

    A name that resolves to an address that is not allowed raises ``EndpointFailed``, whatever its other addresses are.
    """
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise EndpointFailed(f"the name {host} cannot be resolved", is_down=True) from None
    texts = [str(entry[4][0]).partition("%")[0] for entry in entries]
    for text in texts:
        fault = address_fault(ipaddress.ip_address(text), networks)
        if fault:
            raise EndpointFailed(
                f"{host} {fault}, and nothing is sent there; where it is meant, name it in networks: of destinations.yml",
                is_final=True,
                is_down=True,
            )
    return texts[0]
