"""What `onecopy doctor` says of webhooks: of the environment, and of an app."""

import ipaddress
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

from onecopy.cli.checks import Check
from onecopy.errors import OneCopyError, WebhooksNotInstalled
from onecopy.webhooks.addresses import Network
from onecopy.webhooks.config import ALLOW, PRIVATE_KEY, SECRET, Webhooks
from onecopy.webhooks.keys import must_be_installed

_METADATA: Final = tuple(map(ipaddress.ip_address, ("169.254.169.254", "fd00:ec2::254")))
"""Where clouds tell whoever asks their secrets."""
_WIDE: Final = {4: 8, 6: 7}
"""Bits of the largest networks that are private: what is larger was hardly meant."""


def environment_checks() -> Iterator[Check]:
    """Look at what the environment says of webhooks; nothing if it says nothing."""
    if not any(os.environ.get(name) for name in (SECRET, ALLOW, PRIVATE_KEY)):
        return
    try:
        config = Webhooks()
    except OneCopyError as error:
        yield Check("webhooks", "problem", str(error))
        return
    yield check_allowed(config.allow)


def check_allowed(networks: Sequence[Network]) -> Check:
    """Whether what may be called though it is private is more than anybody means."""
    names = ", ".join(map(str, networks)) or "public addresses alone"
    found = f"may call {names}"
    wide = [each for each in networks if each.prefixlen < _WIDE[each.version]]
    metadata = [each for each in networks if any(address in each for address in _METADATA)]
    if not wide and not metadata:
        return Check("webhooks", "ok", found)
    why = f"{wide[0]} is open to all" if wide else f"{metadata[0]} has a cloud's metadata service"
    return Check(
        "webhooks",
        "warning",
        f"{found}: {why}, and a client names the URL",
        f"allow the networks of your own receivers alone: {ALLOW}=10.1.0.0/16",
    )


def app_checks(told: dict[str, Any]) -> Iterator[Check]:
    """Judge what an app says of webhooks, as `describe` tells it; nothing if it tells nobody."""
    if not told["used"]:
        return
    try:
        must_be_installed()
    except WebhooksNotInstalled as error:
        yield Check("webhooks", "problem", str(error))
        return
    yield _check_signed(told["unsigned"])
    if told["allow"] and not os.environ.get(ALLOW):  # which has been looked at already
        yield check_allowed([ipaddress.ip_network(each) for each in told["allow"]])


def _check_signed(unsigned: Sequence[str]) -> Check:
    if not unsigned:
        return Check("webhooks", "ok", "the app's receivers can verify them by a secret")
    return Check(
        "webhooks",
        "warning",
        f"no secret signs what is told to {', '.join(unsigned)}",
        f"set {SECRET}, or have them verify with the public key of /jobs/webhook-key",
    )
