"""The gazetteer behind five servers: memory, requests a second, seconds until ready."""
