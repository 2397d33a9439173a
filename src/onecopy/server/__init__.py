"""The processes of `onecopy run`: supervisor, image, web workers.

Way of a start::

    onecopy run ──exec──> supervisor ──spawn──> image ──fork──> web workers
                          owns sockets,         imports, loads,  accept, serve
                          restarts, reloads     seals, forks

`supervisor`, `generation`, `control`, `channel`, `scoreboard`, `narration` and `settings` use the
standard library only, and as little of it as they can: the supervisor runs without site-packages.
"""
