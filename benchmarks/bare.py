"""The simulator's own proxy and TLS before an application that checks nothing.

python -m benchmarks.bare DIRECTORY < body.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from simulator.google import GoogleCloud
from simulator.serve.proxy import Running


def application(content: Any) -> Starlette:
    """Answers every bucket with the same content."""

    async def bucket(request: Request) -> JSONResponse:
        return JSONResponse(content)

    return Starlette(routes=[Route("/storage/v1/b/{bucket}", bucket)])


def main() -> None:
    content = json.loads(sys.stdin.readline())
    state = ServerState()
    config = Config(
        application(content),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=3600,
    )
    config.load()
    running = Running(
        GoogleCloud(), Path(sys.argv[1]), lambda: HttpToolsProtocol(config, state, {})
    )
    running.start()
    print(json.dumps({"proxy_url": running.proxy_url, "ca_bundle": str(running.ca_bundle)}))
    sys.stdout.flush()
    sys.stdin.read()
    running.stop()


if __name__ == "__main__":
    main()
