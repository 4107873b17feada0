"""What a run has left: its files, each as its name says, and nothing else of the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from faults.served import Client, Served, serving
from test_service_gate import raw

from trainer.service.keeping import files_of, open_file
from trainer.service.refusals import Missing


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
def ada(served: Served) -> Client:
    return served.client(served.token("ada"))


@pytest.fixture
def kept(served: Served, ada: Client) -> str:
    """A job whose run has left files, beside things that nobody may have."""
    job = str(ada.submit().json()["id"])
    folder = served.desk.runs / job
    for name in ("files/page.html", "files/plot.svg", "files/plot.png", "files/a.csv",
                 "files/deep/er/b.txt", "model/model.py", "files/x.exe", "files/na me;é.bin",
                 "files/UPPER.HTML", "run.json", "journal", "checkpoints/1"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"<script>alert('{name}')</script>")
    (served.desk.runs / "secret").write_text("secret")
    sibling = served.desk.runs / f"{job}2" / "files"
    sibling.mkdir(parents=True)
    (sibling / "secret").write_text("secret")
    (served.desk.runs.parent / "runs2").mkdir()
    (served.desk.runs.parent / "runs2" / "secret").write_text("secret")
    (folder / "files" / "link.txt").symlink_to(served.desk.runs / "secret")
    (folder / "files" / "folder").symlink_to(served.desk.runs)
    (folder / "files" / "inside").symlink_to(folder / "files" / "deep")
    os.mkfifo(folder / "files" / "pipe")
    return job


def test_files_are_listed(kept: str, ada: Client) -> None:
    files = ada.get(f"/jobs/{kept}/files").json()["files"]
    assert [each["path"] for each in files] == [
        "files/UPPER.HTML", "files/a.csv", "files/na me;é.bin", "files/page.html",
        "files/plot.png", "files/plot.svg", "files/x.exe", "files/deep/er/b.txt",
        "model/model.py",
    ]  # fmt: skip
    assert all(each["size"] == len(f"<script>alert('{each['path']}')</script>".encode())
               for each in files)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "type_", "shown", "policy"),
    [
        (
            "files/page.html",
            "text/html; charset=utf-8",
            True,
            "sandbox allow-scripts; default-src 'none'",
        ),
        (
            "files/UPPER.HTML",
            "text/html; charset=utf-8",
            True,
            "sandbox allow-scripts; default-src 'none'",
        ),
        ("files/plot.svg", "image/svg+xml", True, "sandbox; default-src 'none'"),
        ("files/plot.png", "image/png", True, "sandbox; default-src 'none'"),
        ("files/deep/er/b.txt", "text/plain; charset=utf-8", True, "sandbox; default-src 'none'"),
        ("files/a.csv", "text/csv; charset=utf-8", False, "default-src 'none'"),
        ("files/x.exe", "application/octet-stream", False, "default-src 'none'"),
        ("model/model.py", "text/x-python; charset=utf-8", False, "default-src 'none'"),
    ],
)
def test_files_do_what_their_names_say_and_no_more(
    path: str, type_: str, shown: bool, policy: str, kept: str, ada: Client
) -> None:
    answer = ada.get(f"/jobs/{kept}/files/{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == type_
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith(policy)
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    assert ("content-disposition" in answer.headers) is not shown
    assert answer.text == f"<script>alert('{path}')</script>"


def test_a_name_of_a_file_is_no_header(kept: str, ada: Client) -> None:
    answer = ada.get(f"/jobs/{kept}/files/files/na%20me;%C3%A9.bin")
    expected = "attachment; filename*=UTF-8''na%20me%3B%C3%A9.bin"
    assert answer.headers["content-disposition"] == expected


ELSEWHERE = (
    "files/../run.json", "run.json", "journal", "checkpoints/1", "files/../../secret", "../secret",
    "files/link.txt", "files/folder/secret", "files/inside/er/b.txt", "files/pipe", "files",
    "files/", "files//a.csv", "/etc/passwd", "files/../../{id}2/files/secret", "files/./a.csv",
    "..", "../../runs2/secret", "files/..%2f..%2fsecret", "files/%2e%2e/%2e%2e/secret", "files\\a",
    "Files/a.csv", "model", "files/a.csv/", "files/a.csv/x", "%2fetc%2fpasswd",
    "files/" + "a" * 5000, "files/" + "a/" * 2000,
)  # fmt: skip


@pytest.mark.parametrize("path", ELSEWHERE)
def test_there_is_no_way_out_of_a_run_s_folder(path: str, kept: str, served: Served) -> None:
    token = f"Bearer {served.token('ada')}"
    headers = [(b"host", b"localhost"), (b"authorization", token.encode())]
    asked = unquote(f"/jobs/{kept}/files/{path.replace('{id}', kept)}")  # as a server hands it on
    status, _, body = raw(served, "GET", asked, headers)
    assert status == 404
    assert b"secret" not in body.replace(asked.encode(), b"").replace(b"secret'", b"")
    with pytest.raises(Missing):
        open_file(served.desk.folder(served.desk.store.job(kept)), path.replace("{id}", kept))


def test_a_run_behind_a_link_that_was_its_own_folder(kept: str, served: Served) -> None:
    """`files` itself may be no link, either."""
    folder = served.desk.runs / kept
    os.rename(folder / "files", folder / "other")
    (folder / "files").symlink_to(folder / "other")
    assert all(each.path.startswith("model/") for each in files_of(folder))
    with pytest.raises(Missing):
        open_file(folder, "files/a.csv")


def test_a_run_that_has_ended_and_one_that_is_damaged(served: Served, ada: Client) -> None:
    job = ada.submit().json()["id"]
    folder = served.desk.runs / job
    folder.mkdir()
    assert ada.get(f"/jobs/{job}/run").status_code == 404
    (folder / "result.json").write_text("{}")
    answer = ada.get(f"/jobs/{job}/run")
    assert (answer.status_code, answer.json()["error"]) == (409, "conflict")
    assert str(served.desk.runs) not in answer.text
