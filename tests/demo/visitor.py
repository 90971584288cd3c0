"""A visitor without a browser: Streamlit's own messages over its websocket, all of them kept."""

import time
import urllib.request
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.demo.server import Server

PATIENCE = 60.0


class Visitor:
    """One open page.

    Args:
        address: host and port of the server.
        query: what stands behind the question mark.

    Attributes:
        token: what an upload must carry twice, as cookie and as header.
        received: every byte of every message.
    """

    def __init__(self, address: str, query: str = "") -> None:
        self._address = address
        with urllib.request.urlopen(f"http://{address}/_stcore/health", timeout=60) as answer:
            cookie = SimpleCookie(answer.headers["Set-Cookie"])
        self.token = cookie["_streamlit_xsrf"].value
        self._open = ExitStack()
        url, protocols = f"ws://{address}/_stcore/stream", [Subprotocol("streamlit")]
        self._socket = self._open.enter_context(
            connect(url, subprotocols=protocols, max_size=None, ping_interval=None)
        )
        self.query = query
        self.received = bytearray()
        self._states: dict[str, WidgetState] = {}
        self._elements: dict[tuple[int, ...], Any] = {}
        self._session = ""
        self.refresh()

    def close(self) -> None:
        """Close the page."""
        self._open.close()

    def refresh(self, *triggers: WidgetState) -> None:
        """Run the page once, with the widgets as they are."""
        message = BackMsg()
        state = message.rerun_script
        state.query_string = self.query
        state.widget_states.widgets.extend([*self._states.values(), *triggers])
        self._socket.send(message.SerializeToString())
        self._elements = {}
        self._listen(_is_last)

    def until(self, ready: Callable[[str], bool], seconds: float = PATIENCE) -> str:
        """Refresh until the page's text is as wanted; the text."""
        end = time.monotonic() + seconds
        while not ready(self.text):
            assert time.monotonic() < end, f"not within {seconds} s; the page says:\n{self.text}"
            time.sleep(1)
            self.refresh()
        return self.text

    @property
    def text(self) -> str:
        """Everything that the page says now, among the marks of the messages that bring it."""
        parts = [element.SerializeToString() for element in self._elements.values()]
        return b"\n".join(parts).decode("utf-8", "ignore")

    def press(self, label: str) -> None:
        """Press the button whose label holds these words."""
        button = self._find("button", lambda found: label in found.label)
        self.refresh(WidgetState(id=button.id, trigger_value=True))

    def choose(self, kind: str, label: str, *values: str) -> None:
        """Set a choice among buttons, or of several in a list."""
        widget = self._find(kind, lambda found: label in found.label)
        state = WidgetState(id=widget.id)
        state.string_array_value.data.extend(values)
        self._states[widget.id] = state
        self.refresh()

    def upload(self, path: Path, name: str = "") -> None:
        """Send a file as the browser does, and let the page take it."""
        uploader = self._find("file_uploader", lambda found: True)
        urls = self.ask_for_address(name or path.name)
        self.put(urls.upload_url, name or path.name, path.read_bytes())
        state = WidgetState(id=uploader.id)
        info = state.file_uploader_state_value.uploaded_file_info.add()
        info.file_id, info.name, info.size = urls.file_id, name or path.name, path.stat().st_size
        info.file_urls.CopyFrom(urls)
        self.refresh(state)

    def download(self, label: str) -> bytes:
        """What the download button gives whose label holds these words."""
        button = self._find("download_button", lambda found: label in found.label)
        request = BackMsg()
        request.backend_operation_request.request_id = str(uuid.uuid4())
        request.backend_operation_request.session_id = self._session
        request.backend_operation_request.deferred_file.file_id = button.deferred_file_id
        self._socket.send(request.SerializeToString())
        kind = "backend_operation_response"
        answer = self._listen(lambda found: found.WhichOneof("type") == kind)
        url = answer.backend_operation_response.deferred_file.url
        with urllib.request.urlopen(f"http://{self._address}{url}", timeout=PATIENCE) as file:
            return bytes(file.read())

    def put(self, url: str, name: str, data: bytes) -> None:
        """The request that carries a file."""
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        request = urllib.request.Request(
            f"http://{self._address}{url}",
            data=head.encode() + data + f"\r\n--{boundary}--\r\n".encode(),
            method="PUT",
            headers={
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Cookie": f"_streamlit_xsrf={self.token}",
                "X-Xsrftoken": self.token,
            },
        )
        with urllib.request.urlopen(request, timeout=PATIENCE):
            pass

    def ask_for_address(self, name: str) -> Any:
        """Where the server takes a file of this name."""
        request = BackMsg()
        request.file_urls_request.request_id = str(uuid.uuid4())
        request.file_urls_request.file_names.append(name)
        request.file_urls_request.session_id = self._session
        self._socket.send(request.SerializeToString())
        answer = self._listen(lambda found: found.WhichOneof("type") == "file_urls_response")
        return answer.file_urls_response.file_urls[0]

    def _find(self, kind: str, fits: Callable[[Any], bool]) -> Any:
        for element in self._elements.values():
            if element.WhichOneof("type") == kind and fits(getattr(element, kind)):
                return getattr(element, kind)
        raise AssertionError(f"no {kind} like that; the page says:\n{self.text}")

    def _listen(self, last: Callable[[Any], bool]) -> Any:
        while True:
            data = self._socket.recv(timeout=PATIENCE)
            assert isinstance(data, bytes)
            self.received += data
            message = ForwardMsg.FromString(data)
            self._note(message)
            if last(message):
                return message

    def _note(self, message: Any) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._session = message.new_session.initialize.session_id
            self._elements = {}
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "delta" and message.delta.WhichOneof("type") in ("new_element", "add_block"):
            path = tuple(message.metadata.delta_path)
            self._elements[path] = getattr(message.delta, message.delta.WhichOneof("type"))


def with_study(server: Server) -> Visitor:
    """A visitor whose sample has been read."""
    visitor = Visitor(server.address)
    visitor.until(lambda text: "Voxels" in text)
    return visitor


def with_own_study(server: Server, path: Path) -> Visitor:
    """A visitor whose own study has been read."""
    visitor = with_study(server)
    visitor.choose("button_group", "Where the study comes from", "Your own")
    visitor.upload(path)
    visitor.until(lambda text: "Voxels" in text)
    return visitor


def _is_last(message: Any) -> bool:
    """Whether the page has run to its end; a run that asks for another one is not the last."""
    early = ForwardMsg.ScriptFinishedStatus.FINISHED_EARLY_FOR_RERUN
    return message.WhichOneof("type") == "script_finished" and message.script_finished != early
