"""Show a run in a browser: search by a file, walk from clip to clip, try any pair."""

import logging
from pathlib import Path
from typing import Any

import avcorr

from .options import Parser, add_cache, add_model, add_workers, folder, port, positive


def add_options(added: Parser) -> None:
    add_model(added)
    index = "what avcorr embed wrote; made where it is not there (default: RUN/embeddings)"
    added.add_argument("--index", type=folder, metavar="DIR", help=index)
    where = "where the shards lie (default: where the embeddings were made from)"
    added.add_argument("--shards", metavar="ROOT", help=where)
    add_cache(added)
    host = "address to listen at; another than this machine's own lets others in (default 127.0.0.1)"
    added.add_argument("--host", default="127.0.0.1", metavar="H", help=host)
    added.add_argument("--port", type=port, default=7860, metavar="P", help="0: any that is free (default 7860)")
    added.add_argument("--open", action="store_true", help="open the page in the browser of this machine")
    upload = "largest file that may be dropped, in MB (default 50)"
    added.add_argument("--upload-mb", type=positive, default=50, metavar="N", help=upload)
    add_workers(added, "threads that read and decode where embeddings are made (default: one a core)")


def run(run: Path, open: bool, **options: Any) -> None:
    def ready(server: Any) -> None:
        print(f"{run} at step {server.step}, {server.clips} clips: {server.address}", flush=True)
        logging.getLogger(__name__).info("Ctrl-C ends it")
        if open:
            import webbrowser

            webbrowser.open(server.address)

    avcorr.explore(run, on_ready=ready, **options)
