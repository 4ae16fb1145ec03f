"""Where files can lie: on local disks, in object stores, behind HTTP; and the cache before the remote ones."""
