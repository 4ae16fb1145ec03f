"""Options of the commands that search."""

from .shared import ROOT_HELP, Add, add_cache, add_model, add_workers, folder, port, positive


def add_options(add: Add) -> None:
    added = add("embed", "embed --run runs/a --shards data/shards --out data/embeddings")
    add_model(added)
    added.add_argument("--shards", required=True, metavar="ROOT", help=ROOT_HELP)
    add_cache(added)
    added.add_argument("--out", type=folder, required=True, metavar="DIR", help="folder for embeddings and index")
    added.add_argument("--split", action="append", default=[], metavar="S", help="only this split; repeatable")
    views = "views of each clip: a frame and the sound around it (default 10)"
    added.add_argument("--views", type=positive, default=10, metavar="N", help=views)
    kinds = "how it is searched; default: exact for up to 250,000 views, else ivf"
    added.add_argument("--index", choices=("exact", "ivf"), help=kinds)
    add_workers(added, "threads that read and decode (default: one a core)")

    added = add("search", "search --run runs/a --index data/embeddings dog.jpg --to audio --top 5")
    added.add_argument("query", metavar="QUERY", help="a picture, a sound, a video, or the key of a clip")
    add_model(added, required=False)
    added.add_argument("--index", type=folder, required=True, metavar="DIR", help="what avcorr embed wrote")
    sides = ("image", "audio")
    added.add_argument("--to", choices=sides, help="what is looked for (default: the other than what is asked by)")
    added.add_argument("--by", choices=sides, help="which side of a video or a clip is asked by")
    added.add_argument("--label", action="append", default=[], metavar="L", help="only this label; repeatable")
    added.add_argument("--split", action="append", default=[], metavar="S", help="only this split; repeatable")
    added.add_argument("--top", type=positive, default=10, metavar="N", help="clips to show (default 10)")
    added.add_argument("--duplicates", action="store_true", help="show a recording as often as it is there")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    sheet = "draw what was found as .png or .html; needs the shards"
    added.add_argument("--sheet", type=folder, metavar="FILE", help=sheet)
    moved = "where the shards lie, if no longer where they were embedded from"
    added.add_argument("--shards", metavar="ROOT", help=moved)

    added = add("explore", "explore --run runs/a --shards data/shards")
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
