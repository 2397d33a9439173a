"""Source of apps that tests write into a folder and run."""

PLAIN = '''
import asyncio, os, time

KEPT = []
DATA = {str(number): [number, float(number)] for number in range(50_000)}


async def app(scope, receive, send):
    """A bare ASGI app: no framework, no import of onecopy."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] != "http":
        raise RuntimeError(scope["type"])
    await receive()
    path = scope["path"]
    answer = os.getpid()
    if path == "/sum":
        answer = sum(value[0] for value in DATA.values())
    elif path.startswith("/sleep/"):
        await asyncio.sleep(float(path.removeprefix("/sleep/")))
    elif path.startswith("/block/"):
        time.sleep(float(path.removeprefix("/block/")))
    elif path.startswith("/grow/"):
        KEPT.append(bytearray(os.urandom(int(path.removeprefix("/grow/")))))
    elif path == "/exit":
        os._exit(7)
    body = str(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
'''
