"""Examples of what comes and goes, for OpenAPI."""

from __future__ import annotations

from typing import Any, Final

ID: Final = "6f1c0e8a2b9d4e57a3c1f0b2d4e6a8c0"
SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SPEC: Final = """\
name: xor
data:
  source: {inline: {x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0]}}
model:
  layers: [{units: 3, activation: tanh}, {units: 1}]
  loss: logistic
sgd: {learning_rate: 0.5, batch_size: 2, epochs: 300}
"""
COST: Final = {"steps": 600, "operations": 57600, "bytes": 200000, "seconds": 0.4}
JOB: Final[dict[str, Any]] = {
    "id": ID, "number": 12, "user": "ada", "name": "xor", "kind": "train", "state": "queued",
    "reason": "", "wish": None, "priority": 1, "options": {}, "again": False,
    "fingerprint": SHA256, "parent": None, "run": ID, "known": False, "attempt": 0, "stuck": 0,
    "step": 0, "epoch": 0, "epochs": 300, "metrics": {}, "cost": COST, "created": 1796000000.0,
    "started": None, "ended": None, "seconds": 0.0, "digest": "",
    "links": {"self": f"/jobs/{ID}", "events": f"/jobs/{ID}/events", "mlflow": None}, "place": 1,
}  # fmt: skip
JOBS: Final = {"jobs": [JOB], "next": None, "total": 1, "counts": {"queued": 1}}
CHECKED: Final = {
    "valid": True, "error": None, "errors": [], "kind": "train", "name": "xor", "cost": COST,
    "layers": [{"name": "dense_1", "activation": "tanh", "shape": "2 → 3", "parameters": "9"}],
    "resolved": {"name": "xor"}, "known": None, "notes": [],
}  # fmt: skip
CHANGES: Final = {
    "changes": [
        {"number": 1, "time": 1796000000.0, "kind": "state",
         "data": {"from": None, "to": "queued", "reason": "", "attempt": 0}},
    ]
}  # fmt: skip
CURVES: Final = {"series": {"train_loss": [[0, 0.71], [1, 0.69]]}, "last": 7}
DIFF: Final = {
    "one": ID, "other": "0" * 32,
    "differences": [{"path": "sgd.learning_rate", "one": 0.5, "other": 0.1}],
}  # fmt: skip
RUN: Final = {
    "status": "FINISHED", "epoch": 300, "step": 600, "reason": "", "metrics": {"train_loss": 0.01},
    "parameters_sha256": SHA256, "findings": [], "notes": [], "description": [], "tags": {},
    "seconds": 0.4, "files": {"files/loss.png": SHA256}, "engine": "compiled",
    "mlflow": {"run_id": ID, "experiment": "1", "model_id": None, "whole": True, "problem": None},
}  # fmt: skip
FILES: Final = {"files": [{"path": "files/loss.png", "size": 20480, "type": "image/png"}]}
UPLOAD: Final = {
    "sha256": SHA256, "user": "ada", "size": 4, "received": 4, "created": 1796000000.0,
    "whole": True,
}  # fmt: skip
UPLOADS: Final = {"uploads": [UPLOAD], "held": 4, "most": 10 * 2**30}
HEALTH: Final = {"status": "ok", "version": "0.1.0"}
SERVICE: Final = {
    "version": "0.1.0",
    "workers": [{"name": "worker-1", "kind": "process", "state": "busy", "job": ID}],
    "counts": {"running": 1}, "draining": False, "store": "sqlite:///runs/service.db",
    "tracking": "sqlite:///runs/mlflow.db", "mlflow": "/mlflow/", "last": 7,
}  # fmt: skip
USER: Final = {"user": "ada", "role": "submitter", "all": False}
TOKEN: Final = {
    "name": "ada-laptop", "user": "ada", "role": "submitter", "all": False,
    "created": 1796000000.0, "expires": None, "revoked": None, "used": None,
}  # fmt: skip
TOKENS: Final = {"tokens": [TOKEN]}
AUDIT: Final = {
    "entries": [
        {"number": 1, "time": 1796000000.0, "user": "ada", "action": "submit_job",
         "target": "/jobs", "detail": {"status": 201, "job": ID}, "hash": SHA256},
    ],
    "next": None,
}  # fmt: skip
