"""The part of a Hugging Face hub that takes files in."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.zoo.servers import Answer, Hub, Request

TOKEN = "hf_letmein"


def _told(content: Any, status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())


@dataclass
class PublishingHub(Hub):
    """It makes repositories and commits for whoever shows the token.

    Attributes:
        repositories: names of those that were made.
        damage: bytes are stored other than they came.
    """

    repositories: list[str] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    damage: bool = False

    def answer(self, request: Request) -> Answer:
        if request.method in ("GET", "HEAD"):
            return super().answer(request)
        if request.place.startswith("storage/"):
            return self._store(request)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _told({"error": "Invalid username or password."}, 401)
        return self._api(request)

    def _api(self, request: Request) -> Answer:
        place = request.place
        if place == "api/repos/create":
            asked = json.loads(request.body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in self.repositories:
                return _told({"error": "You already created this model repo", "url": name}, 409)
            self.repositories.append(name)
            return _told({"url": f"{self.url}/{name}"})
        if place == "api/validate-yaml":
            return _told({"errors": [], "warnings": []})
        if "/preupload/" in place:
            return _told({"files": [_mode(file) for file in json.loads(request.body)["files"]]})
        if place.endswith("/objects/batch"):
            return _told(
                {"objects": [self._action(o) for o in json.loads(request.body)["objects"]]}
            )
        if place.startswith("verify/"):
            return _told({"message": "ok"})
        if "/commit/" in place:
            return self._commit(
                place.split("/commit/")[0].removeprefix("api/models/"), request.body
            )
        return _told({"error": f"what is {place}?"}, 404)

    def _action(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if wanted["oid"] in self.stored:
            return wanted
        places = {
            "upload": {"href": f"{self.url}/storage/{wanted['oid']}?X-Amz-Signature=secret"},
            "verify": {"href": f"{self.url}/verify/{wanted['oid']}"},
        }
        return wanted | {"actions": places}

    def _store(self, request: Request) -> Answer:
        oid = request.place.removeprefix("storage/")
        if hashlib.sha256(request.body).hexdigest() != oid:
            return Answer(400)
        self.stored[oid] = request.body[:-1] + b"?" if self.damage else request.body
        return Answer()

    def _commit(self, repository: str, body: bytes) -> Answer:
        if repository not in self.repositories:
            return Answer(404, {"X-Error-Code": "RepoNotFound"})
        commit = hashlib.sha1(body, usedforsecurity=False).hexdigest()
        for line in body.decode().splitlines():
            told = json.loads(line)
            value = told["value"]
            if told["key"] == "file":
                content = base64.b64decode(value["content"])
            elif told["key"] == "lfsFile":
                content = self.stored[value["oid"]]
            else:
                continue
            self.files[f"{repository}/resolve/{commit}/{value['path']}"] = content
        url = f"{self.url}/{repository}/commit/{commit}"
        return _told({"success": True, "commitOid": commit, "commitUrl": url})


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    heavy = file["path"].endswith(".safetensors")
    return {
        "path": file["path"],
        "uploadMode": "lfs" if heavy else "regular",
        "shouldIgnore": False,
    }
