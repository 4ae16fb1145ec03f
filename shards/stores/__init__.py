"""Where files can lie: on local disks, in object stores, behind HTTP; and the cache before the remote ones.

open    ──> local    a folder
        ──> remote   an object store or HTTP server, through obstore: range_reader, retries, client
                     s3, gcs, azure, http: what is particular to each
        ──> cached_store, cache    before a remote one
bucket      writes to a remote one
"""
