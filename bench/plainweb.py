"""What our pixel and links are set against: a FastAPI application as one would write it with care.

The same token, the same answers, and visits that are buffered and written together; run as
`python -m bench.plainweb DATABASE KEY MEASURED…`. Knows nothing of consent, ceilings or HEAD.
"""

import asyncio
import hashlib
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import RedirectResponse, Response
from itsdangerous import BadSignature, Signer

from l3mail.clocks import SystemClock
from l3mail.web.tracks import GIF

HOLD_SECONDS = 0.5


class Plain:
    """The application's parts; links are looked up where they lie, in memory."""

    def __init__(self, database: str, key: str, urls: list[str]) -> None:
        self.signer = Signer(key, salt="plain", key_derivation="hmac", digest_method=hashlib.sha256)
        self.database = database
        self.urls = urls
        self.waiting: list[tuple[str, str, int, int | None]] = []
        self.clock = SystemClock()

    def delivery(self, token: str) -> int:
        try:
            return int(self.signer.unsign(token))
        except BadSignature as fault:
            raise HTTPException(404) from fault

    def flush(self) -> None:
        batch, self.waiting = self.waiting, []
        if batch:
            with sqlite3.connect(self.database) as connection:
                connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", batch)

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(HOLD_SECONDS)
            await asyncio.to_thread(self.flush)


def application(plain: Plain) -> FastAPI:
    with sqlite3.connect(plain.database) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE event (kind TEXT, at TEXT, delivery INT, link INT)")

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        keeping = asyncio.create_task(plain.keep())
        yield
        keeping.cancel()
        plain.flush()

    app = FastAPI(lifespan=lifespan)

    @app.get("/o/{token}.gif")
    async def pixel(token: str) -> Response:
        delivery = plain.delivery(token)
        plain.waiting.append(("opened", plain.clock.now().isoformat(), delivery, None))
        return Response(GIF, media_type="image/gif", headers={"Cache-Control": "no-store"})

    @app.get("/c/{token}/{number}")
    async def link(token: str, number: int) -> Response:
        delivery = plain.delivery(token)
        if not 1 <= number <= len(plain.urls):
            raise HTTPException(404)
        plain.waiting.append(("clicked", plain.clock.now().isoformat(), delivery, number))
        return RedirectResponse(plain.urls[number - 1], 302, {"Cache-Control": "no-store"})

    return app


def main() -> None:
    database, key, *urls = sys.argv[1:]
    with socket.create_server(("127.0.0.1", 0)) as door:
        print(f"pages at http://127.0.0.1:{door.getsockname()[1]}", file=sys.stderr, flush=True)
        config = uvicorn.Config(application(Plain(database, key, urls)), log_config=None)
        config.access_log = False
        uvicorn.Server(config).run([door])


if __name__ == "__main__":
    main()
