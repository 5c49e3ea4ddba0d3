"""Attacks by kept models: a worker saves a foreign model or document, or a model is changed in its store."""

import io
import json
import os
import pickle
import random
import uuid
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psycopg
import skops.io
from sklearn.preprocessing import FunctionTransformer

import ledger
from ledger.database import artifact_protocol, protocol
from ledger.database.bounds import ARTIFACT_PIECE
from ledger.objectives.model_document import DOCUMENT, MODEL, ModelDocument
from ledger.objectives.tabular import digest
from ledger.store import Content, opened
from tests.attack.tally import Tally
from tests.attack.victims import Victims
from tests.fuzz import run
from tests.integration.ledgers import spec
from tests.unit.test_kept_models import Foreign, compressed, keep

_OBJECTIVE = {"model": "svm", "dataset": "iris"}
_PARAMS = {"C": 2.5}
_SPEC = {**spec(1), "mode": "batch", "seed": 7, "objective": {**_OBJECTIVE, "keep_models": "best"}}
# Functions and types that a changed model names instead of the class of its estimator.
_FOREIGN = (("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("sklearn.datasets._base", "load_files"))


class _Executed:
    """An object that makes a folder when it is read from a pickle."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._folder),)


@dataclass(frozen=True)
class _Forgery:
    """A model and its document. `must_fail` is false if the change can be harmless, such as another number."""

    content: bytes
    document: bytes
    must_fail: bool = True


class Models:
    """Writes changed models under the names of kept models, and reads them as a user reads them.

    Attributes
    ----------
    loaded, tracebacks : list of str
        Changed models that the ledger has loaded; errors that are no refusal in one line.
    """

    def __init__(self, victims: Victims, tally: Tally, rng: random.Random) -> None:
        self._victims, self._tally, self._rng = victims, tally, rng
        self._url = victims.urls["ledger_owner"]
        self._folder = victims.folder / "models"
        self._folder.mkdir()
        self._marker = self._folder / "executed"
        self._count = 0
        self.loaded: list[str] = []
        self.tracebacks: list[str] = []
        document, self._content = keep(_OBJECTIVE, _PARAMS)
        self._document = document.model_copy(update={"trial": 0})
        untouched = self._forge("untouched", _Forgery(self._content, self._described(self._content), must_fail=False))
        # Without this check, a fault of the attack could look like a refusal.
        assert self._load(untouched) is None, "an untouched model is loaded"
        self._kinds: list[tuple[str, Callable[[], _Forgery]]] = []

    @property
    def executed(self) -> bool:
        """Whether a model has run code."""
        return self._marker.exists()

    def attack(self, count: int) -> None:
        """Save and read changed models. Then change the content of a model in its store."""
        for _ in range(count):
            if not self._kinds:
                self._kinds = list(self._forgeries().items())
                self._rng.shuffle(self._kinds)
            kind, make = self._kinds.pop()
            forgery = make()
            self._check(kind, self._forge(kind, forgery), must_fail=forgery.must_fail)
        self._attack_store()

    def _forgeries(self) -> dict[str, Callable[[], _Forgery]]:
        contents: dict[str, Callable[[], bytes]] = {
            "pickle": lambda: pickle.dumps(_Executed(self._marker)),
            "pickled arrays": lambda: self._with_parts(self._pickled_array, ".npy"),
            "foreign class": lambda: skops.io.dumps(Foreign()),
            "foreign function": lambda: skops.io.dumps(FunctionTransformer(os.mkdir)),
            "function of NumPy": lambda: skops.io.dumps(FunctionTransformer(np.save)),
            "compressed archive": lambda: compressed(self._content),
            "half of the file": lambda: self._content[: len(self._content) // 2],
            "empty file": lambda: b"",
            **{f"{module}.{name}": partial(self._with_type, module, name) for module, name in _FOREIGN},
        }
        found: dict[str, Callable[[], _Forgery]] = {kind: partial(self._of, make) for kind, make in contents.items()}
        return {
            **found,
            "damaged file": lambda: self._of(lambda: self._damaged(self._content), must_fail=False),
            "damaged schema": lambda: self._of(lambda: self._with_parts(self._damaged, "schema.json"), must_fail=False),
            "other content": lambda: _Forgery(self._damaged(self._content), self._described(self._content)),
            "other loss": lambda: _Forgery(self._content, self._described(self._content, loss=-1.0)),
            "other trial": lambda: _Forgery(self._content, self._described(self._content, trial=7)),
            "no document": lambda: _Forgery(self._content, b"[" * 100_000),
            "damaged document": lambda: _Forgery(self._content, self._damaged_document(), must_fail=False),
        }

    def _of(self, make: Callable[[], bytes], *, must_fail: bool = True) -> _Forgery:
        content = make()
        return _Forgery(content, self._described(content), must_fail)

    def _described(self, content: bytes, **changes: Any) -> bytes:
        """Return a document that describes the content."""
        described: ModelDocument = self._document.model_copy(update={"sha256": digest(content), **changes})
        return described.model_dump_json().encode()

    def _damaged(self, content: bytes) -> bytes:
        place = self._rng.randrange(len(content))
        return content[:place] + bytes([content[place] ^ self._rng.randrange(1, 256)]) + content[place + 1 :]

    def _damaged_document(self) -> bytes:
        described = json.loads(self._described(self._content))
        odd: tuple[Any, ...] = (None, -1, 10**30, "\x1b[2J", [], {}, "x" * 100_000, ["a", 1], True, 1e308)
        described[self._rng.choice(list(described))] = self._rng.choice(odd)
        return json.dumps(described).encode()

    def _pickled_array(self, _part: bytes) -> bytes:
        array = np.empty(1, dtype=object)
        array[0] = _Executed(self._marker)
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=True)
        return buffer.getvalue()

    def _with_type(self, module: str, name: str) -> bytes:
        """Return the model with another type instead of the class of its estimator."""

        def change(part: bytes) -> bytes:
            schema = json.loads(part)
            stack = [schema]
            while stack:
                node = stack.pop()
                if isinstance(node, dict):
                    if node.get("__class__") == "SVC":
                        node["__class__"], node["__module__"] = name, module
                    stack += node.values()
                elif isinstance(node, list):
                    stack += node
            changed = json.dumps(schema).encode()
            assert changed != json.dumps(json.loads(part)).encode()
            return changed

        return self._with_parts(change, "schema.json")

    def _with_parts(self, change: Callable[[bytes], bytes], suffix: str) -> bytes:
        """Return the archive of the model with changed parts."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(self._content)) as old, zipfile.ZipFile(buffer, "w") as new:
            for name in old.namelist():
                part = old.read(name)
                new.writestr(name, change(part) if name.endswith(suffix) else part)
        return buffer.getvalue()

    def _forge(self, kind: str, forgery: _Forgery, store: str | None = None) -> str:
        """Save a model and its document as a worker does, and return the name of the study.

        The workers that take any study do not see the trial before it is complete, because all happens in one
        transaction.
        """
        self._tally.tried(f"kept model: {kind}")
        self._count += 1
        name = f"kept-{self._count}"
        manager = uuid.UUID(int=self._rng.getrandbits(128))
        with psycopg.connect(self._victims.server.url) as connection:
            row = connection.execute(
                "select ledger.create_study(%s, %s, %s, 1, '{}')", [name, json.dumps(_SPEC), "0" * 64]
            ).fetchone()
            assert row is not None
            connection.execute("select ledger.claim_study(%s, %s, 'attack', 60)", [row[0], manager])
            connection.execute(
                "select ledger.propose(%s, %s, 0, 0, 0, %s, null, '{}', 0, 0, null)",
                [row[0], manager, json.dumps([_PARAMS])],
            )
            (held,) = protocol.claim(connection, name, [protocol.draw_claim()], "forger")
            for artifact, data in ((MODEL, forgery.content), (DOCUMENT, forgery.document)):
                answer, content = artifact_protocol.begin(connection, held, artifact, digest(data), len(data), store)
                assert content is not None
                if store is not None:
                    opened(store).put(Content(digest(data), len(data), content), io.BytesIO(data))
                elif answer == "wanted":
                    for number, first in enumerate(range(0, len(data), ARTIFACT_PIECE)):
                        piece = data[first : first + ARTIFACT_PIECE]
                        artifact_protocol.add_piece(connection, held, artifact, number, piece)
                assert artifact_protocol.save(connection, held, artifact, content) == "saved"
            metrics = {self._document.metric: self._document.value}
            assert protocol.complete(connection, held, self._document.loss, metrics, 1.0) == "recorded"
        return name

    def _check(self, kind: str, name: str, *, must_fail: bool, store: str = "ledger") -> None:
        """Read a model in Python and by the command."""
        refusal = self._load(name, store)
        if refusal is not None:
            self._tally.refused(f"kept model: {kind}")
        elif must_fail:
            self.loaded.append(f"{kind}: study {name}")
        environment = {"DATABASE_URL": self._url, "LEDGER_STORE": store, "LEDGER_HOME": str(self._folder / "home")}
        for options in (["--json"], ["--output", str(self._folder / "model.skops"), "--force"]):
            try:
                code, _, error = run(["model", name, *options], environment)
            except Exception as raised:
                self.tracebacks.append(f"{kind}: ledger model {options[0]}: {type(raised).__name__}: {raised}"[:300])
                continue
            if code not in (0, 1) or "Traceback" in error:
                self.tracebacks.append(f"{kind}: ledger model {options[0]}: exit code {code}: {error[-300:]}")

    def _load(self, name: str, store: str = "ledger") -> str | None:
        """Load a model. Return the message of the refusal, or None if the model is loaded."""
        try:
            with warnings.catch_warnings(), mock.patch.dict(os.environ, {"LEDGER_STORE": store}):
                # A changed document can name other versions of packages.
                warnings.simplefilter("ignore")
                ledger.load_model(name, database=self._url)
        except ledger.LedgerError as error:
            if not str(error).isprintable():
                self.tracebacks.append(f"{name}: load_model: {str(error)!r}"[:300])
            return str(error)
        except Exception as raised:
            self.tracebacks.append(f"{name}: load_model: {type(raised).__name__}: {raised}"[:300])
            return str(raised)
        return None

    def _attack_store(self) -> None:
        """Change the content of an untouched model in its store."""
        folder = self._folder / f"store-{self._count}"
        folder.mkdir()
        changes: dict[str, Callable[[Path], object]] = {
            "other bytes in the store": lambda path: path.write_bytes(pickle.dumps(_Executed(self._marker))),
            "link in the store": lambda path: path.symlink_to("/etc/passwd"),
            "device in the store": lambda path: path.symlink_to("/dev/zero"),
            "named pipe in the store": os.mkfifo,
            "folder in the store": Path.mkdir,
            "nothing in the store": lambda path: None,
        }
        kind = self._rng.choice(list(changes))
        forgery = _Forgery(self._content, self._described(self._content))
        name = self._forge(kind, forgery, folder.as_uri())
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            path.unlink()
            changes[kind](path)
        self._check(kind, name, must_fail=True, store=folder.as_uri())
