# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Serve a saved model over HTTP: a language model as OpenAI's clients speak it, a tagger or a classifier of texts as
huggingface_hub's do. See docs/serving.md.

    pip install ".[serve]"  # in a clone
    python examples/serve.py my_model --port 8000

    curl localhost:8000/v1/completions -d '{"prompt": "This module provides", "max_tokens": 40}'
    curl localhost:8000/ -d '{"inputs": "Ada Lovelace lived in London."}'

It is for one model on one machine, among people who trust each other: requests are computed one after the other, there
is neither a password nor encryption, and the address is that of this machine alone unless --host says otherwise.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

import hf_lstm
from hf_lstm.serving.answers import Server
from hf_lstm.serving.requests import BadRequest, error_body


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="Folder or name on the Hub of a language model, a tagger or a classifier.")
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen at; 0.0.0.0 is every one.")
    parser.add_argument("--port", type=int, default=8000, help="Port to listen at.")
    parser.add_argument("--device", default="cpu", help="Where to compute, such as cuda.")
    parser.add_argument("--max_tokens", type=int, default=4096, help="Tokens a request may have written at most.")
    return parser.parse_args(argv)


async def body(request: Request) -> Any:
    """The JSON of a request, whatever type it says it is of."""
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is no JSON ({str(error)!a}). Give an object of JSON.") from error


Body = Annotated[Any, Depends(body)]


def answered(answer: dict | list | Iterator[dict]) -> Response:
    """At once, or as events of a stream."""
    if isinstance(answer, dict | list):
        return JSONResponse(answer)
    return StreamingResponse(events(answer), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def events(pieces: Iterator[dict]) -> Iterator[str]:
    try:
        for piece in pieces:
            yield f"data: {json.dumps(piece)}\n\n"
        yield "data: [DONE]\n\n"
    except Exception as error:  # the status has been sent: only the stream can still say it
        yield f"data: {json.dumps(error_body(str(error), 'server_error'))}\n\n"
        raise


def build(server: Server) -> FastAPI:
    """The application: what a path answers, and what is wrong as JSON."""
    app = FastAPI(title=f"hf_lstm: {server.name}", version=hf_lstm.__version__)

    @app.get("/health")
    async def health() -> dict:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict:
        return server.models()

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict:
        return server.described(name)

    # What is not `async` runs in a thread of its own.
    @app.post("/v1/completions")
    def completions(body: Body) -> Response:
        return answered(server.complete(body))

    @app.post("/v1/chat/completions")
    def chat(body: Body) -> Response:
        return answered(server.chat(body))

    @app.post("/")
    def infer(body: Body) -> Response:
        return answered(server.infer(body))

    @app.exception_handler(BadRequest)
    async def bad_request(request: Request, error: BadRequest) -> Response:
        return JSONResponse(error.body, error.status)

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def no_such_path(request: Request, error: HTTPException) -> Response:
        paths = ", ".join(sorted({route.path for route in app.routes if "v1" in route.path} | {"/"}))
        message = f"{request.method} {request.url.path!a} is not served here. See {paths}."
        return JSONResponse(BadRequest(message).body, error.status_code)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        return JSONResponse(error_body(str(error), "server_error"), 500)

    return app


def main(argv: list[str] | None = None) -> None:
    # 1. Arguments
    args = parse(argv)

    # 2. The model, by the head that its configuration names
    server = Server.load(args.model, args.device, args.max_tokens)

    # 3. Serve
    uvicorn.run(build(server), host=args.host, port=args.port)


if __name__ == "__main__":
    main()
