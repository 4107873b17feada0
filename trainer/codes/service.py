"""TR-V: the training service, as those meet it who ask it."""

from __future__ import annotations

from typing import Final

from trainer.codes.entry import Entry

ENTRIES: Final = (
    Entry(
        "TR-V001",
        "no service answers",
        "Nothing listens at the address, its name is not known, or it cannot be reached.",
        "Check the address, and whether the service runs.",
        "train service",
    ),
    Entry(
        "TR-V002",
        "the connection was lost",
        "There was a connection, and it ended before an answer was whole. What was asked may be "
        "done or not.",
        "Look, and ask again.",
        "train jobs",
    ),
    Entry(
        "TR-V003",
        "something else answers",
        "What answers at the address is no training service, or a proxy before it changes, "
        "redirects or refuses what is sent.",
        "Check the address and the proxy.",
    ),
    Entry(
        "TR-V004",
        "the token lets nobody in",
        "No token came along, or one that is unknown, revoked or expired.",
        "Set TRAINER_TOKEN, or name a profile. An administrator makes tokens.",
        "train token add laptop --user ada --role submitter",
    ),
    Entry(
        "TR-V005",
        "this is not allowed",
        "The role of the token allows less than this, or the request comes from a page of "
        "another site.",
        "Ask an administrator for a token with the role that is told.",
    ),
    Entry(
        "TR-V006",
        "there is no such thing at the service",
        "No job, file, token or page of this name is there, or none that the token may see: the "
        "answer does not tell which.",
        "List what there is.",
        "train jobs",
    ),
    Entry(
        "TR-V007",
        "the state of the job does not allow this",
        "The job has ended, is being cancelled, has another attempt, or a request came at the "
        "same time.",
        "Look at its state and ask again.",
        "train jobs",
    ),
    Entry(
        "TR-V008",
        "the quota is used up",
        "Users have so many queued jobs, seconds of training a day, and bytes of files.",
        "Wait until jobs have ended, or ask an administrator for more.",
    ),
    Entry(
        "TR-V009",
        "asked too often",
        "The service counts requests, and those with tokens that let nobody in.",
        "Ask again after the seconds that the answer tells.",
    ),
    Entry(
        "TR-V010",
        "the service is about to end",
        "It takes no new jobs; those that are queued wait until it is there again.",
        "Submit the job again later.",
    ),
    Entry(
        "TR-V011",
        "too large to be sent",
        "A spec, a body or a file has more bytes than the service takes.",
        "Send large data as files.",
        "train upload flats.csv",
    ),
    Entry(
        "TR-V012",
        "a request of another form",
        "A header, a parameter or the body is not as the API describes it.",
        "See the description at /docs of the service; docs/service.md has examples.",
    ),
    Entry(
        "TR-V013",
        "the key of the request was used",
        "An Idempotency-Key belongs to one request, and came with another one before.",
        "Take a new key for a new request.",
    ),
    Entry(
        "TR-V014",
        "which service is meant is not known",
        "Neither a flag nor a variable nor a profile names a service that can be one.",
        "Name it, or write a profile.",
        "train jobs --server https://train.example.org",
    ),
    Entry(
        "TR-V015",
        "a profile or token that cannot be used",
        "The file of the profile has other keys than it takes, or others can read the token in it.",
        "Write `server` and `token`, and let nobody else read the file.",
        "chmod 600 ~/.config/trainer/default.yaml",
    ),
    Entry(
        "TR-V016",
        "the certificate is not trusted",
        "The certificate is expired, for another name, or no authority that is known signed it.",
        "Give the file of the authority as `ca` in the profile, or in REQUESTS_CA_BUNDLE.",
        "REQUESTS_CA_BUNDLE=ca.pem train jobs",
    ),
    Entry(
        "TR-V017",
        "the service failed",
        "It met a fault of its own, or a part of it does not answer. Its log says why.",
        "Ask again; if it stays, tell its administrator.",
    ),
    Entry(
        "TR-V018",
        "a file that is sent does not fit",
        "The bytes that came are not those that were said: another length, offset or SHA-256; "
        "or the file cannot be read or changed while it was sent.",
        "Send it again; what is there already is not sent twice.",
        "train upload flats.csv",
    ),
    Entry(
        "TR-V019",
        "a spec names what the service does not read",
        "A spec that comes over HTTP may name files that were sent and those of the service's "
        "folder of data; not other paths, stores and files beside it.",
        "Send the files, and leave out what the message names.",
        "train submit flats.yaml --upload",
    ),
    Entry(
        "TR-V020",
        "the job did not come to a good end",
        "It diverged, failed or was cancelled; the message says why.",
        "See its events, mend the cause and submit it again.",
        "train watch JOB",
    ),
)
"""The entries, in the order of their codes."""
