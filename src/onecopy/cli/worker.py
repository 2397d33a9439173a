"""`onecopy worker`: job workers alone, which hold the data."""

from onecopy.cli.run import tier_command

command = tier_command(
    "worker",
    "worker",
    "Run the jobs of an app, in workers that share one copy of its data.",
)
