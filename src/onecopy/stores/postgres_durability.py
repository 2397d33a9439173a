"""Whether a PostgreSQL server keeps what it has answered: what could lose jobs, in words."""

from typing import Final

from onecopy.stores.postgres_database import Link

_SETTINGS: Final = {
    "synchronous_commit": "a crash of it takes what was accepted last",
    "fsync": "a power cut can damage all there is",
    "full_page_writes": "a power cut can damage all there is",
}


async def concerns(link: Link) -> list[str]:
    """Return what there is to be worried about, by the server's settings."""
    asked = ", ".join(f"current_setting('{name}')" for name in _SETTINGS)
    (values,) = await link.rows(f"SELECT {asked}")
    return [
        f"is set to {name}=off: {words}; set `{name} = on`"
        for (name, words), value in zip(_SETTINGS.items(), values, strict=True)
        if value == "off"
    ]
