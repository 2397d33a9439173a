"""For tests: of stores that others write (`StoreContract`).

Needs pytest, which onecopy itself does not; import it in tests only.
"""

import pytest

# Before they are imported: so that a failed assertion says what was compared.
pytest.register_assert_rewrite("onecopy.testing._stores")

from onecopy.testing.stores import StoreContract  # noqa: E402

__all__ = ["StoreContract"]
