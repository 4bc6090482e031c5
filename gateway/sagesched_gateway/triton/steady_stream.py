"""`SteadyStream`: carries the responses of one request on without decoding each of them.

From token to token only the contents of the tensors change. On the wire a message of the stream is

    12 LENGTH  names  parameters  outputs  (32 LENGTH contents)*

with one entry of `contents` (raw_output_contents) for each of the outputs (names, types and shapes of the
tensors). A message that says the same, but for the contents, as one that the profile has translated is
translated alike: the translated beginning in front, the contents of hidden tensors left out, the tokens
summed up. Whatever differs in any way, such as the last response with its final flag, goes the long way
through the profile. Parameters are a map, which Triton writes in another order each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from sagesched_gateway.kserve import ModelInferResponse, ModelStreamInferResponse
from sagesched_gateway.request import Chunk

_RESPONSE_TAG = 0x12  # field 2 (infer_response) of ModelStreamInferResponse; all tags are length-delimited
_PARAMETER_TAG = 0x22  # field 4 of ModelInferResponse
_OUTPUT_TAG = 0x2A  # field 5
_CONTENTS_TAG = 0x32  # field 6 (raw_output_contents)
_COUNT_BYTES = 4  # of an INT32

_Entries = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Form:
    """What the messages of a stream have in common.

    Attributes:
        names: model, version and id as they come.
        parameters: as they come, sorted.
        parameters_size: bytes of all of them.
        outputs: as they come.
        beginning: of what is passed on: all before the contents.
        contents: for each output, whether the caller sees its contents, and whether they count the tokens.
    """

    names: bytes
    parameters: _Entries
    parameters_size: int
    outputs: bytes
    beginning: bytes
    contents: tuple[tuple[bool, bool], ...]


class SteadyStream:
    """One request's responses."""

    __slots__ = ("_count_output", "_form", "_num_translated")

    def __init__(self, count_output: str | None) -> None:
        """Start with nothing known.

        Args:
            count_output: name of the INT32 output that counts the tokens of a response; where a response
                lacks it, it is one token. None sends everything the long way.
        """
        self._count_output = count_output
        self._form: _Form | None = None
        self._num_translated = 0

    def forward(self, message: bytes) -> Chunk | None:
        """The translation of a message, serialized for a stream; None where the profile must do it."""
        try:
            return None if self._form is None else _translated(message, self._form)
        except IndexError:  # it ends too early
            return None

    def learn(self, message: bytes, chunk: Chunk) -> None:
        """See how the profile translated a message.

        It is looked at once, at the second message: the first may be special, and short answers need it not.
        """
        self._num_translated += 1
        if self._num_translated == 2 and self._count_output is not None:
            self._form = _form_of(message, chunk, self._count_output)


def _translated(message: bytes, form: _Form) -> Chunk | None:
    """Raises IndexError where the message ends too early."""
    size, start = _length_at(message, 1)
    parameters_at = start + len(form.names)
    outputs_at = parameters_at + form.parameters_size
    if (
        message[0] != _RESPONSE_TAG
        or size != len(message) - start
        or not message.startswith(form.names, start)
        or not message.startswith(form.outputs, outputs_at)
        or _sorted_entries(message[parameters_at:outputs_at]) != form.parameters
    ):
        return None
    position = outputs_at + len(form.outputs)
    new_tokens = 1
    passed_on = form.beginning
    for is_shown, is_count in form.contents:
        if message[position] != _CONTENTS_TAG:
            return None
        size, content = message[position + 1], position + 2
        if size > 0x7F:
            size, content = _length_at(message, position + 1)
        end = content + size
        if is_shown:
            passed_on += message[position:end]
        if is_count:
            if size != _COUNT_BYTES:
                return None
            new_tokens = int.from_bytes(message[content:end], "little", signed=True)
        position = end
    if position != len(message):
        return None
    return Chunk(_opening(len(passed_on)) + passed_on, new_tokens)


def _form_of(message: bytes, chunk: Chunk, count_output: str) -> _Form | None:
    shown = chunk.response
    if chunk.final or not isinstance(shown, ModelInferResponse):
        return None
    came: ModelInferResponse = ModelStreamInferResponse.FromString(message).infer_response
    names = [output.name for output in came.outputs]
    shown_names = {output.name for output in shown.outputs}
    beginning = ModelInferResponse()
    beginning.CopyFrom(shown)
    del beginning.raw_output_contents[:]
    start = _length_at(message, 1)[1]
    fields = list(_fields(message, start))
    parameters = [message[begin:end] for tag, begin, end in fields if tag == _PARAMETER_TAG]
    outputs = [message[begin:end] for tag, begin, end in fields if tag == _OUTPUT_TAG]
    form = _Form(
        names=message[start : min(begin for tag, begin, _ in fields if tag >= _PARAMETER_TAG)],
        parameters=tuple(sorted(parameters)),
        parameters_size=sum(map(len, parameters)),
        outputs=b"".join(outputs),
        beginning=beginning.SerializeToString(),
        contents=tuple((name in shown_names, name == count_output) for name in names),
    )
    # Also the proof that the fields came in the order in which `_translated` looks for them.
    return form if _agree(_translated(message, form), chunk) else None


def _agree(short: Chunk | None, long: Chunk) -> bool:
    """Whether both ways give the same."""
    if short is None or short.new_tokens != long.new_tokens:
        return False
    return bool(ModelStreamInferResponse.FromString(short.response).infer_response == long.response)


@lru_cache(maxsize=4096)  # a few parameters have a few orders
def _sorted_entries(parameters: bytes) -> _Entries:
    """Entries of a map as they are on the wire; raises IndexError where the last one is cut off."""
    return tuple(sorted(parameters[begin:end] for _, begin, end in _fields(parameters, 0)))


def _fields(message: bytes, position: int) -> Iterator[tuple[int, int, int]]:
    """Tag, begin and end (exclusive) of each length-delimited field from a position on."""
    while position < len(message):
        begin = position
        size, content = _length_at(message, position + 1)
        position = content + size
        yield message[begin], begin, position
    if position > len(message):
        raise IndexError


def _length_at(message: bytes, position: int) -> tuple[int, int]:
    """A length and the position behind it."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte <= 0x7F:
            return value, position
        shift += 7


@lru_cache(maxsize=4096)
def _opening(size: int) -> bytes:
    opening = bytearray((_RESPONSE_TAG,))
    while size > 0x7F:
        opening.append(size & 0x7F | 0x80)
        size >>= 7
    opening.append(size)
    return bytes(opening)
