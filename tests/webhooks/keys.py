"""Keys for tests: fixed ones, so that what is signed can be compared."""

import base64

from onecopy.webhooks.keys import PrivateKey


def secret(letter: str = "a", size: int = 32) -> str:
    return "whsec_" + base64.b64encode(letter.encode() * size).decode()


SECRET = secret()
OTHER_SECRET = secret("b")
PRIVATE = PrivateKey(bytes(range(32)))
