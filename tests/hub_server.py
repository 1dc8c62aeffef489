# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A small Hub for tests: the endpoints that `huggingface_hub` calls to create, fill, tag and read repositories of models
and data sets, over HTTP. Objects are files named by their digest; a commit is checked as a whole before a branch moves
to it.

Large files lie under another host name, as the Hub's do, so that a client that sent its token there would be seen.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from hub_cards import card_errors


TOKEN, USER = "hf_of_the_tests", "acme"
REPO = r"(?P<repo>[^/]+/[^/]+)"
API = rf"/api/(?P<type>models|datasets)/{REPO}"
FILES = rf"/(?P<type>datasets/)?{REPO}"
# The kinds of requests, by which they are counted, logged and made to fail; each is a method of `Handler`.
ROUTES = [
    ("whoami", "GET", r"/api/whoami-v2"),
    ("create", "POST", r"/api/repos/create"),
    ("validate", "POST", r"/api/validate-yaml"),
    ("info", "GET", rf"{API}(/revision/(?P<revision>[^/]+))?"),
    ("tree", "GET", rf"{API}/tree/(?P<revision>[^/]+)(/(?P<path>.+))?"),
    ("paths", "POST", rf"{API}/paths-info/(?P<revision>[^/]+)"),
    ("refs", "GET", rf"{API}/refs"),
    ("branch", "POST", rf"{API}/branch/(?P<name>[^/]+)"),
    ("tag", "POST", rf"{API}/tag/(?P<revision>[^/]+)"),
    ("preupload", "POST", rf"{API}/preupload/(?P<revision>[^/]+)"),
    ("batch", "POST", rf"{FILES}\.git/info/lfs/objects/batch"),
    ("upload", "PUT", r"/store/(?P<oid>[0-9a-f]{64})"),
    ("verify", "POST", r"/api/lfs-verify"),
    ("commit", "POST", rf"{API}/commit/(?P<revision>[^/]+)"),
    ("resolve", "GET", rf"{FILES}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
    ("stored", "GET", r"/store/(?P<oid>[0-9a-f]{64})"),
]
LARGE = (".safetensors", ".bin", ".parquet")  # what `.gitattributes` gives to LFS
DROP = "drop"  # in place of a status: the connection breaks in the middle of the request


class Refused(Exception):
    """An answer with the status of an error. `code` is what the client reads in the header X-Error-Code."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str):
        self.status, self.message = status, message
        self.headers = ({"X-Error-Code": code} if code else {}) | {"X-Error-Message": message} | headers


@dataclass(frozen=True)
class Blob:
    """A file of a commit: `oid` is that of git for small files, and the SHA-256 of the content for large ones."""

    oid: str
    size: int
    large: bool


@dataclass(frozen=True)
class Commit:
    title: str
    parent: str | None
    files: dict[str, Blob]

    @property
    def sha(self) -> str:
        files = sorted((path, blob.oid) for path, blob in self.files.items())
        return hashlib.sha1(json.dumps([self.title, self.parent, files]).encode()).hexdigest()


@dataclass
class Repository:
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.branches["main"] = self.add(Commit("initial commit", None, {}))

    def add(self, commit: Commit) -> str:
        self.commits[commit.sha] = commit
        return commit.sha

    def sha(self, revision: str | None) -> str:
        revision = revision or "main"
        found = self.branches.get(revision) or self.tags.get(revision) or (revision in self.commits and revision)
        if not found:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found


@dataclass(frozen=True)
class Failure:
    first: int
    last: float
    status: int | str


class Hub:
    """
    A server on a free port of this machine, until the end of the `with` block.

    Args:
        root (`Path`): Where the objects lie.
    """

    def __init__(self, root: Path):
        self.objects = root / "objects"
        self.objects.mkdir(parents=True)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.lock = threading.Lock()
        self.log: list[dict] = []
        self.failures: dict[str, Failure] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.port = self.server.server_address[1]
        self.endpoint, self.store = f"http://127.0.0.1:{self.port}", f"http://localhost:{self.port}/store"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()

    def fail(self, kind: str, status: int | str, first: int = 1, times: float = float("inf")) -> None:
        """From now on answer the requests of a kind with a status, or `DROP`, from the n-th on and so many times."""
        seen = self.count(kind)
        self.failures[kind] = Failure(seen + first, seen + first + times - 1, status)

    def recover(self) -> None:
        self.failures.clear()

    def count(self, kind: str, **what) -> int:
        return len([1 for entry in self.log if entry["kind"] == kind and what.items() <= entry.items()])

    def repository(self, repo_id: str, repo_type: str = "models") -> Repository:
        return self.repositories[repo_type, repo_id]

    def files(self, repo_id: str, revision: str = "main", repo_type: str = "models") -> dict[str, bytes]:
        """The contents of all files of a revision."""
        repository = self.repository(repo_id, repo_type)
        files = repository.commits[repository.sha(revision)].files
        return {path: (self.objects / blob.oid).read_bytes() for path, blob in files.items()}

    def keep(self, content: bytes, large: bool) -> Blob:
        if large:
            oid = hashlib.sha256(content).hexdigest()
        else:
            oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        part = self.objects / f"{oid}.{threading.get_ident()}.part"
        part.write_bytes(content)
        part.replace(self.objects / oid)
        return Blob(oid, len(content), large)


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        method = "GET" if self.command == "HEAD" else self.command
        routes = ((kind, re.fullmatch(pattern, url.path)) for kind, verb, pattern in ROUTES if verb == method)
        kind, match = next((found for found in routes if found[1]), (None, None))
        if kind is None:
            self.read_body()
            return self.send(404, {"error": f"no endpoint {self.command} {url.path}"})
        groups = {name: unquote(value) for name, value in match.groupdict().items() if value is not None}
        if "type" in match.groupdict():
            groups["type"] = groups.get("type", "models").strip("/")
        self.note(kind, groups)
        failure = self.failure(kind)
        self.drops = failure == DROP
        if self.drops and method != "GET":
            return self.drop(self.rfile.read1(64))
        self.body = self.read_body()
        try:
            if failure is not None and not self.drops:
                raise Refused(failure, "the tests told the server to fail")
            getattr(self, kind)(**groups)
        except Refused as refusal:
            self.send(refusal.status, {"error": refusal.message}, refusal.headers)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def note(self, kind: str, groups: dict[str, str]) -> None:
        entry = {"kind": kind, "method": self.command, "token": self.headers.get("Authorization"), **groups}
        entry |= {"range": self.headers.get("Range"), "host": self.headers["Host"].split(":")[0]}
        with self.hub.lock:
            self.hub.log.append(entry)

    def failure(self, kind: str) -> int | str | None:
        found = self.hub.failures.get(kind)
        return found.status if found and found.first <= self.hub.count(kind) <= found.last else None

    def drop(self, sent_so_far: bytes | None = None) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def send(self, status: int, content: bytes | list | dict = b"", headers: dict[str, str] | None = None) -> None:
        if not isinstance(content, bytes):
            content, headers = json.dumps(content).encode(), {"Content-Type": "application/json"} | (headers or {})
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if self.drops else content)
        if self.drops:
            self.drop()

    # What a request may do.

    def sign_in(self) -> None:
        token = self.headers.get("Authorization")
        if token != f"Bearer {TOKEN}":
            raise Refused(401, "Invalid credentials in Authorization header" if token else "Unauthorized")

    def repository(self, type: str, repo: str, write: bool = False) -> Repository:
        if write:
            self.sign_in()
        found = self.hub.repositories.get((type, repo))
        if found is None or (found.private and self.headers.get("Authorization") != f"Bearer {TOKEN}"):
            raise Refused(404 if found is None else 401, "Repository not found", "RepoNotFound")
        return found

    # Endpoints.

    def whoami(self) -> None:
        self.sign_in()
        self.send(200, {"type": "user", "name": USER, "fullname": USER, "orgs": [], "auth": {"type": "access_token"}})

    def create(self) -> None:
        self.sign_in()
        asked = json.loads(self.body)
        owner, repo_type = asked.get("organization") or USER, asked.get("type", "model") + "s"
        if owner != USER:
            raise Refused(403, f"You don't have the rights to create a {repo_type[:-1]} under {owner!r}")
        repo_id = f"{owner}/{asked['name']}"
        prefix = "" if repo_type == "models" else f"{repo_type}/"
        made = {"url": f"{self.hub.endpoint}/{prefix}{repo_id}", "name": repo_id}
        with self.hub.lock:
            if (repo_type, repo_id) in self.hub.repositories:
                return self.send(409, made | {"error": "You already created this repo"})
            self.hub.repositories[repo_type, repo_id] = Repository(asked.get("visibility") == "private")
        self.send(200, made)

    def validate(self) -> None:
        asked = json.loads(self.body)
        errors, warnings = card_errors(asked["content"], asked["repoType"])
        notes = {
            "errors": [{"message": each} for each in errors],
            "warnings": [{"message": each} for each in warnings],
        }
        self.send(400 if errors else 200, notes)

    def info(self, type: str, repo: str, revision: str | None = None) -> None:
        repository = self.repository(type, repo)
        sha = repository.sha(revision)
        files = [{"rfilename": path} for path in repository.commits[sha].files]
        self.send(200, {"id": repo, "sha": sha, "private": repository.private, "siblings": files, "tags": []})

    def refs(self, type: str, repo: str) -> None:
        repository = self.repository(type, repo)

        def listed(names, prefix):
            return [{"name": name, "ref": f"refs/{prefix}/{name}", "targetCommit": sha} for name, sha in names.items()]

        branches, tags = listed(repository.branches, "heads"), listed(repository.tags, "tags")
        self.send(200, {"branches": branches, "tags": tags, "converts": [], "pullRequests": []})

    def branch(self, type: str, repo: str, name: str) -> None:
        repository = self.repository(type, repo, write=True)
        if name in repository.branches:
            raise Refused(409, f"Reference already exists: {name}")
        repository.branches[name] = repository.sha(json.loads(self.body or b"{}").get("startingPoint"))
        self.send(201, {})

    def tag(self, type: str, repo: str, revision: str) -> None:
        repository = self.repository(type, repo, write=True)
        name = json.loads(self.body)["tag"]
        if name in repository.tags:
            raise Refused(409, f"Tag reference exists already: {name}")
        repository.tags[name] = repository.sha(revision)
        self.send(201, {})

    def tree(self, type: str, repo: str, revision: str, path: str = "") -> None:
        repository = self.repository(type, repo)
        files = repository.commits[repository.sha(revision)].files
        under = f"{path}/" if path else ""
        inside = {name: blob for name, blob in files.items() if name.startswith(under)}
        folders = {str(parent) for name in inside for parent in Path(name).parents if str(parent) not in (".", path)}
        if path and not inside:
            raise Refused(404, f"{path} does not exist", "EntryNotFound")
        entries = [self.entry(name, blob) for name, blob in inside.items()] + [folder(name) for name in folders]
        if self.query.get("recursive") != ["true"]:
            entries = [entry for entry in entries if "/" not in entry["path"].removeprefix(under)]
        self.send(200, sorted(entries, key=lambda entry: entry["path"]))

    def paths(self, type: str, repo: str, revision: str) -> None:
        repository = self.repository(type, repo)
        files = repository.commits[repository.sha(revision)].files
        asked = parse_qs(self.body.decode())["paths"]
        folders = {str(parent) for name in files for parent in Path(name).parents}
        found = [self.entry(path, files[path]) for path in asked if path in files]
        self.send(200, found + [folder(path) for path in asked if path in folders])

    def entry(self, path: str, blob: Blob) -> dict:
        lfs = {"oid": blob.oid, "size": blob.size, "pointerSize": 134}
        oid = hashlib.sha1(blob.oid.encode()).hexdigest() if blob.large else blob.oid
        return {"type": "file", "path": path, "oid": oid, "size": blob.size} | ({"lfs": lfs} if blob.large else {})

    def preupload(self, type: str, repo: str, revision: str) -> None:
        repository = self.repository(type, repo, write=True)
        files = repository.commits[repository.sha(revision)].files
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
                "oid": files[file["path"]].oid if file["path"] in files else None,
            }
            for file in json.loads(self.body)["files"]
        ]
        self.send(200, {"files": modes})

    def batch(self, type: str, repo: str) -> None:
        self.repository(type, repo, write=True)
        objects = json.loads(self.body)["objects"]
        verify = {"href": f"{self.hub.endpoint}/api/lfs-verify"}
        for each in objects:
            if not (self.hub.objects / each["oid"]).exists():
                each["actions"] = {"upload": {"href": f"{self.hub.store}/{each['oid']}"}, "verify": verify}
        self.send(200, {"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refused(400, "The content does not have the digest that it was announced with")
        self.hub.keep(self.body, large=True)
        self.send(200)

    def verify(self) -> None:
        self.sign_in()
        self.stored_blob(**json.loads(self.body))
        self.send(200, {})

    def stored_blob(self, oid: str, size: int) -> Blob:
        path = self.hub.objects / oid
        if not path.exists() or path.stat().st_size != size:
            raise Refused(404, f"LFS object {oid} of {size} bytes was not uploaded")
        return Blob(oid, size, large=True)

    def commit(self, type: str, repo: str, revision: str) -> None:
        """All of the operations or none of them."""
        repository = self.repository(type, repo, write=True)
        if "create_pr" in self.query or revision not in repository.branches:
            raise Refused(400, "This server commits to branches only")
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        with self.hub.lock:
            parent = repository.branches[revision]
            if not parent.startswith(header.get("parentCommit", parent)):
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
            files = dict(repository.commits[parent].files)
            for line in lines:
                self.operate(files, line["key"], line["value"])
            sha = repository.branches[revision] = repository.add(Commit(header["summary"], parent, files))
        url = f"{self.hub.endpoint}/{repo}/commit/{sha}"
        self.send(200, {"success": True, "commitOid": sha, "commitUrl": url})

    def operate(self, files: dict[str, Blob], key: str, value: dict) -> None:
        if key == "file":
            content = base64.b64decode(value["content"])
            errors, _ = card_errors(content.decode(), "model") if value["path"] == "README.md" else ([], [])
            if errors:
                raise Refused(400, "Invalid metadata in README.md: " + "; ".join(errors))
            files[value["path"]] = self.hub.keep(content, large=False)
        elif key == "lfsFile":
            files[value["path"]] = self.stored_blob(value["oid"], value["size"])
        elif key == "deletedFile":
            if files.pop(value["path"], None) is None:
                raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
        elif key != "header":
            raise Refused(400, f"unknown operation {key}")

    def resolve(self, type: str, repo: str, revision: str, path: str) -> None:
        repository = self.repository(type, repo)
        sha = repository.sha(revision)
        blob = repository.commits[sha].files.get(path)
        headers = {"X-Repo-Commit": sha}
        if blob is None:
            raise Refused(404, f"{path} does not exist on {revision!r}", "EntryNotFound", **headers)
        if blob.large:
            headers |= {"X-Linked-Etag": f'"{blob.oid}"', "X-Linked-Size": str(blob.size)}
            return self.send(302, b"", headers | {"Location": f"{self.hub.store}/{blob.oid}"})
        self.send_object(blob.oid, headers)

    def stored(self, oid: str) -> None:
        self.send_object(oid, {})

    def send_object(self, oid: str, headers: dict[str, str]) -> None:
        """The whole object, or the range of its bytes that was asked for."""
        path = self.hub.objects / oid
        if not path.exists():
            raise Refused(404, f"no object {oid}")
        content, status = path.read_bytes(), 200
        headers |= {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"}
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(asked[1]), int(asked[2] or len(content) - 1)
            headers |= {"Content-Range": f"bytes {first}-{min(last, len(content) - 1)}/{len(content)}"}
            content, status = content[first : last + 1], 206
        self.send(status, content, headers)


def folder(path: str) -> dict:
    return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}
