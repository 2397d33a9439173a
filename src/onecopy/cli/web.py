"""`onecopy web`: the web tier alone, which holds no data."""

from onecopy.cli.run import tier_command

command = tier_command(
    "web",
    "web",
    "Serve an ASGI app without its data and without job workers: its jobs are run by "
    "`onecopy worker`, on this host with the same --state-dir, or on any host with the same "
    "ONECOPY_STORE. A dataset that is used here is an error.",
)
