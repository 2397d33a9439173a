"""The gazetteer as an app without onecopy has it: its data is loaded when it is imported."""

from gazetteer.app import app, ask_once

ask_once()

__all__ = ["app"]
