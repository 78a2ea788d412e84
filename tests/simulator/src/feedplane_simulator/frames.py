"""WebSocket server frames, written without a library so that one write may carry thousands."""

import struct

FIN_TEXT = 0x81


def encode_text_frame(payload: bytes) -> bytes:
    """Wrap a payload in one unmasked text frame.

    Source: RFC 6455 section 5.2.
    """
    size = len(payload)
    if size < 126:
        return bytes((FIN_TEXT, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", FIN_TEXT, 126, size) + payload
    return struct.pack("!BBQ", FIN_TEXT, 127, size) + payload


def encode_combined(stream: str, payload: bytes) -> bytes:
    """Wrap a payload as the combined form names its stream."""
    return b'{"stream":"' + stream.encode() + b'","data":' + payload + b"}"
