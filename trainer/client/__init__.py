"""A service that trains, from Python: `Client(url, token)`.

    client = trainer.Client("https://train.example.org", token)
    job = client.submit(Path("configs/iris.yaml"))
    for event in client.events(job): ...
    client.run(job)["metrics"]["test_accuracy"]

`wire` sends one request and says in `answers` what came of it; `jobs` has what the service tells
as dataclasses, `stream` its events, `sending` brings files there and back, and `access` says where
the service is and which token lets in.
"""

from trainer.client.access import Access, find_access, known_access
from trainer.client.client import Client
from trainer.client.jobs import RemoteFile, RemoteJob

__all__ = ["Access", "Client", "RemoteFile", "RemoteJob", "find_access", "known_access"]
