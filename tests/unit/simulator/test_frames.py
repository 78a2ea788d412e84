import pytest
from websockets.frames import Frame, Opcode

from feedplane_simulator.frames import encode_combined, encode_text_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_text_frame_equals_the_reference_encoder(size: int) -> None:
    payload = b"x" * size
    reference = Frame(Opcode.TEXT, payload).serialize(mask=False)
    assert encode_text_frame(payload) == reference


def test_combined_payload_names_its_stream() -> None:
    assert encode_combined("a@trade", b'{"p":1}') == b'{"stream":"a@trade","data":{"p":1}}'
